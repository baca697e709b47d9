"""Names that want out of their cell, and tokens that must not get in."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest
from gate_runs import plain_scores, write_run

from icd_bench.cli.app import main
from icd_bench.gate.baseline import read_baseline
from icd_bench.gate.compare import Comparison, compare
from icd_bench.gate.formats import to_junit, to_markdown
from icd_bench.gate.measure import measure
from icd_bench.gate.pictures import save_worst
from icd_bench.gate.renew import make_baseline

HOSTILE = '<img src=x onerror="window.hacked=1">|`](javascript:alert(1))\n## ../../x \x00\x1b[2J'
TOKEN = "hf_" + "Aa1" * 12


def worse(method: str, seed: int, index: int) -> Sequence[float]:
    psnr, lpips = plain_scores(method, seed, index)
    return psnr - 5, lpips


def compared(folder: Path) -> tuple[Comparison, Path]:
    """Compare two runs in which every name is hostile."""
    names = {"methods": (HOSTILE,), "prefix": HOSTILE, "samples": 12}
    before = write_run(folder / "before", **names)
    now = write_run(folder / "now", scores=worse, failed=((HOSTILE, 3),), **names)
    make_baseline(folder / "base.json", measure(before))
    return compare(read_baseline(folder / "base.json"), measure(now)), now


def test_markdown_stays_in_its_cells(tmp_path: Path) -> None:
    found, _ = compared(tmp_path)
    text = to_markdown(found, pictures=[f"worst/{HOSTILE}.png"])
    widths = {
        len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("| ")
    }
    assert widths == {7, 10}
    assert not re.search(r"(?<!\\)<img", text)
    assert not re.search(r"(?<!\\)\]\(javascript", text)
    assert "\n## " not in text
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", text)


def test_junit_is_xml_whatever_the_names(tmp_path: Path) -> None:
    found, _ = compared(tmp_path)
    suite = ElementTree.fromstring(to_junit(found))
    assert any("onerror" in case.attrib["classname"] for case in suite)


def test_pictures_stay_in_their_folder(tmp_path: Path) -> None:
    found, now = compared(tmp_path)
    folder = tmp_path / "deep" / "worst"
    written = save_worst(found.worst, now, folder, 5)
    assert len(written) == 5
    assert all(path.parent == folder for path in written)
    assert all(re.fullmatch(r"[\w+.-]+", path.name, re.ASCII) for path in written)


def test_tables_stay_in_their_cells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, now = compared(tmp_path)
    assert main(["table", str(now), "--format", "csv"]) == 0
    rows = [row for row in csv.reader(io.StringIO(capsys.readouterr().out)) if row]
    assert any("onerror" in cell for row in rows for cell in row)
    assert len({len(row) for row in rows}) == 1
    assert main(["table", str(now), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)
    assert main(["table", str(now), "--format", "md"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert lines
    assert not any(re.search(r"(?<!\\)<img", line) for line in lines)


def test_a_hub_token_gets_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_TOKEN"):
        monkeypatch.setenv(name, TOKEN)
    run = write_run(tmp_path / "run", samples=12)
    base = tmp_path / "base.json"
    outputs = ("--markdown", "m.md", "--junit", "j.xml", "--json", "c.json", "--pictures", "worst")
    paths = [part if part.startswith("--") else str(tmp_path / part) for part in outputs]
    for words in (
        ["baseline", "make", str(run), "--out", str(base)],
        ["check", str(run), "--baseline", str(base), *paths],
        ["report", str(run), "--out", str(tmp_path / "report")],
        ["export", str(run), "--out", str(tmp_path / "run.zip")],
        ["verify", str(run)],
        ["doctor"],
    ):
        assert main(words) == 0, words
    assert TOKEN not in "".join(capfd.readouterr())
    everything = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(everything) > 30
    assert not [path for path in everything if TOKEN.encode() in path.read_bytes()]
