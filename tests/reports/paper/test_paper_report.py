"""Text, CSV and figures of results."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from icd_bench.errors import UsageError
from icd_bench.paper.results import Finding, Measure, Result, Row, Value
from icd_bench.reports.paper import draw_training, insert, markdown, summary, write

PSNR = Measure("psnr", "PSNR", "higher", "dB", "psnr|v1")
LPIPS = Measure("lpips_alex", "LPIPS", "lower", "", "lpips|v1")
KEPT = Measure("attribute_kept", "attributes", "higher", "share", "attribute|v1")


def value(mean: float) -> Value:
    return Value(mean, mean - 0.25, mean + 0.25, 8)


def row(label: str, title: str = "", group: str = "", **given: Any) -> Row:
    guidance = {"scale": given.pop("scale", 8.0), "tau": given.pop("tau", 1.0)}
    decode = {"network": "icd_reverse:4a", "steps": 0, "guidance": guidance}
    encode = None if given.pop("drawn", False) else decode
    return Row(label, title, group, encode, decode, 8, given)


def result(name: str, published: str, rows: tuple[Row, ...], **given: Any) -> Result:
    measures = (PSNR, LPIPS, KEPT)
    return Result(
        name, "Title", published, "scenes", "scenes, test", 8, 0, "icd-bench paper", {}, measures,
        rows, **given,
    )  # fmt: skip


TABLE = result(
    "table2",
    "Table 2",
    (
        row("A", "A: 2+2 steps", psnr=value(24.5), lpips_alex=value(0.3)),
        row("B", "B: 3+3 steps", psnr=value(26.5), lpips_alex=value(0.2)),
        Row("C", "C: 4+4 steps", "", None, None, 0, {}, "no weights"),
    ),
    claims=(Finding("A", "B", "psnr", 2.0, 1.5, 2.5, "shown"),),
)


def test_the_published_number_stands_beside_the_measured_one() -> None:
    lines = markdown(TABLE).splitlines()
    assert "| psnr (dB) ↑ | published psnr | lpips_alex ↓ |" in lines[2]
    assert "| A: 2+2 steps | 8 | 24.50 ±0.25 | 17.75 | 0.300 ±0.250 | 0.332 | 0.632 |" in lines
    assert "| C: 4+4 steps | – | – | 19.19 | – | 0.276 | 0.715 |" in lines
    assert "| A < B | shown: +2.00 [+1.50, +2.50] |" in lines
    assert "not measured: C (no weights)" in lines
    assert "24.50 ±0.25" in summary(TABLE)


def test_rows_with_encoder_and_decoder_are_crossed() -> None:
    rows = tuple(
        row(f"{d}{e}", f"decoder {d} with encoder {e}", attribute_kept=value(0.9))
        for d in ("unguided", "CFG")
        for e in ("unguided", "CFG")
    )
    text = markdown(result("table1", "Table 1", rows))
    assert "|  | encoder unguided | encoder CFG |" in text
    assert "| decoder CFG | 0.900 ±0.250 | 0.900 ±0.250 |" in text
    assert "| decoder CFG | 19.0 | 102.1 |" in text


def test_the_csv_has_ends_and_published_numbers(tmp_path: Path) -> None:
    paths = write(TABLE, tmp_path)
    TABLE.write(tmp_path)
    assert all(path.is_file() for path in paths)
    lines = list(csv.DictReader(io.StringIO((tmp_path / "table2.csv").read_text())))
    assert [line["row"] for line in lines] == ["A", "A", "B", "B"]
    assert (lines[0]["mean"], lines[0]["low"], lines[0]["published"]) == ("24.5", "24.25", "17.75")


def test_tables_go_to_their_place_in_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- table2 -->\nold\n<!-- /table2 -->\nafter\n")
    insert(TABLE, page, tmp_path)
    insert(TABLE, page, tmp_path)
    text = page.read_text()
    assert text == f"before\n<!-- table2 -->\n\n{markdown(TABLE)}\n<!-- /table2 -->\nafter\n"
    page.write_text("nothing")
    with pytest.raises(UsageError, match="<!-- table2 -->"):
        insert(TABLE, page, tmp_path)


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    assert Result.read(TABLE.write(tmp_path)) == TABLE
    (tmp_path / "table2.json").write_text("{}")
    with pytest.raises(UsageError, match=r"table2\.json"):
        Result.read(tmp_path / "table2.json")


def test_figures_are_drawn_of_whatever_was_measured(tmp_path: Path) -> None:
    taus = (0.0, 0.6, 1.0)
    fig4 = [
        row(f"{g}{t}", "", g, tau=t, psnr=value(30 - t), lpips_alex=value(t))
        for g in ("a", "b")
        for t in taus
    ]
    fig5 = [
        row(f"{k}{s}{t}", "", k, scale=s, tau=t, drawn=k == "drawn",
            **({"attribute_kept": value(t)} if k == "drawn" else {"psnr": value(30 - t)}))
        for k in ("inverted", "drawn")
        for s in (2.0, 8.0)
        for t in taus
    ]  # fmt: skip
    missing = Row("x", "", "a", None, fig4[0].decode, 0, {}, "not measured yet")
    for name, rows in (("fig4", (*fig4, missing)), ("fig5", tuple(fig5))):
        paths = write(result(name, "", rows), tmp_path)
        assert [path.suffix for path in paths] == [".json", ".csv", ".svg", ".png"]
        assert (tmp_path / f"{name}.png").stat().st_size > 5000
    page = tmp_path / "page.md"
    page.write_text("<!-- fig4 --><!-- /fig4 -->")
    insert(result("fig4", "", tuple(fig4)), page, tmp_path / "out")
    assert "![Title](out/fig4.png)" in page.read_text()


def test_training_curves_are_drawn_from_the_logs(tmp_path: Path) -> None:
    for stage in ("icd-4a", "icd-4a-plain"):
        (tmp_path / stage).mkdir()
        lines = [{"step": 25, "reverse": 0.1, "forward": 0.2}, {"step": 50, "psnr": 28.0}]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / stage / "log.jsonl").write_text(text)
    paths = draw_training(tmp_path, tmp_path / "out")
    assert [path.name for path in paths] == ["training.svg", "training.png"]
    with pytest.raises(UsageError, match="no stage of iCD"):
        draw_training(tmp_path / "out", tmp_path)
