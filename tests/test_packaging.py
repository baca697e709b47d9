"""The wheel holds everything, and works where the repository is not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {
    "icd_bench": "icd_bench",
    "icd_bench.methods": "methods",
    "icd_bench.benchmarks": "benchmarks",
    "icd_bench.reports": "reports",
}


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def package_folders() -> dict[str, Path]:
    """Return package name -> folder, for every folder of the repository that is a package."""
    found = {}
    for package, folder in FOLDERS.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            parts = init.parent.relative_to(ROOT / folder).parts
            found[".".join((package, *parts))] = init.parent
    return found


def run(*arguments: object, **options: Any) -> str:
    done = subprocess.run(
        [str(argument) for argument in arguments],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build from a copy, so that no build folder of the repository is used or left."""
    copy = tmp_path_factory.mktemp("source") / "icd-bench"
    copy.mkdir()
    for name in (*FOLDERS.values(), "pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        source, target = ROOT / name, copy / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, copy)
    (path,) = out.glob("*.whl")
    return path


def test_every_package_is_listed() -> None:
    assert sorted(project()["tool"]["setuptools"]["packages"]) == sorted(package_folders())


def test_every_module_and_data_file_is_in_the_wheel(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    for package, folder in package_folders().items():
        place = package.replace(".", "/")
        for module in folder.glob("*.py"):
            assert f"{place}/{module.name}" in packed
    weights = [path for path in (ROOT / "icd_bench/weights").rglob("*") if path.is_file()]
    assert weights
    for path in weights:
        assert path.relative_to(ROOT).as_posix() in packed
    assert "icd_bench/py.typed" in packed
    assert "icd_bench/benchmarks/scenes/README.md" in packed
    tops = {name.split("/")[0] for name in packed}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"icd_bench"}
    licences = {name.rsplit("/", 1)[-1] for name in packed if "/licenses/" in name}
    assert licences == {"LICENSE", "NOTICE"}


def test_the_wheel_works_elsewhere(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index")
    run(*pip, "--target", site, wheel)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(site)}
    options: dict[str, Any] = {"cwd": elsewhere, "env": environment}
    script = site / "bin" / "icd-bench"
    for name in project()["project"]["entry-points"]["icd_bench.methods"]:
        assert f"\n{name} " in run(sys.executable, script, "list", "methods", **options)
    where = (
        "import icd_bench, icd_bench.methods.icd as icd; print(icd_bench.__file__, icd.__file__)"
    )
    for path in run(sys.executable, "-c", where, **options).split():
        assert Path(path).is_relative_to(site)


def test_constraints_pin_every_dependency_and_nothing_local() -> None:
    pins = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if not line.startswith("#"):
            name, version = line.split("==")
            assert "/" not in line
            pins[normal(name)] = version
    dependencies = project()["project"]["dependencies"]
    dependencies += project()["project"]["optional-dependencies"]["test"]
    for dependency in dependencies:
        assert normal(dependency.split(">=")[0]) in pins


def normal(name: str) -> str:
    return name.lower().replace("_", "-")
