"""Edits made elsewhere, on PIE-Bench's layout with photos; no model anywhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from official_folders import make_piebench
from PIL import Image

from icd_bench.cli.app import main
from icd_bench.errors import UsageError
from icd_bench.run import RunFolder
from icd_bench.run.progress import QuietProgress
from icd_bench.run.scoring.conditions import Conditions, read_conditions
from icd_bench.run.scoring.outside import OutsideRequest, score_outside

KEYS = ["000000000000", "000000000002", "000000000005", "000000000008", "000000000013"]
METRICS = ("psnr", "background_mse")
QUICK = {"compress_level": 1}


@pytest.fixture(scope="module")
def pie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_piebench(tmp_path_factory.mktemp("pie"))


def source(pie: Path, key: str) -> Path:
    return pie / "annotation_images" / "0_random_140" / f"{key}.jpg"


def darker(path: Path, out: Path, size: tuple[int, int] | None = None) -> None:
    picture = Image.open(path).convert("RGB").point(lambda level: level * 3 // 4)
    out.parent.mkdir(parents=True, exist_ok=True)
    (picture.resize(size) if size else picture).save(out, **QUICK)


@pytest.fixture
def edits(pie: Path, tmp_path: Path) -> Path:
    """Two good edits, one that copies, one of another size, one that is broken, one of nothing."""
    folder = tmp_path / "edits"
    for key in KEYS[:2]:
        darker(source(pie, key), folder / f"{key}.png")
    Image.open(source(pie, KEYS[2])).save(folder / f"{KEYS[2]}.png", **QUICK)
    darker(source(pie, KEYS[3]), folder / f"{KEYS[3]}.png", (300, 256))
    (folder / f"{KEYS[4]}.png").write_bytes(b"no picture")
    darker(source(pie, KEYS[0]), folder / "stranger.png")
    return folder


def request(pie: Path, place: Path, **changes: object) -> OutsideRequest:
    values: dict[str, object] = {
        "place": place,
        "benchmark": f"piebench:icd-140={pie}",
        "name": "other",
        "metrics": METRICS,
        "out": place.parent / "run",
        "device": "cpu",
    }
    return OutsideRequest(**{**values, **changes})  # type: ignore[arg-type]


def score(asked: OutsideRequest) -> tuple[pd.DataFrame, tuple[str, ...]]:
    summary = score_outside(asked, QuietProgress())
    return RunFolder.open(summary.path).read_results(), summary.problems


def test_everything_odd_is_said_and_the_rest_is_scored(pie: Path, edits: Path) -> None:
    results, said = score(request(pie, edits))
    assert said == (
        "5 of 7 edits found",
        "2 missing, not scored: 000000000014, 000000000028",
        "1 of no sample of the benchmark, passed over: stranger.png",
        "1 unreadable, not scored: 000000000013",
        "1 of another size, not scored: 000000000008 (300x256)",
        "1 identical to the source: 000000000005",
    )
    own = results[results["method"] == "other"].set_index("sample_id")
    assert len(own) == 7
    assert sorted(own.index[own["status"] == "ok"]) == KEYS[:3]
    assert set(own["error_type"]) == {"", "MissingEdit", "BadSample", "OtherSize"}
    assert np.isinf(own.loc[KEYS[2], "psnr"])
    assert 0 < own.loc[KEYS[0], "psnr"] < 30
    assert own.loc[KEYS[0], "background_mse"] > 0
    anchors = results[results["method"] != "other"]
    assert set(anchors["method"]) == {"identity", "jpeg"}
    assert np.isinf(anchors.loc[anchors["method"] == "identity", "psnr"]).all()
    assert anchors.loc[anchors["method"] == "jpeg", "psnr"].between(25, 60).all()


@pytest.mark.parametrize(("policy", "word"), [("resize", "resized"), ("corner", "cut")])
def test_a_size_policy_is_chosen(pie: Path, edits: Path, policy: str, word: str) -> None:
    strip = Image.new("RGB", (2048, 512), "red")
    strip.paste(Image.open(source(pie, KEYS[3])), (1536, 0))
    strip.save(edits / f"{KEYS[3]}.png", **QUICK)
    results, said = score(request(pie, edits, size_policy=policy))
    assert any(word in line for line in said)
    row = results[(results["method"] == "other") & (results["sample_id"] == KEYS[3])].iloc[0]
    assert row["status"] == "ok"
    assert np.isinf(row["psnr"]) == (policy == "corner")


def test_what_is_smaller_has_no_corner(pie: Path, edits: Path) -> None:
    results, said = score(request(pie, edits, size_policy="corner", metrics=()))
    assert any("300x256, too small, not scored" in line for line in said)
    own = results[(results["method"] == "other") & (results["sample_id"] == KEYS[3])]
    assert set(own["error_type"]) == {"OtherSize"}


def test_the_tree_of_the_scripts(pie: Path, tmp_path: Path) -> None:
    out = tmp_path / "output" / "annotation_images" / "0_random_140"
    for key in KEYS:
        darker(source(pie, key), out / f"{key}.jpg")
    results, said = score(request(pie, tmp_path / "output", layout="piebench"))
    assert said[0] == "5 of 7 edits found"
    assert (results[results["method"] == "other"]["status"] == "ok").sum() == 5


def test_a_file_of_lines(pie: Path, edits: Path) -> None:
    rows = [{"id": key, "image": f"edits/{key}.png"} for key in (*KEYS[:2], "stranger")]
    file = edits.parent / "edits.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, said = score(request(pie, file, layout="jsonl"))
    assert said[0] == "2 of 7 edits found"
    assert "passed over: stranger" in said[2]
    file.write_text('{"id": "x"}\n')
    with pytest.raises(UsageError, match="line 1: not an edit"):
        score(request(pie, file, layout="jsonl"))


def lines(edits: Path, rows: list[tuple[str, str]]) -> Path:
    """Write a JSONL file of (id, picture) beside the folder of edits."""
    file = edits.parent / "edits.jsonl"
    file.write_text("".join(json.dumps({"id": i, "image": path}) + "\n" for i, path in rows))
    return file


def test_lines_need_not_be_written_as_we_do(pie: Path, edits: Path) -> None:
    file = lines(edits, [(KEYS[0], f"edits/{KEYS[0]}.png")])
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    _, said = score(request(pie, file, layout="jsonl", metrics=()))
    assert said[0] == "1 of 7 edits found"


@pytest.mark.parametrize(
    ("content", "line"), [("id".encode("utf-16"), 1), (b'\n{"id": "caf\xe9", "image": "a"}', 2)]
)
def test_lines_that_are_not_utf_8_are_told(
    pie: Path, tmp_path: Path, content: bytes, line: int, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "edits.jsonl"
    file.write_bytes(content)
    words = ["--bench", f"piebench:icd-140={pie}", "--as", "other", "--layout", "jsonl"]
    assert main(["score", str(file), *words]) == 2
    assert f"edits.jsonl, line {line}: not UTF-8" in capsys.readouterr().err


def test_a_line_that_names_no_file_is_a_missing_edit(pie: Path, edits: Path) -> None:
    file = lines(edits, [(KEYS[0], f"edits/{KEYS[0]}.png"), (KEYS[1], "edits/gone.png")])
    results, said = score(request(pie, file, layout="jsonl", metrics=()))
    assert said[0] == "1 of 7 edits found"
    assert said[1].startswith("5 missing, not scored: ")
    gone = edits / "gone.png"
    assert said[2] == f"1 missing, the named file does not exist: {KEYS[1]} ({gone})"
    assert not any("unreadable" in line for line in said)
    row = results[(results["method"] == "other") & (results["sample_id"] == KEYS[1])].iloc[0]
    assert (row["error_type"], row["status"]) == ("MissingEdit", "failed")
    assert "gone.png does not exist" in row["error"]
    with pytest.raises(UsageError, match=r"named files that do not exist: 1, as .*gone\.png"):
        score(request(pie, lines(edits, [(KEYS[1], "gone.png")]), layout="jsonl"))


def test_two_edits_of_a_sample_are_refused_before_anything_is_written(
    pie: Path, edits: Path
) -> None:
    darker(source(pie, KEYS[0]), edits / f"{KEYS[0]}.jpg")
    darker(source(pie, KEYS[1]), edits / "ours" / f"{KEYS[1]}.png")
    told = (
        rf"samples with several edits \(2\): {KEYS[0]} \({KEYS[0]}.jpg, {KEYS[0]}.png\); {KEYS[1]} "
    )
    with pytest.raises(UsageError, match=told + rf"\({KEYS[1]}.png, ours/{KEYS[1]}.png\)"):
        score(request(pie, edits))
    two = [(KEYS[0], f"edits/{KEYS[0]}.{ending}") for ending in ("jpg", "png", "png")]
    with pytest.raises(UsageError, match=rf"edits \(1\): .*{KEYS[0]}.jpg, edits/{KEYS[0]}.png\)"):
        score(request(pie, lines(edits, two), layout="jsonl"))
    assert not (edits.parent / "run").exists()
    _, said = score(request(pie, lines(edits, two[1:]), layout="jsonl", metrics=()))
    assert said[0] == "1 of 7 edits found"


def test_the_scripts_tree_with_two_edits_of_a_sample_is_refused(pie: Path, tmp_path: Path) -> None:
    for ending in ("jpg", "png"):
        darker(source(pie, KEYS[0]), tmp_path / "out" / "0_random_140" / f"{KEYS[0]}.{ending}")
    with pytest.raises(UsageError, match=r"several edits \(1\): 000000000000"):
        score(request(pie, tmp_path / "out", layout="piebench"))


@pytest.mark.parametrize("name", ["identity", "jpeg", "vae-roundtrip"])
def test_reference_lines_keep_their_names(pie: Path, edits: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"--as {name}: this is a reference line.*another name"):
        score(request(pie, edits, name=name))
    assert not (edits.parent / "run").exists()


def test_the_weights_are_the_users_claim(pie: Path, edits: Path) -> None:
    words = ["score", str(edits), "--bench", f"piebench:icd-140={pie}", "--as", "other"]
    more = ["--metrics", "psnr", "--limit", "1", "--out"]
    assert main([*words, *more, str(edits.parent / "plain")]) == 0
    assert main([*words, *more, str(edits.parent / "claim"), "--model", "sd15"]) == 0
    plain, claim = (RunFolder.open(edits.parent / name) for name in ("plain", "claim"))
    assert set(plain.read_results()["model"]) == {"outside"}
    assert set(claim.read_results()["model"]) == {"sd15"}
    assert claim.manifest()["commands"][0]["model"] == "sd15"
    assert set(plain.read_results()["cell_id"]).isdisjoint(claim.read_results()["cell_id"])
    assert main(["score", str(edits.parent / "claim"), "--model", "sd15"]) == 2


def test_nothing_found_is_an_error(pie: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="in the layout flat"):
        score(request(pie, tmp_path / "empty"))
    with pytest.raises(UsageError, match="no such folder"):
        score(request(pie, tmp_path / "none"))


def test_the_protocol_reaches_the_scores(pie: Path, edits: Path) -> None:
    changes = {"protocol": "pie-bench-2023", "metrics": None, "out": edits.parent / "pie"}
    results, _ = score(request(pie, edits, **changes))
    assert set(results["protocol"]) == {"pie-bench-2023"}
    metrics = results.attrs["metrics"]
    assert {"zeroed_psnr", "zeroed_mse", "zeroed_ssim"} <= set(metrics)
    assert all(card["signature"].endswith("protocol:pie-bench-2023") for card in metrics.values())
    copied = results[(results["method"] == "identity")]
    assert np.isfinite(copied["zeroed_psnr"]).all()


def test_conditions() -> None:
    assert str(read_conditions([])) == ""
    told = read_conditions(["masks=used", "best_of=4", "prompts=rewritten"])
    assert told == Conditions(masks="used", best_of=4, prompts="rewritten")
    assert str(told) == "prompts rewritten, masks used, best of 4"
    with pytest.raises(UsageError, match="known: prompts, masks, best_of"):
        read_conditions(["seeds=3"])
    with pytest.raises(UsageError, match="write NAME=VALUE"):
        read_conditions(["masks"])


def test_the_command_and_more_scores_later(
    pie: Path, edits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = edits.parent / "run"
    words = ["score", str(edits), "--bench", f"piebench:icd-140={pie}", "--as", "other"]
    more = ["--metrics", "psnr", "--condition", "masks=used", "--out", str(out)]
    assert main([*words, *more]) == 1
    captured = capsys.readouterr()
    assert "1 identical to the source" in captured.err
    assert "other" in captured.out
    assert main(["score", str(out), "--metrics", "mse,background_psnr"]) == 0
    assert "background_psnr" in capsys.readouterr().out
    results = RunFolder.open(out).read_results()
    assert set(results.attrs["metrics"]) == {"psnr", "mse", "background_psnr"}
    ok = results[results["status"] == "ok"]
    assert ok[["psnr", "mse", "background_psnr"]].notna().all().all()
    assert main(["score", str(out), "--as", "other"]) == 2
    assert main(["score", str(edits)]) == 2
    shutil.rmtree(out)
