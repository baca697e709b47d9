"""Finds methods, benchmarks, metrics and engines by entry point, lazily.

The built-in ones register exactly as a third party's do (``pyproject.toml``). Listing names loads
nothing; a plugin that fails to load is reported where it is asked for and never breaks the rest.
"""

from __future__ import annotations

import difflib
import importlib.util
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

from icd_bench.errors import UnknownName, UsageError

T = TypeVar("T")


def suggest(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean "x"?)`` for the nearest known name, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f' Did you mean "{near[0]}"?' if near else ""


@dataclass(frozen=True)
class Registry(Generic[T]):
    """Plugins of one kind.

    Args:
        kind: singular noun used in messages ("method").
        group: entry-point group ("icd_bench.methods").
    """

    kind: str
    group: str

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
            UsageError: the plugin exists but cannot be imported.
        """
        if ".py:" in name:
            from_file: type[T] = load_from_file(name)
            return from_file
        entries = self.entries()
        if name not in entries:
            raise UnknownName(
                f'unknown {self.kind} "{name}".{suggest(name, entries)} '
                f"Known: {', '.join(entries) or 'none'}."
            )
        try:
            plugin: type[T] = entries[name].load()
        except Exception as error:
            raise UsageError(
                f'{self.kind} "{name}" ({entries[name].value}) cannot be loaded: '
                f"{type(error).__name__}: {error}"
            ) from error
        return plugin


@cache
def load_from_file(reference: str) -> Any:
    """Return the class named by ``path/to/file.py:Class``; cached, so a file is run once."""
    path_text, _, attribute = reference.rpartition(":")
    path = Path(path_text).expanduser().resolve()
    if not path.is_file():
        raise UsageError(f'"{reference}": there is no file {path}')
    module_name = f"icd_bench_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f'"{reference}": {path} is not a Python file')
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(
            f'"{reference}" cannot be imported: {type(error).__name__}: {error}'
        ) from error
    if not hasattr(module, attribute):
        classes = [n for n, v in vars(module).items() if isinstance(v, type)]
        raise UnknownName(f'{path} has no class "{attribute}".{suggest(attribute, classes)}')
    return getattr(module, attribute)


methods: Registry[Any] = Registry("method", "icd_bench.methods")
benchmarks: Registry[Any] = Registry("benchmark", "icd_bench.benchmarks")
metrics: Registry[Any] = Registry("metric", "icd_bench.metrics")
engines: Registry[Any] = Registry("engine", "icd_bench.engines")
reports: Registry[Any] = Registry("report", "icd_bench.reports")
