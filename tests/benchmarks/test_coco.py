"""The COCO sets and the prompt sets, on real rows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from official_folders import INSTRUCTIONS, make_coco

from icd_bench.api import BlendWords, Sample
from icd_bench.benchmarks.coco_edit import COCOEdit
from icd_bench.benchmarks.coco_generation import COCOGeneration
from icd_bench.benchmarks.coco_inversion import COCOInversion
from icd_bench.benchmarks.parti import Parti
from icd_bench.errors import BadSample, UsageError


def test_edits(tmp_path: Path) -> None:
    make_coco(tmp_path, "editing_coco.csv", "train2014")
    (tmp_path / "train2014" / "COCO_train2014_000000540265.jpg").unlink()
    found = list(COCOEdit(str(tmp_path)).samples())
    samples = [sample for sample in found if isinstance(sample, Sample)]
    (bad,) = [sample for sample in found if isinstance(sample, BadSample)]
    assert "there is no such file" in str(bad)
    assert len(samples) == 3
    first = samples[0]
    assert first.id == "COCO_train2014_000000509927"
    assert first.source_prompt == "A young child sitting on a bench by himself."
    assert first.target_prompt == "A young lion sitting on a bench by himself."
    assert first.blend_words == BlendWords(("child",), ("lion",))
    assert first.read_mask is None
    assert first.read_image().ndim == 3
    assert samples[2].source_prompt.isupper()
    assert len(list(COCOEdit(str(tmp_path)).picture_names())) == 4


def test_inversion_takes_each_photo_once(tmp_path: Path) -> None:
    make_coco(tmp_path, "generation_coco.csv", "val2014")
    text = (tmp_path / "generation_coco.csv").read_text()
    again = "9,COCO_val2014_000000246955.jpg,The same photo in other words.\n"
    (tmp_path / "generation_coco.csv").write_text(text + again)
    samples = [s for s in COCOInversion(str(tmp_path)).samples() if isinstance(s, Sample)]
    assert len(samples) == 5
    assert samples[0].source_prompt == samples[0].target_prompt
    assert samples[0].source_prompt.startswith("Green commercial building")
    assert not any("\n" in sample.source_prompt for sample in samples)
    assert len({sample.digest for sample in samples}) == 5


def test_captions_over_several_lines_are_one_prompt(tmp_path: Path) -> None:
    shutil.copy(INSTRUCTIONS / "generation_coco.csv", tmp_path)
    assert '"' in (tmp_path / "generation_coco.csv").read_text()
    samples = [s for s in COCOGeneration(str(tmp_path)).samples() if isinstance(s, Sample)]
    assert [sample.id for sample in samples[:2]] == [
        "coco-generation-132871",
        "coco-generation-31526",
    ]
    assert all(sample.target_prompt == " ".join(sample.target_prompt.split()) for sample in samples)
    assert samples[0].metadata["photo"] == "COCO_val2014_000000246955.jpg"


def test_parti(tmp_path: Path) -> None:
    shutil.copy(INSTRUCTIONS / "generation_parti-prompts.csv", tmp_path)
    samples = [s for s in Parti(str(tmp_path)).samples() if isinstance(s, Sample)]
    assert [sample.id for sample in samples] == ["parti-0", "parti-2", "parti-10"]
    assert samples[0].target_prompt == "A city in 4-dimensional space-time"
    assert (samples[0].read_image() == 128).all()


@pytest.mark.parametrize("kind", [COCOEdit, COCOInversion, COCOGeneration, Parti])
def test_missing_data_say_how_to_get_them(tmp_path: Path, kind: type[COCOEdit]) -> None:
    with pytest.raises(UsageError, match=f"icd-bench data get {kind.info.name}"):
        kind(str(tmp_path / "none"))
    with pytest.raises(UsageError, match=f"icd-bench data get {kind.info.name}"):
        kind(str(tmp_path))
    with pytest.raises(UsageError, match="no splits"):
        kind(str(tmp_path), "train")
