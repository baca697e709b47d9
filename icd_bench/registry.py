"""Finds methods, benchmarks, metrics and engines by entry point, lazily.

The built-in ones register exactly as a third party's do (``pyproject.toml``). Listing names loads
nothing; a plugin that fails to load, or lacks what its kind must have, is reported where it is
asked for and never breaks the rest.
"""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from icd_bench.api import BenchmarkInfo, MethodInfo, MetricInfo, Setting
from icd_bench.errors import UnknownName, UsageError

T = TypeVar("T")


def suggest(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean "x"?)`` for the nearest known name, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f' Did you mean "{near[0]}"?' if near else ""


@dataclass(frozen=True)
class Shape:
    """What every class of a kind has, so that a mistake is told before anything is run."""

    info: type
    """Of the class's ``info``."""
    attributes: tuple[tuple[str, ...], ...]
    """Alternatives, each of which is enough: names of attributes besides ``info``."""
    options: tuple[str, ...] = ()
    """Keywords with which one that is known by name is made; one of a file is made without."""

    def problems(self, plugin: Any, options: tuple[str, ...] = ()) -> Iterator[str]:
        """Yield what is wrong with what should be such a class, made with these keywords."""
        if not isinstance(plugin, type):
            needed = ", ".join(("info", *self.attributes[0]))
            yield f"it is no class, but a {type(plugin).__name__}; a class needs {needed}"
            return
        lacking = [[a for a in names if not hasattr(plugin, a)] for names in self.attributes]
        missing = [*([] if hasattr(plugin, "info") else ["info"]), *min(lacking, key=len)]
        if missing:
            yield f"the class {plugin.__name__} has no {', '.join(missing)}"
        info = getattr(plugin, "info", None)
        if "info" not in missing and not isinstance(info, self.info):
            yield f"info of the class {plugin.__name__} is no {self.info.__name__}"
        schema = getattr(plugin, "Setting", Setting)
        if not (isinstance(schema, type) and issubclass(schema, Setting)):
            yield f"Setting of the class {plugin.__name__} is no subclass of icd_bench.api.Setting"
        if refused := _refused(plugin, options):
            call = ", ".join(f"{option}=None" for option in options)
            yield f"{plugin.__name__}({call}) cannot be called: {refused}"


def _refused(plugin: type, options: tuple[str, ...]) -> str:
    """Return why a class cannot be made with these keywords; empty if its signature allows it."""
    try:
        signature = inspect.signature(plugin)
    except ValueError:  # that of a class written in C cannot be told
        return ""
    try:
        signature.bind(**dict.fromkeys(options))
    except TypeError as error:
        return str(error)
    return ""


@dataclass(frozen=True)
class Registry(Generic[T]):
    """Plugins of one kind.

    Args:
        kind: singular noun used in messages ("method").
        group: entry-point group ("icd_bench.methods").
        shape: what its classes must have; None: no more than a name.
    """

    kind: str
    group: str
    shape: Shape | None = None

    def entries(self) -> dict[str, EntryPoint]:
        """Return name -> entry point, sorted by name; the first distribution wins a name."""
        found: dict[str, EntryPoint] = {}
        for entry in entry_points(group=self.group):
            found.setdefault(entry.name, entry)
        return dict(sorted(found.items()))

    def names(self) -> list[str]:
        """Return the registered names without loading anything."""
        return list(self.entries())

    def load(self, name: str) -> type[T]:
        """Return the class registered as ``name``, or the one at ``./file.py:Class``.

        Raises:
            UnknownName: nothing is registered under that name.
            UsageError: the plugin exists but cannot be imported, or is none of this kind.
        """
        if ".py:" in name:
            return self._checked(load_from_file(name), f'{self.kind} "{name}"')
        if name.endswith(".py"):
            raise UsageError(
                f'{self.kind} "{name}": which class of the file? Write {name}:Class.'
                f"{self._fitting(name)}"
            )
        entries = self.entries()
        if name not in entries:
            raise UnknownName(
                f'unknown {self.kind} "{name}".{suggest(name, entries)} '
                f"Known: {', '.join(entries) or 'none'}."
            )
        what = f'{self.kind} "{name}" ({entries[name].value})'
        try:
            plugin = entries[name].load()
        except Exception as error:
            raise UsageError(f"{what} cannot be loaded: {type(error).__name__}: {error}") from error
        return self._checked(plugin, what, self.shape.options if self.shape else ())

    def _checked(self, plugin: Any, what: str, options: tuple[str, ...] = ()) -> type[T]:
        """Return the plugin if it has what its kind must have."""
        problems = list(self.shape.problems(plugin, options)) if self.shape else []
        if problems:
            raise UsageError(f"{what} cannot be used: {'; '.join(problems)}")
        checked: type[T] = plugin
        return checked

    def _fitting(self, path: str) -> str:
        """Return which classes of a file are of this kind, as the end of a message."""
        own = _own(_run_file(Path(path).expanduser().resolve()))
        shape = self.shape
        names = [name for name, value in own.items() if shape and not any(shape.problems(value))]
        return f" It has: {', '.join(names)}." if names else ""


@cache
def load_from_file(reference: str) -> Any:
    """Return what ``path/to/file.py:Class`` names; a file is run once.

    Raises:
        UnknownName: the file has nothing of that name.
        UsageError: there is no such file, or it cannot be imported.
    """
    path_text, _, attribute = reference.rpartition(":")
    path = Path(path_text).expanduser().resolve()
    module = _run_file(path)
    if not hasattr(module, attribute):
        classes = [n for n, v in _own(module).items() if isinstance(v, type)]
        raise UnknownName(
            f'{path} has no class "{attribute}".{suggest(attribute, classes)} '
            f"It has: {', '.join(classes) or 'none'}."
        )
    return getattr(module, attribute)


@cache
def _run_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    module_name = f"icd_bench_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def _own(module: ModuleType) -> dict[str, Any]:
    """Return what a module has defined itself, by name."""
    name = module.__name__
    return {n: v for n, v in vars(module).items() if getattr(v, "__module__", "") == name}


methods: Registry[Any] = Registry(
    "method",
    "icd_bench.methods",
    Shape(MethodInfo, (("Setting", "invert", "edit"),)),
)
benchmarks: Registry[Any] = Registry(
    "benchmark",
    "icd_bench.benchmarks",
    Shape(BenchmarkInfo, (("samples",),), options=("location", "split")),
)
metrics: Registry[Any] = Registry(
    "metric",
    "icd_bench.metrics",
    Shape(
        MetricInfo,
        (
            ("load", "signature", "score"),
            ("load", "signature", "enough", "features", "distance"),
        ),
    ),
)
engines: Registry[Any] = Registry("engine", "icd_bench.engines")
reports: Registry[Any] = Registry("report", "icd_bench.reports")
