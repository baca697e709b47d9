"""The rules of CONTRIBUTING.md and docs/security.md that a program can hold."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from doc_fences import ROOT

PACKAGES = {
    "icd_bench": ROOT / "icd_bench",
    "icd_bench.methods": ROOT / "methods",
    "icd_bench.benchmarks": ROOT / "benchmarks",
    "icd_bench.reports": ROOT / "reports",
}
PLUGINS = ("icd_bench.methods", "icd_bench.benchmarks", "icd_bench.reports")
WITHOUT_TORCH = ("icd_bench/gate", "icd_bench/stats", "icd_bench/data", "icd_bench/models")


def modules(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports at run time, those for type checkers left out."""
    skipped = {
        inner
        for node in ast.walk(tree(path))
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree(path)):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def offenders(folders: list[Path], forbidden: tuple[str, ...]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}: {name}"
        for folder in folders
        for path in modules(folder)
        for name in imports(path)
        if any(name == one or name.startswith(f"{one}.") for one in forbidden)
    ]


def test_the_harness_knows_no_plugin() -> None:
    assert not offenders([ROOT / "icd_bench"], PLUGINS)


def test_reports_and_what_they_stand_on_need_no_torch() -> None:
    folders = [ROOT / "reports", *(ROOT / name for name in WITHOUT_TORCH)]
    assert not offenders(folders, ("torch", "torchvision", "diffusers", "transformers"))


def test_benchmarks_know_no_runs() -> None:
    assert not offenders([ROOT / "benchmarks"], ("icd_bench.run", "icd_bench.reports"))


def test_the_parts_of_a_run_import_one_another_in_one_direction() -> None:
    root = ROOT / "icd_bench" / "run"
    parts = {folder.name: folder for folder in root.iterdir() if (folder / "__init__.py").is_file()}
    uses = {
        name: {
            words[2]
            for path in modules(folder)
            for words in (module.split(".") for module in imports(path))
            if words[:2] == ["icd_bench", "run"] and len(words) > 2 and words[2] in parts
        }
        - {name}
        for name, folder in parts.items()
    }
    assert len(parts) > 4
    TopologicalSorter(uses).prepare()  # raises where there is a circle


DANGEROUS = {
    "eval": "runs text",
    "exec": "runs text",
    "os.system": "a shell",
    "os.popen": "a shell",
    "pickle.load": "unpickles",
    "pickle.loads": "unpickles",
    "yaml.load": "builds objects",
    "extractall": "unpacks unseen",
}


@pytest.mark.parametrize("folder", PACKAGES.values(), ids=PACKAGES)
def test_nothing_is_unpickled_and_no_shell_is_asked(folder: Path) -> None:
    found = []
    for path in modules(folder):
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            options = {one.arg: ast.unparse(one.value) for one in node.keywords}
            if name in DANGEROUS or name.endswith(".extractall"):
                found.append(f"{path}:{node.lineno}: {name}")
            if name == "torch.load" and options.get("weights_only") != "True":
                found.append(f"{path}:{node.lineno}: torch.load unpickles")
            if options.get("shell", "False") != "False":
                found.append(f"{path}:{node.lineno}: a shell")
            if name.endswith("np.load") and options.get("allow_pickle", "False") != "False":
                found.append(f"{path}:{node.lineno}: unpickles")
    assert not found
