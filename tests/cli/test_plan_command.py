"""``icd-bench plan`` and ``icd-bench cache``."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from icd_bench.cli.app import main
from icd_bench.run.caches.cache import HOME_VARIABLE, InversionCache, inversions_home

ASKED = ("--bench", "scenes", "--limit", "3", "--no-anchors", "--no-measure")
SWEEPS = ("--sweep", "cross_replace=0.2,0.4", "--sweep", "self_replace=0.5,0.75")


def test_a_plan_is_printed_before_anything_is_measured(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["plan", "--method", "icd,jpeg", *ASKED, *SWEEPS]) == 0
    out = capsys.readouterr().out
    head, icd, jpeg = (line.split() for line in out.splitlines()[-3:])
    assert head[:2] == ["method", "settings"]
    assert icd == ["icd", "4", "12", "0", "12", "3", "0", "?", "?", "?"]
    assert jpeg[:5] == ["jpeg", "1", "3", "0", "3"]
    assert list(tmp_path.iterdir()) == []


def test_a_plan_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--method", "icd", *ASKED, *SWEEPS, "--zip", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["cells"], found["done"], found["unmeasured"]) == (6, 0, ["icd"])
    assert found["methods"][0]["settings"] == 2
    assert found["methods"][0]["rows_edit"] is None


def test_a_measured_plan_says_what_takes_the_disk(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    asked = ("--method", "icd", "--bench", "scenes", "--limit", "2", "--no-anchors")
    assert main(["plan", *asked]) == 0
    (disk,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("disk"))
    assert re.fullmatch(r"disk +[\d.]+ kB, of it [\d.]+ kB the run folder", disk)
    assert main(["plan", *asked, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert 0 < found["bytes_folder"] < found["bytes"]
    assert found["without_inversions"] == []


def test_fields_that_are_zipped_need_as_many_values(capsys: pytest.CaptureFixture[str]) -> None:
    sweeps = (*SWEEPS[:2], "--sweep", "self_replace=0.5")
    assert main(["plan", "--method", "icd", *ASKED, *sweeps, "--zip"]) == 2
    assert "cross_replace has 2, self_replace has 1 values" in capsys.readouterr().err


def test_the_cache_can_be_seen_and_cleared(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    kept = InversionCache(inversions_home()).path("ab12")
    kept.parent.mkdir(parents=True)
    kept.write_bytes(bytes(1500))
    assert main(["cache", "info"]) == 0
    out = capsys.readouterr().out
    assert "1.5 kB" in out
    assert str(tmp_path) in out
    assert main(["cache", "clear"]) == 0
    assert "1.5 kB freed" in capsys.readouterr().out
    assert not kept.exists()
    assert main(["cache", "info"]) == 0
    assert "never" in capsys.readouterr().out
