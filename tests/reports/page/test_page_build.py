from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_runs import HOSTILE, ROWS, part_of, write_run
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from report_runs import trade_off_scores, write_scores

from icd_bench.cli.app import main
from icd_bench.errors import CorruptRun, UsageError
from icd_bench.reports.curves.build import trade_off
from icd_bench.reports.page import sheets
from icd_bench.reports.page.build import build_report
from icd_bench.reports.page.inline_json import to_inline_json, to_json
from icd_bench.reports.page.privacy import without_folders
from icd_bench.reports.study.commands import simulate_votes
from icd_bench.reports.study.design import DesignRequest, design_study
from icd_bench.run.reading.previews import preview_in
from icd_bench.run.storage.edit_sets import group_of, pictures_digest, sets_of
from icd_bench.run.storage.records import SetScore
from icd_bench.run.storage.store import RunFolder


def data_of(page: Path) -> dict[str, Any]:
    text = page.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="report">(.*?)</script>', text, re.S)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


@pytest.fixture
def small_run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "small", samples=3, side=8)


def test_rows_have_their_means_and_marks(page: Path) -> None:
    data = data_of(page)
    icd, npi = data["rows"][0], data["rows"][2]
    psnr = [column["key"] for column in data["columns"]].index("psnr")
    assert (icd["method"], icd["label"], icd["n"], npi["failed"]) == ("icd", "strength=0.25", 12, 1)
    mean, low, high, n = icd["values"][psnr]
    assert low < mean < high
    assert n == 12
    assert "psnr" in icd["best"]
    assert "psnr" not in npi["tied"]
    assert [row["anchor"] for row in data["rows"]] == [False] * 4 + [True]


def test_rows_that_cannot_be_told_apart_are_tied(page: Path) -> None:
    rows = [row for row in data_of(page)["rows"] if not row["anchor"]]
    best = [row for row in rows if "clip_text" in row["best"]]
    tied = [row for row in rows if "clip_text" in row["tied"]]
    assert best
    assert tied
    assert len(best) + len(tied) == len(rows)


def test_troubles_are_counted_and_told_with_their_reason(page: Path) -> None:
    counts = data_of(page)["counts"]
    assert (counts["cells"], counts["failed"], counts["warned"]) == (60, 2, 2)
    failed = [entry for entry in part_of(page, "troubles") if entry["kind"] == "failed"]
    assert [(entry["stage"], entry["items"]) for entry in failed] == [("edit", [3])] * 2
    assert failed[0]["reason"] == f"EditFailed: …/weights.bin: {HOSTILE}"


def test_groups_come_from_category_and_metadata(page: Path) -> None:
    groupings = {entry["name"]: entry for entry in data_of(page)["groupings"]}
    assert groupings["category"]["groups"] == ["0_kind_0", "1_kind_1", "2_kind_2"]
    assert groupings["origin"]["groups"] == ["artificial", "natural"]
    assert [entry[3] for entry in groupings["origin"]["means"][0][0]] == [6, 6]


def test_a_row_is_made_again_by_its_command(page: Path) -> None:
    commands = [row["command"] for row in data_of(page)["rows"]]
    assert commands[0] == (
        "icd-bench run --method icd --bench b --model m --limit 12 --seed 0 --set strength=0.25"
    )
    assert "--set" not in commands[1]


def test_nothing_tells_where_things_lie(page: Path, run: Path) -> None:
    files = [page, *page.parent.glob("data/*.js")]
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    assert str(run.parent) not in text
    assert "/home/jo" not in text
    assert "--out" not in text


@pytest.mark.parametrize("side", [8, 160])
def test_pictures_are_encoded_anew(tmp_path: Path, side: int) -> None:
    run = write_run(tmp_path / "run", samples=1, side=side)
    told = PngInfo()
    told.add_text("Comment", "taken in /home/jo/secret")
    for file in (*run.glob("images/*/*.png"), *run.glob("samples/*/*.png")):
        with Image.open(file) as picture:
            picture.save(file, pnginfo=told)
    page = build_report([run], tmp_path / "out").page
    files = [file for file in page.parent.rglob("*") if file.is_file()]
    assert len(files) > 5
    assert not [file for file in files if b"/home/jo" in file.read_bytes()]


def test_large_pictures_are_taken_from_their_previews(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(tmp_path / "run", samples=1, side=160)
    monkeypatch.setattr(sheets, "to_jpeg", lambda picture: pytest.fail("a picture was decoded"))
    page = build_report([run], tmp_path / "out").page
    preview = preview_in(run / "images" / "c1" / "c1-0.png")
    assert (page.parent / "pictures" / "0-3.jpg").read_bytes() == preview


def test_trade_offs_say_what_the_curves_say(tmp_path: Path) -> None:
    scores = trade_off_scores(30, {"icd": 0.2, "npi": 0.0})
    run = write_scores(tmp_path / "run", scores, samples=30)
    page = build_report([run], tmp_path / "out").page
    data = data_of(page)
    place = data["trades"].index(["psnr", "clip_text"])
    (told,) = part_of(page, f"trade-{place}")
    found = trade_off([run], "psnr", "clip_text", resamples=1000)
    assert [point["row"] for point in told["points"]] == list(range(10))
    assert [point["chance"] for point in told["points"]] == pytest.approx(
        [point.p_front for point in found.points], rel=1e-4
    )
    assert told["curves"][0]["y"] == pytest.approx(found.curves[0].y, rel=1e-4)
    (claim,) = told["claims"]
    assert claim["better"] == "icd"
    assert claim["difference"][0] == pytest.approx(found.claims[0].difference.value, rel=1e-4)
    assert [choice["name"] for choice in told["choices"]] == ["icd", "npi"]
    assert ["nfe", "clip_text"] in data["trades"]
    assert ["seconds", "psnr"] in data["trades"]


def test_scores_of_sets_are_in_the_table_alone(small_run: Path, tmp_path: Path) -> None:
    with RunFolder(small_run).writer() as writer:
        card = {"title": "FID", "direction": "lower", "unit": "", "group": "quality"}
        writer.record({"kind": "metric", "name": "fid", "signature": "f", "citation": "", **card})
        for number, cells in enumerate(sets_of(writer.records.cells.values())):
            digest = pictures_digest(cell.image_sha256 for cell in cells)
            score = SetScore("fid", "f", group_of(cells[0]), digest, len(cells), 10.0 + number)
            writer.record({"kind": "set_score", **score.as_json()})
        writer.compact()
    page = build_report([small_run], tmp_path / "out").page
    data = data_of(page)
    place = [column["key"] for column in data["columns"]].index("fid")
    assert [row["values"][place][0] for row in data["rows"]] == [10, 11, 12, 13, 14]
    assert set(part_of(page, f"scores-{place}")[0]) == {None}
    assert not any("fid" in pair for pair in data["trades"])


def test_two_runs_are_compared(tmp_path: Path) -> None:
    scores = trade_off_scores(12, {"icd": 0.2}, strengths=(0.2, 0.4))
    shifted = {key: {**metrics, "psnr": metrics["psnr"] + 1} for key, metrics in scores.items()}
    before = write_scores(tmp_path / "before", scores, samples=12, pictures=True, side=8)
    after = write_scores(tmp_path / "after", shifted, samples=12, pictures=True, side=8)
    page = build_report([before, after], tmp_path / "out").page
    assert data_of(page)["changes"]
    (diff,) = part_of(page, "changes")
    assert (diff["a"], diff["b"]) == ("before", "after")
    mean, low, high, p, better = diff["rows"][0]["values"]["psnr"]
    assert (mean, low, high) == pytest.approx((1, 1, 1), abs=1e-3)
    assert (p < 0.05, better) == (True, True)
    first = diff["most"][0]
    assert first["pictures"] == 3
    with Image.open(page.parent / "pictures" / f"{first['index']}.webp") as sheet:
        assert sheet.size == (24, 8)


def test_a_study_of_the_edits_is_on_the_page(tmp_path: Path) -> None:
    scores = trade_off_scores(12, {"icd": 0.2, "npi": 0.0}, strengths=(0.5,))
    run = write_scores(tmp_path / "run", scores, samples=12, pictures=True, side=8)
    study = tmp_path / "study"
    request = DesignRequest(run=run, methods=("icd", "npi"), raters=5, votes_per_pair=3, spacing=2)
    design_study(request, study)
    assert "<template" not in build_report([run], tmp_path / "without").page.read_text()
    with pytest.raises(UsageError, match="no votes yet"):
        build_report([run], tmp_path / "out", studies=[study])
    simulate_votes(study, {"icd": 1.0})
    text = build_report([run], tmp_path / "out").page.read_text(encoding="utf-8")
    (section,) = re.findall('<template class="study">(.*?)</template>', text, re.S)
    assert "Simulated raters" in section
    assert "icd : npi" in section
    assert str(tmp_path) not in section
    other = write_run(tmp_path / "other", samples=3, side=8)
    with pytest.raises(UsageError, match="none of the report's edits"):
        build_report([other], tmp_path / "else", studies=[study])


def test_a_sheet_holds_the_pictures_without_loss(page: Path, run: Path) -> None:
    with Image.open(page.parent / "pictures" / "0.webp") as sheet:
        tiles = np.asarray(sheet.convert("RGB"))
    assert tiles.shape == (32, 32 * 7, 3)
    for row in range(len(ROWS)):
        with Image.open(run / "images" / f"c{row}" / f"c{row}-0.png") as picture:
            edit = np.asarray(picture)
        assert (tiles[:, 32 * (2 + row) : 32 * (3 + row)] == edit).all()


def test_large_pictures_have_thumbnails_and_files(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", samples=1, side=160)
    page = build_report([run]).page
    assert page == run.resolve() / "report" / "index.html"
    with Image.open(page.parent / "pictures" / "0.jpg") as sheet:
        assert sheet.size == (128 * 7, 128)
    with Image.open(page.parent / "pictures" / "0-2.jpg") as edit:
        assert edit.size == (160, 160)


def test_a_picture_that_is_gone_leaves_a_hole(small_run: Path, tmp_path: Path) -> None:
    (small_run / "images" / "c0" / "c0-1.png").unlink()
    page = build_report([small_run], tmp_path / "out").page
    assert part_of(page, "samples")["states"][0] == "kxk"
    assert data_of(page)["counts"]["lost"] == 1


def test_a_damaged_picture_is_named(small_run: Path, tmp_path: Path) -> None:
    (small_run / "images" / "c0" / "c0-1.png").write_bytes(b"no picture")
    with pytest.raises(CorruptRun, match=r"c0-1\.png"):
        build_report([small_run], tmp_path / "out")


def test_a_report_replaces_a_report_and_nothing_else(small_run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="something else"):
        build_report([small_run], other)
    assert (other / "thesis.tex").read_text(encoding="utf-8") == "mine"
    first = build_report([small_run], tmp_path / "out")
    assert build_report([small_run], tmp_path / "out") == first


def test_a_single_file_holds_everything(small_run: Path, tmp_path: Path) -> None:
    page = build_report([small_run], tmp_path / "all.html", single_file=True).page
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/webp;base64,") == 3
    assert 'id="part-samples"' in text
    assert [path.name for path in tmp_path.iterdir() if path.name != "small"] == ["all.html"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/home/jo/a/x.png", "…/x.png"),
        ("run --out /home/ann/runs/demo now", "run --out …/demo now"),
        ("cannot open '/data/my photos/x.png'", "cannot open '…/x.png'"),
        (r"C:\Users\jo\x.png is cut", "…/x.png is cut"),
        ("~/secret/x.png", "…/x.png"),
        ("left in /home/jo", "left in …"),
        ("see https://example.org/a/b and and/or a/b/c", None),
        ("3/4 of <b>/</b>", None),
    ],
)
def test_folders_are_not_told(text: str, told: str | None) -> None:
    assert without_folders(text) == (text if told is None else told)


def test_json_survives_html() -> None:
    value = {"a": "</script><!--", "b": [float("nan"), float("inf"), 1.5]}
    text = to_inline_json(value)
    assert "<" not in text
    assert json.loads(text) == {"a": "</script><!--", "b": [None, "Infinity", 1.5]}
    assert json.loads(to_json([-float("inf")])) == ["-Infinity"]


def test_the_page_needs_no_torch(small_run: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from icd_bench.reports.page.build import build_report\n"
        f"build_report([Path({str(small_run)!r})], Path({str(tmp_path / 'out')!r}))\n"
        "assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_command_prints_the_page(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(small_run), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"report   {tmp_path / 'out' / 'index.html'}\n"
    assert main(["report", str(tmp_path / "nowhere")]) == 2


def test_rows_of_other_cost_are_ranked_apart_and_together(page: Path) -> None:
    rows = [row for row in data_of(page)["rows"] if not row["anchor"]]
    assert len({tuple(row["nfe"]) for row in rows}) > 1
    best_apart = [row["method"] for row in rows if "psnr" in row["best"]]
    best_together = [row["method"] for row in rows if "psnr" in row["together"]["best"]]
    assert len(best_apart) > len(best_together) == 1
