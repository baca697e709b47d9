"""``--subset ci`` of the benchmarks: fixed, balanced over categories, independent of order."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from official_folders import INSTRUCTIONS, make_coco, make_piebench_pp
from PIL import Image

from icd_bench.api import Sample
from icd_bench.run.planning.rows import Row, open_benchmark, read_rows
from icd_bench.run.planning.subsets import SUBSETS, choose_subset

SIZES = {0: 140, 1: 80, 2: 80, 3: 80, 4: 40, 5: 40, 6: 40, 7: 40, 8: 80, 9: 80}
"""Rows of PIE-Bench by editing type."""


def piebench(root: Path) -> str:
    """Write a table of PIE-Bench's size, with pictures that differ in one value."""
    rows = {}
    (root / "annotation_images").mkdir()
    for kind, count in SIZES.items():
        for index in range(count):
            key = f"{kind}{1 + index % 2 if kind else 0}1{index:09d}"
            Image.new("RGB", (2, 2), (kind, index, 0)).save(root / f"annotation_images/{key}.png")
            rows[key] = {
                "image_path": f"{key}.png",
                "original_prompt": f"a cat {index}",
                "editing_prompt": f"a dog {index}",
                "editing_type_id": str(kind),
                "blended_word": "cat dog",
                "mask": [0, 4],
            }
    (root / "mapping_file.json").write_text(json.dumps(rows))
    return f"piebench={root}"


def piebench_pp(root: Path) -> str:
    """Write an eighth of PIE-Bench++'s rows, in its configurations."""
    for kind, count in SIZES.items():
        rows = [
            {
                "id": f"{kind}{index:011d}",
                "source_prompt": f"a cat {index}",
                "target_prompt": f"a dog {index}",
                "blended_words": "[]",
                "mask": "0 4",
            }
            for index in range(count // 8)
        ]
        make_piebench_pp(root, rows, f"{kind}_kind_{count}")
    return f"piebench-pp={root}"


def prompts(name: str, file: str) -> Callable[[Path], str]:
    def make(root: Path) -> str:
        shutil.copy(INSTRUCTIONS / file, root)
        return f"{name}={root}"

    return make


def photos(name: str, file: str, folder: str) -> Callable[[Path], str]:
    return lambda root: f"{name}={make_coco(root, file, folder)}"


BENCHMARKS: dict[str, Callable[[Path], str]] = {
    "scenes": lambda root: "scenes",
    "piebench": piebench,
    "piebench-pp": piebench_pp,
    "coco-edit": photos("coco-edit", "editing_coco.csv", "train2014"),
    "coco-inversion": photos("coco-inversion", "generation_coco.csv", "val2014"),
    "coco-generation": prompts("coco-generation", "generation_coco.csv"),
    "parti": prompts("parti", "generation_parti-prompts.csv"),
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_has_one(name: str, tmp_path: Path) -> None:
    rows, _ = read_rows(open_benchmark(BENCHMARKS[name](tmp_path))[0], None)
    chosen = choose_subset(rows, "ci")
    assert len(chosen) == min(SUBSETS["ci"], len(rows)) > 0
    ids = [row.sample_id for row in chosen]
    assert [row.sample_id for row in choose_subset(rows[::-1], "ci")] == ids
    counts = Counter(row.sample.category for row in chosen)
    if len(rows) > SUBSETS["ci"]:
        assert set(counts) == {row.sample.category for row in rows}
        assert max(counts.values()) - min(counts.values()) <= 1


def row(index: int, picture: str) -> Row:
    def never() -> None:
        raise AssertionError("planning reads no picture")

    sample = Sample(f"s{index}", "a", "b", f"d{index}", never, metadata={"image": picture})  # type: ignore[arg-type]
    return Row(index, sample)


def test_new_pictures_come_before_second_edits_of_one() -> None:
    rows = [row(index, f"photo-{index // 4}.jpg") for index in range(200)]
    chosen = choose_subset(rows, "ci")
    assert len({one.sample.metadata["image"] for one in chosen}) == 50
