"""Every command in the documentation is run, or where it cannot be, parsed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from doc_fences import NEEDS, ROOT, SHELLS, Fence, fences, pages
from PIL import Image
from typer.core import TyperGroup

from icd_bench import registry
from icd_bench.cli.app import app, main
from icd_bench.cli.output import split_names
from icd_bench.protocols import find_protocol
from icd_bench.run.caches.cache import HOME_VARIABLE

RUN = ("run", "--method", "icd,ddim", "--set", "ddim.steps=4", "--bench", "scenes")
PLUGIN = ROOT / "tests/plugin"
SHELL = [fence for page in pages() for fence in fences(page) if fence.language in SHELLS]


def parse(words: list[str]) -> Any:
    """Parse a command as the command line does; return the parsed options."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("icd-bench", list(words))
    while isinstance(command, TyperGroup):
        words = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, words)
        context = command.make_context(name, rest, parent=context)
    return context.params


def check_names(options: dict[str, Any]) -> None:
    """Check the names that the command line looks up only when it runs."""
    for reference in split_names(options.get("methods") or ()):
        assert ".py:" in reference or registry.methods.load(reference)
    for name in split_names(options.get("metrics") or ()):
        assert ".py:" in name or registry.metrics.load(name)
    if protocol := options.get("protocol"):
        assert find_protocol(protocol)
    bench = re.split("[:=]", options.get("bench") or "")[0]
    assert not bench or "/" in bench or bench == "album" or registry.benchmarks.load(bench)


@pytest.mark.parametrize("fence", SHELL, ids=str)
def test_every_command_can_be_parsed(fence: Fence) -> None:
    assert set(fence.options) <= {"needs", "file", "exit"}, f"{fence}: see doc_fences.py"
    assert set(fence.needs) <= set(NEEDS), f"{fence}: needs is made of {', '.join(NEEDS)}"
    for words in fence.commands():
        try:
            options = parse(words)
            if PLUGIN not in fence.page.parents:  # its names are those of a package not installed
                check_names(options)
        except Exception as error:
            pytest.fail(f"{fence}: icd-bench {' '.join(words)}: {error}", pytrace=False)


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for fence in SHELL:
        for line in fence.lines:
            if line.startswith("make "):
                assert line.split()[1] in targets, f"{fence}: {line}"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two finished runs, a photo and an album, which every page starts from."""
    folder = tmp_path_factory.mktemp("docs")
    before = os.getcwd()
    os.chdir(folder)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(HOME_VARIABLE, str(folder / "cache"))
            for name, seed in (("other", "1"), ("demo", "0")):
                more = ("--limit", "2", "--no-anchors", "--seed", seed, "--out", f"runs/{name}")
                assert main([*RUN, *more]) == 0
    finally:
        os.chdir(before)
    photos = ROOT / "tests/data/photos"
    shutil.copy(photos / "cat.jpg", folder)
    shutil.copytree(photos, folder / "album")
    with Image.open(photos / "horse.jpg") as horse:
        mask = Image.new("L", horse.size)
        mask.paste(255, (0, horse.height // 2, *horse.size))
        mask.save(folder / "album/mud.png")
    return folder


@pytest.fixture
def work(finished: Path, tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "work"
    shutil.copytree(finished, folder)
    before = os.getcwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


def small(words: list[str]) -> list[str]:
    """Return a command with fewer samples."""
    if words[0] != "run":
        return words
    text = "\0".join(words).replace("--subset\0ci", "--limit\0002")
    return re.sub("--limit\0\\d+", "--limit\0002", text).split("\0")


def run(line: str, fence: Fence) -> int:
    (words, *others) = [*fence.commands()] if line.startswith("icd-bench ") else [None]
    if words is not None and not others:
        return main(small(words))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(["bash", "-ec", line], env={**os.environ, "PATH": path}).returncode


def runnable() -> list[Path]:
    return [page for page in pages() if any(f.page == page and not f.needs for f in SHELL)]


@pytest.mark.parametrize("page", runnable(), ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_runs_from_top_to_bottom(
    page: Path, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for fence in fences(page):
        if name := fence.options.get("file"):
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text(fence.text, encoding="utf-8")
        if fence.language not in SHELLS or fence.needs:
            continue
        for line in fence.lines:
            code = run(line, Fence(page, fence.line, fence.language, {}, line))
            expected = int(fence.options.get("exit", 0)) if line == fence.lines[-1] else 0
            said = capsys.readouterr()
            assert code == expected, f"{fence}: {line}\n{said.out[-2000:]}\n{said.err[-2000:]}"


def test_the_page_of_the_run_folder_names_every_field(finished: Path) -> None:
    manifest = json.loads((finished / "runs/demo/run.json").read_text())
    page = (ROOT / "docs/results.md").read_text()
    fields = {*manifest, *manifest["commands"][-1]}
    assert not [field for field in sorted(fields) if f"`{field}`" not in page]
