from __future__ import annotations

import csv
import io
import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from icd_bench.errors import UsageError
from icd_bench.reports.table import build_table, render
from icd_bench.reports.table_model import Marks, Table
from icd_bench.run.storage.store import RunFolder

GOLDEN = Path(__file__).parents[1] / "golden" / "table"

Values = Mapping[str, Sequence[float | None]]


def write_run(
    path: Path,
    rows: Mapping[tuple[str, float | None], Values],
    version: str = "1",
    model_digest: str = "d",
    benchmark: str = "b",
    samples: int = 3,
    failed: int = 0,
    nfe_edit: int = 4,
) -> Path:
    """Write a run folder as a run would: (method, strength) -> metric -> a value for each sample.

    The method "copy" is an anchor. None leaves a score out.
    """
    with RunFolder(path).writer() as writer:
        for (method, strength), values in rows.items():
            setting = {} if strength is None else {"steps": 4, "strength": strength}
            identity = f"{benchmark}-{method}-{strength}-{model_digest}"
            name = sha256(identity.encode()).hexdigest()[:16]
            common = {
                "method": method,
                "method_version": "1",
                "setting": setting,
                "inversion_id": "i",
                "model": "m",
                "model_digest": model_digest,
                "benchmark": benchmark,
                "split": "",
                "seed": 0,
                "sample_seed": 0,
                "protocol": "native",
                "resolution": 8,
                "device": "cpu",
                "dtype": "float32",
            }
            cells = [
                {
                    "cell_id": f"{name}-{index}",
                    "sample_id": f"s{index}",
                    "sample_index": index,
                    "sample_digest": f"{index}",
                    "status": "ok",
                    "nfe_invert": 4,
                    "nfe_source": 4,
                    "nfe_edit": nfe_edit,
                    "seconds_invert": 0.25,
                    "seconds_edit": 0.5,
                    "image_sha256": "x",
                }
                for index in range(samples)
            ]
            for index in range(samples - failed, samples):
                cells[index] |= {"status": "failed", "error": "no"}
            writer.add_cells(common, cells, {})
            for metric, scores in values.items():
                direction = "lower" if metric.startswith("lpips") else "higher"
                card = {
                    "signature": f"{metric}|v{version}",
                    "title": metric.upper(),
                    "direction": direction,
                    "unit": "dB",
                    "group": "editing" if metric.startswith("clip") else "preservation",
                    "citation": "none",
                }
                writer.record({"kind": "metric", "name": metric, **card})
                named = {
                    f"{name}-{i}": value for i, value in enumerate(scores) if value is not None
                }
                writer.add_scores(metric, card["signature"], named)
        writer.compact()
        methods = {
            method: {
                "anchor": method == "copy",
                "default_setting": {} if method == "copy" else {"steps": 4, "strength": 0.5},
            }
            for method, _ in rows
        }
        writer.write_manifest({"methods": methods})
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(
        tmp_path / "run",
        {
            ("copy", None): {
                "psnr": [math.inf] * 3,
                "lpips_alex": [0, 0, 0],
                "clip_text": [0.2, 0.21, 0.22],
            },
            ("icd", 0.25): {
                "psnr": [30, 31, 32],
                "lpips_alex": [0.1, 0.12, 0.11],
                "clip_text": [0.25, 0.26, math.nan],
            },
            ("icd", 0.5): {
                "psnr": [20, 21, math.inf],
                "lpips_alex": [0.2, 0.2, 0.23],
                "clip_text": [0.31, 0.3, 0.32],
            },
            ("npi", 0.5): {
                "psnr": [25, 27, 26],
                "lpips_alex": [0.3, 0.34, 0.35],
                "clip_text": [0.27, 0.26, 0.29],
            },
        },
    )


@pytest.fixture
def table(run: Path) -> Table:
    return build_table([run])


@pytest.mark.parametrize(
    ("form", "file"), [("rich", "table.txt"), ("md", "table.md"), ("latex", "table.tex")]
)
def test_text_is_golden(table: Table, form: str, file: str) -> None:
    assert render(table, form, width=120, colour=False) == (GOLDEN / file).read_text("utf-8")


def test_values_are_in_the_units_of_their_protocol(tmp_path: Path) -> None:
    """The papers of PIE-Bench print this error times 10,000."""
    rows = {("icd", 0.5): {"zeroed_mse": [0.003, 0.004, 0.005]}}
    table = build_table([write_run(tmp_path / "run", rows, version="1|protocol:pie-bench-2023")])
    assert table.rows[0].values["zeroed_mse"].mean == pytest.approx(40)
    (column,) = table.columns
    assert (column.factor, column.unit) == (10_000, "dB x10000")
    text = render(table, "md")
    assert "zeroed_mse x10000 ↑" in text
    assert "40 ±25" in text
    native = build_table([write_run(tmp_path / "native", rows)])
    assert native.rows[0].values["zeroed_mse"].mean == pytest.approx(0.004)
    assert native.columns[0].heading == "zeroed_mse ↑"


def test_a_heading_tells_the_number_that_all_means_share(tmp_path: Path) -> None:
    """Otherwise each cell tells its own."""
    gap = {"psnr": [20.0, 21.0, math.nan]}
    shared = build_table([write_run(tmp_path / "a", {("icd", 0.5): gap, ("npi", 0.5): gap})])
    assert "| psnr ↑ (n=2) |" in render(shared, "md")
    assert "psnr (n=2) $" in render(shared, "latex")
    assert render(shared, "rich", width=120, colour=False).count("n=2") == 1
    whole = {("icd", 0.5): gap, ("npi", 0.5): {"psnr": [20, 21, 22]}}
    own = render(build_table([write_run(tmp_path / "b", whole)]), "md")
    assert "| psnr ↑ |" in own
    assert own.count("(n=2)") == 1


def test_csv_has_every_number(table: Table) -> None:
    rows = list(csv.DictReader(io.StringIO(render(table, "csv"))))
    assert [row["method"] for row in rows] == ["icd", "icd", "npi", "copy"]
    first = rows[0]
    assert (first["n"], first["failed"], first["nfe_invert"], first["nfe_edit"]) == (
        "3",
        "0",
        "4.0",
        "8.0",
    )
    assert json.loads(first["setting"]) == {"steps": 4, "strength": 0.25}
    assert float(first["psnr mean"]) == 31
    # Student's t with 2 degrees of freedom: 4.302653 x 1 / sqrt(3).
    assert float(first["psnr high"]) == pytest.approx(31 + 2.4841377, abs=1e-6)
    assert first["clip_text n"] == "2"
    assert rows[3]["psnr mean"] == "inf"


def test_json_is_strict_and_whole(table: Table) -> None:
    def refuse(word: str) -> Any:
        raise AssertionError(word)

    content = json.loads(render(table, "json"), parse_constant=refuse)
    rows = {(row["method"], row["setting"].get("strength")): row for row in content["rows"]}
    assert rows["copy", None]["anchor"] is True
    assert rows["copy", None]["values"]["psnr"]["mean"] == "inf"
    assert rows["icd", 0.25]["best"] == ["lpips_alex", "psnr"]
    assert rows["icd", 0.5]["values"]["psnr"]["infinite"] == 1
    assert [column["signature"] for column in content["columns"]] == [
        "psnr|v1",
        "lpips_alex|v1",
        "clip_text|v1",
    ]


def test_an_unknown_form_is_refused(table: Table) -> None:
    with pytest.raises(UsageError, match="unknown format"):
        render(table, "xml")


def test_anchors_are_never_the_best(table: Table) -> None:
    best = {(row.method, row.label): row.best for row in table.rows}
    assert best["copy", ""] == frozenset()
    assert "lpips_alex" in best["icd", "strength=0.25"]
    assert best["icd", "strength=0.5"] == {"clip_text"}


def test_the_terminal_table_keeps_to_the_width(run: Path, tmp_path: Path) -> None:
    many = {f"background_metric{number}": [0.5, 0.6, 0.7] for number in range(12)}
    wide = write_run(tmp_path / "wide", {("icd", 0.5): many, ("npi", 0.5): many})
    for width in (80, 120):
        text = render(build_table([wide]), "rich", width=width, colour=False)
        panels = [line for line in text.splitlines() if line.startswith(" icd")]
        assert len(panels) > 1
        assert max(len(line) for line in text.splitlines() if "±:" not in line) <= width
        assert sum(line.count("±") for line in panels) == 12


def test_second_best_needs_three_rivals(table: Table, tmp_path: Path) -> None:
    second = {(row.method, row.label): row.second for row in table.rows}
    assert second["npi", ""] == {"psnr", "clip_text"}
    assert second["icd", "strength=0.5"] == {"lpips_alex"}
    assert second["copy", ""] == frozenset()
    two = write_run(
        tmp_path / "two", {("icd", 0.5): {"psnr": [1, 2, 3]}, ("npi", 0.5): {"psnr": [0, 1, 2]}}
    )
    assert [row.second for row in build_table([two]).rows] == [frozenset(), frozenset()]


def test_marks_are_options(table: Table) -> None:
    marked = render(table, "latex")
    assert r"\textbf{31.0 $\pm$ 2.5}" in marked
    assert r"\underline{26.0 $\pm$ 2.5}" in marked
    bare = render(table, "latex", marks=Marks(intervals=False, bold=False, underline=False))
    assert "textbf" not in bare
    assert "underline" not in bare
    assert "& 31.0 & 0.110 &" in bare


def test_colour_marks_the_best(table: Table) -> None:
    assert "\x1b[1m" in render(table, "rich", colour=True)
    assert "\x1b[" not in render(table, "rich", colour=False)


# ----------------------------------------------------------------------- several runs


def test_values_made_differently_never_share_a_column(run: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", {("sdedit", 0.5): {"psnr": [50, 51, 52]}}, version="2")
    table = build_table([run, other])
    assert [column.key for column in table.columns if column.metric == "psnr"] == [
        "psnr [1]",
        "psnr [2]",
    ]
    rows = {(row.method, row.label): row for row in table.rows}
    assert rows["sdedit", ""].values["psnr [1]"].n == 0
    assert rows["sdedit", ""].values["psnr [2]"].mean == 51
    assert rows["icd", "strength=0.25"].values["psnr [2]"].n == 0
    assert "psnr [2] is made as psnr|v2" in table.notes
    assert "psnr [2]" not in rows["sdedit", ""].best


def test_a_cell_that_two_runs_share_counts_once(run: Path, tmp_path: Path) -> None:
    again = write_run(tmp_path / "again", {("icd", 0.25): {"psnr": [30, 31, 32]}})
    table = build_table([run, again])
    assert [row.n for row in table.rows] == [3, 3, 3, 3]


def test_other_weights_are_another_row(run: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", {("icd", 0.25): {"psnr": [1, 2, 3]}}, model_digest="e")
    text = render(build_table([run, other]), "md")
    assert "| icd @d |" in text
    assert "| icd @e |" in text


def test_benchmarks_are_not_ranked_together(run: Path, tmp_path: Path) -> None:
    other = write_run(
        tmp_path / "other",
        {("icd", 0.5): {"psnr": [90, 91, 92]}, ("npi", 0.5): {"psnr": [80, 81, 82]}},
        benchmark="c",
    )
    table = build_table([run, other])
    assert table.varying() == ("benchmark",)
    best = [(row.benchmark, row.method) for row in table.rows if "psnr" in row.best]
    assert best == [("b", "icd"), ("c", "icd")]


def test_rows_of_other_cost_are_no_rivals_unless_asked_for(tmp_path: Path) -> None:
    cheap = {("icd", 0.5): {"psnr": [1, 2, 3]}, ("npi", 0.5): {"psnr": [2, 3, 4]}}
    runs = [
        write_run(tmp_path / "cheap", cheap),
        write_run(tmp_path / "dear", {("nti", 0.5): {"psnr": [9, 9, 9]}}, nfe_edit=400),
    ]
    apart, together = build_table(runs), build_table(runs, ranked_together=True)
    assert [row.method for row in apart.rows if row.best] == ["npi"]
    assert any("equal NFE; --rank-together" in note for note in apart.notes)
    assert [row.method for row in together.rows if row.best] == ["nti"]
    assert not any("equal NFE" in note for note in together.notes)


def test_failed_edits_and_uneven_samples_are_told(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", {("icd", 0.5): {"psnr": [1, 2, None]}}, failed=1)
    second = write_run(tmp_path / "b", {("npi", 0.5): {"psnr": [1, 2, 3]}})
    table = build_table([first, second])
    assert [(row.n, row.failed) for row in table.rows] == [(2, 1), (3, 0)]
    assert any("different samples" in note for note in table.notes)


def test_a_method_that_always_fails_still_has_its_row(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "a",
        {("icd", 0.5): {"psnr": [None] * 3}, ("npi", 0.5): {"psnr": [None] * 3}},
        failed=3,
    )
    table = build_table([run])
    assert [(row.n, row.failed) for row in table.rows] == [(0, 3), (0, 3)]
    for form in ("rich", "csv", "md", "latex", "json"):
        assert "icd" in render(table, form)


def test_settings_sort_by_value(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", {("icd", s): {"psnr": [1, 2, 3]} for s in (10.0, 9.0, 100.0)})
    assert [row.label for row in build_table([run]).rows] == [
        "strength=9",
        "strength=10",
        "strength=100",
    ]


def test_a_run_without_cells_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", {})
    with pytest.raises(UsageError, match="no edit"):
        build_table([run])


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", {("a|b_[red]&%", 0.5): {"psnr": [1, 2, 3]}})
    table = build_table([run])
    assert "a\\|b_[red]&%" in render(table, "md")
    assert "a|b_[red]&%" in render(table, "rich", colour=False)
    assert "a|b\\_[red]\\&\\%" in render(table, "latex")


def test_tables_need_no_torch(run: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from icd_bench.reports.table import build_table, render\n"
        f"render(build_table([Path({str(run)!r})]), 'rich')\n"
        "assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
