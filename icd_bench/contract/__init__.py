"""What every method promises, as checks that anybody can run on their own.

``subject`` is a method with something to edit, ``checks`` are the promises.
"""

from icd_bench.contract.checks import CHECKS, Finding, check_method
from icd_bench.contract.subject import Subject

__all__ = ["CHECKS", "Finding", "Subject", "check_method"]
