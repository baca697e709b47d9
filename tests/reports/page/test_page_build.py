from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_runs import HOSTILE, ROWS, write_run
from PIL import Image

from icd_bench.cli.app import main
from icd_bench.errors import CorruptRun, UsageError
from icd_bench.reports.page.build import build_report
from icd_bench.reports.page.inline_json import to_inline_json, to_json
from icd_bench.reports.page.privacy import without_folders


def data_of(page: Path) -> dict[str, Any]:
    text = page.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="report">(.*?)</script>', text, re.S)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def part_of(page: Path, name: str) -> Any:
    script = (page.parent / "data" / f"{name}.js").read_text(encoding="utf-8")
    call = re.fullmatch(r'icdBenchReport\.deliver\("[\w-]+",(.*)\);\n', script, re.S)
    assert call
    return json.loads(call[1])


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
