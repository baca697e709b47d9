"""Rows that were made under other conditions are not ranked together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from icd_bench.cli.app import main
from icd_bench.reports.table import build_table
from icd_bench.run.progress import QuietProgress
from icd_bench.run.scoring.conditions import Conditions
from icd_bench.run.scoring.outside import OutsideRequest, score_outside


def imported(root: Path, name: str, offset: int, conditions: Conditions) -> Path:
    """Write edits that are ``offset`` levels off, and return their run."""
    album = root / "album"
    if not album.is_dir():
        album.mkdir(parents=True)
        ramp = np.tile(np.arange(64, dtype=np.uint8)[:, None, None], (1, 64, 3))
        Image.fromarray(ramp).save(album / "a.png")
        row = {"id": "a", "image": "a.png", "source": "a ramp", "target": "a slope"}
        (album / "prompts.jsonl").write_text(json.dumps(row))
    edits = root / name
    edits.mkdir()
    picture = np.asarray(Image.open(album / "a.png")) + np.uint8(offset)
    Image.fromarray(picture).save(edits / "a.png")
    request = OutsideRequest(
        place=edits,
        benchmark=str(album),
        name=name,
        conditions=conditions,
        nfe=8,
        metrics=("psnr",),
        out=root / f"run-{name}",
        device="cpu",
    )
    return score_outside(request, QuietProgress()).path


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    return [
        imported(tmp_path, "plain", 9, Conditions()),
        imported(tmp_path, "other", 5, Conditions()),
        imported(tmp_path, "masked", 2, Conditions(masks="used")),
    ]


def test_conditions_are_a_column_and_a_border(
    runs: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    table = build_table(runs)
    rows = {row.method: row for row in table.rows}
    assert "conditions" in table.varying()
    assert rows["masked"].conditions == "masks used"
    assert rows["masked"].block != rows["plain"].block
    assert "psnr" in rows["other"].best
    assert "psnr" not in rows["masked"].best
    assert rows["plain"].nfe_edit == 8
    assert rows["plain"].resolution == "64"
    assert rows["jpeg"].anchor
    assert rows["identity"].anchor

    together = {row.method: row for row in build_table(runs, ranked_together=True).rows}
    assert "psnr" in together["masked"].best
    assert "psnr" not in together["other"].best

    paths = [str(path) for path in runs]
    assert main(["table", *paths, "--format", "md", "--rank-together"]) == 0
    assert "masks used" in capsys.readouterr().out


def test_published_needs_the_papers_benchmark(
    runs: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "published", str(runs[0])]) == 0
    assert capsys.readouterr().out.strip() == "0 match, 0 differs, 0 not comparable"
    assert main(["check", "published", str(runs[0]), "--all", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 242


def test_published_is_a_subcommand_and_a_folder_of_that_name_stays_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["check", "--help"]) == 0
    assert "icd-bench check published" in capsys.readouterr().out
    assert main(["check", "published", "--help"]) == 0
    assert capsys.readouterr().out.startswith("Usage: icd-bench check published [OPTIONS] [DIR]")
    assert main(["check", "./published", "--baseline", "none.json"]) == 2
    assert "none.json: cannot be read" in capsys.readouterr().err
    assert main(["check", "published", "--alll"]) == 2
    assert 'Did you mean "--all"? (see "icd-bench check published --help")' in (
        capsys.readouterr().err
    )
    assert main(["published"]) == 2
