from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from official_folders import SIDE, make_piebench_pp

from icd_bench.api import BlendWords, Sample
from icd_bench.benchmarks.piebench_pp import PIEBenchPP
from icd_bench.errors import BadSample, UnknownName, UsageError


def row(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"{number:012d}",
        "source_prompt": "a [cat] sitting on a [wooden] chair",
        "target_prompt": "a [dog] sitting on a [metal] chair",
        "blended_words": '["cat,dog", "wooden,metal"]',
        "mask": "0 3 1029 4",
        **changes,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [row(0), row(1, blended_words="[]"), row(2, source_prompt=""), row(3, mask="")]
    make_piebench_pp(tmp_path, rows, "0_random_140")
    return make_piebench_pp(tmp_path, [row(100)], "1_change_object_80")


def test_it_reads_the_parquet_files(folder: Path) -> None:
    found = list(PIEBenchPP(str(folder)).samples())
    (bad,) = [sample for sample in found if isinstance(sample, BadSample)]
    assert bad.field == "source_prompt"
    first, second, third, other = [sample for sample in found if isinstance(sample, Sample)]
    assert first.source_prompt == "a cat sitting on a wooden chair"
    assert first.blend_words == BlendWords(("cat", "wooden"), ("dog", "metal"))
    assert first.metadata["source_bracketed"].startswith("a [cat]")
    assert second.blend_words == BlendWords()
    assert third.read_mask is None
    assert (first.category, other.category) == ("0_random_140", "1_change_object_80")
    assert first.read_image().shape == (SIDE, SIDE, 3)
    assert not np.array_equal(first.read_image(), second.read_image())
    assert first.read_mask is not None
    assert first.read_mask().sum() == 7


def test_a_mask_lies_on_the_same_part_of_a_larger_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("official_folders.SIDE", 2 * SIDE)
    make_piebench_pp(tmp_path, [row(0)], "0_random_140")
    (sample,) = PIEBenchPP(str(tmp_path)).samples()
    assert isinstance(sample, Sample)
    assert sample.read_mask is not None
    mask = sample.read_mask()
    assert mask.shape == (2 * SIDE, 2 * SIDE)
    assert mask.sum() == 4 * 7
    assert mask[:2, :6].all()
    assert mask[4:6, 10:18].all()


def test_one_configuration(folder: Path) -> None:
    (sample,) = PIEBenchPP(str(folder), "1_change_object_80").samples()
    assert isinstance(sample, Sample)
    assert sample.id == f"{100:012d}"
    with pytest.raises(UnknownName, match="1_change_object_80"):
        PIEBenchPP(str(folder), "1_change_objects")


def test_what_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="data get piebench-pp"):
        PIEBenchPP(str(tmp_path))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(UsageError, match="not a parquet file"):
        list(PIEBenchPP(str(tmp_path)).samples())
