"""Errors are types: raised where they are found, turned into one line at the command line.

Every message names what is wrong, where it is, and what to do about it.
"""

from __future__ import annotations


class IcdBenchError(Exception):
    """Root of every error that a user can cause or mend; the command line prints it as one line."""


class UsageError(IcdBenchError):
    """The command or configuration asks for something impossible (exit code 2)."""


class UnknownName(UsageError):
    """No plugin, model, field or option has this name; the message suggests the nearest one."""


class BadSetting(UsageError):
    """A method's setting has an unknown field or a value out of range."""


class BadSample(IcdBenchError):
    """One sample of a benchmark cannot be used; the other samples still run.

    Args:
        where: file and row (or sample id) of the problem.
        field: the column or file at fault.
        problem: what is wrong with it.
        fix: what the user can do.
    """

    def __init__(self, where: str, field: str, problem: str, fix: str = "") -> None:
        self.where, self.field, self.problem, self.fix = where, field, problem, fix
        super().__init__(f"{where}: {field}: {problem}" + (f" ({fix})" if fix else ""))

    def __reduce__(self) -> tuple[type[BadSample], tuple[str, str, str, str]]:
        """Say how another process makes it anew."""
        return type(self), (self.where, self.field, self.problem, self.fix)


class MissingWeights(IcdBenchError):
    """A model or metric needs weights that are not on this machine; says how to get them."""


class UnusableWeights(UsageError):
    """A file of weights cannot be read, is damaged, or belongs to another network."""


class SignatureMismatch(IcdBenchError):
    """Two scores were made in different ways and must not be compared."""


class RunLocked(IcdBenchError):
    """Another process writes into this run folder; the message says which."""


class CorruptRun(IcdBenchError):
    """A run folder cannot be read; the message names the file."""


class StorageFailed(IcdBenchError):
    """A run folder cannot be written: a full disk, no permission. What is there stays valid."""


class WorkersFailed(IcdBenchError):
    """The processes that compute cannot be started, or are not like the one that asks them."""


class EditFailed(IcdBenchError):
    """A method could not edit a picture; the message has its reason."""
