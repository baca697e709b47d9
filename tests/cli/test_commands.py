"""The commands that edit, on real photos and a tiny model; the method is the README's."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from icd_bench.cli.app import main
from icd_bench.models import ModelSpec

ROOT = Path(__file__).parents[2]
PROMPTS = """image,source,target,blend_source,blend_target
cat.jpg,a cat beside a mirror,a dog beside a mirror,cat,dog
none.jpg,a cat,a dog,,
horse.jpg,a horse in the mud,a horse in the snow,mud,snow
"""
SWEEP = ("--sweep", "one-jump.t=300,500", "--metrics", "psnr,mse")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, small_spec: ModelSpec) -> Iterator[Path]:
    """The working directory: an album, the README's method, a model, and soon a run."""
    folder = tmp_path_factory.mktemp("work")
    assert small_spec.root is not None
    (folder / "model").symlink_to(small_spec.root)
    shutil.copytree(ROOT / "tests/data/photos", folder / "album")
    (folder / "album/prompts.csv").write_text(PROMPTS)
    (code,) = re.findall(
        r"```python[^\n]*\n(# one_jump\.py.*?)```", (ROOT / "README.md").read_text(), re.DOTALL
    )
    (folder / "one_jump.py").write_text(code)
    before = os.getcwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


def command(*more: str) -> list[str]:
    methods = "./one_jump.py:OneJump,identity"
    return [
        "run",
        "--no-anchors",
        "--method",
        methods,
        "--bench",
        "album",
        "--model",
        "model",
        *more,
    ]


def test_run_edits_scores_and_says_where(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(*SWEEP)) == 1
    captured = capsys.readouterr()
    assert "prompts.csv, row 3, none.jpg: image: there is no such file" in captured.err
    assert "3 edits failed" in captured.err
    assert "Traceback" not in captured.err
    for text in ("one-jump", "identity", "psnr"):
        assert text in captured.out
    (run,) = (work / "runs").iterdir()
    assert f"runs/{run.name}/images" in captured.out

    rows = pd.read_parquet(run / "results.parquet")
    assert len(rows) == 9
    assert rows["error"].fillna("").ne("").sum() == 3


def test_the_same_command_goes_on(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run,) = (work / "runs").iterdir()
    pictures = {path: path.stat().st_mtime_ns for path in run.rglob("*.png")}
    shutil.copy(work / "album/cat.jpg", work / "album/none.jpg")
    assert main(command(*SWEEP, "--out", str(run))) == 0
    capsys.readouterr()
    after = {path: path.stat().st_mtime_ns for path in run.rglob("*.png")}
    assert len(after) == len(pictures) + 4
    assert pictures.items() <= after.items()


@pytest.mark.parametrize("form", ["rich", "csv", "md", "latex", "json"])
def test_table_of_the_newest_run(work: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    assert main(["table", "--format", form]) == 0
    out = capsys.readouterr().out
    assert "one-jump" in out
    if form == "json":
        assert json.loads(out)


def test_edit_writes_one_picture(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--source", "a cat", "--target", "a dog", "--method", "./one_jump.py:OneJump"]
    to = ["--model", "model", "--set", "t=300", "--out", "dog.png"]
    assert main(["edit", "album/cat.jpg", *words, *to]) == 0
    assert capsys.readouterr().out.startswith("dog.png ")
    assert Image.open("dog.png").size == (128, 128)


@pytest.mark.parametrize(
    ("out", "message"), [("dog.jpg", "name it dog.png"), ("no/dog.png", "no writable folder no")]
)
def test_edit_checks_the_output_first(
    work: Path, capsys: pytest.CaptureFixture[str], out: str, message: str
) -> None:
    words = ["--source", "a cat", "--target", "a dog", "--model", "model", "--out", out]
    assert main(["edit", "album/cat.jpg", *words]) == 2
    assert message in capsys.readouterr().err


def test_the_readmes_method_keeps_every_promise(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["check-method", "./one_jump.py:OneJump", "--samples", "2"])
    assert code == 0, capsys.readouterr().out


def test_the_readme_names_every_method(capsys: pytest.CaptureFixture[str]) -> None:
    main(["list", "methods", "--json"])
    readme = (ROOT / "README.md").read_text()
    for card in json.loads(capsys.readouterr().out):
        assert f"| `{card['name']}` |" in readme
