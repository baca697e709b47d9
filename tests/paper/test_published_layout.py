"""A model of photos, in the paper's layout with the published numbers beside the measured ones."""

from __future__ import annotations

from pathlib import Path

from official_folders import make_coco

from icd_bench.models import ModelSpec
from icd_bench.paper.run import run_experiment
from icd_bench.reports.paper import markdown


def test_photos_are_inverted_as_in_table_2(tmp_path: Path, small_spec: ModelSpec) -> None:
    make_coco(tmp_path, "generation_coco.csv", "val2014")
    result = run_experiment(
        "table2",
        str(small_spec.root),
        tmp_path / "out",
        limit=2,
        only=("G", "K"),
        data=tmp_path,
        quiet=True,
    )
    rows = {row.label: row for row in result.rows}
    assert rows["G"].values["psnr"].n == 2
    assert "no weights" in rows["A"].obstacle
    (line,) = [x for x in markdown(result).splitlines() if x.startswith("| G: + both")]
    assert line.count("22.27") == 1
    assert "0.198" in line
    (without,) = [x for x in markdown(result).splitlines() if x.startswith("| A: 2+2")]
    assert "17.75" in without
    assert any("lpips_vgg_224" in note or "dino_v2" in note for note in result.notes)
