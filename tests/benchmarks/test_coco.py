"""The COCO sets and the prompt sets, on real rows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from official_folders import INSTRUCTIONS, PHOTOS, make_coco

from icd_bench.api import BlendWords, Sample
from icd_bench.benchmarks.coco_edit import COCOEdit
from icd_bench.benchmarks.coco_generation import COCOGeneration
from icd_bench.benchmarks.coco_inversion import COCOInversion
from icd_bench.benchmarks.parti import Parti
from icd_bench.errors import BadSample, UsageError
from icd_bench.pictures import read_picture


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


def rows_of(*names: str) -> str:
    """Return an instruction file with an edit of each of these pictures."""
    header = "file_name,old_caption,edited_caption,blended_words\n"
    return header + "".join(f"{name},a bird,a cat,\"('bird', 'cat')\"\n" for name in names)


def edits_of(root: Path) -> dict[str, Sample]:
    samples = [sample for sample in COCOEdit(str(root)).samples() if isinstance(sample, Sample)]
    return {sample.id: sample for sample in samples}


def test_pictures_that_differ_in_their_suffix_alone_are_two_edits(tmp_path: Path) -> None:
    names = ("bird.jpeg", "COCO_train2014_000000509927.jpg", "bird.png")
    (tmp_path / "editing_coco.csv").write_text(rows_of(*names))
    (tmp_path / "train2014").mkdir()
    for name in names:
        shutil.copy(PHOTOS[0], tmp_path / "train2014" / name)
    assert list(edits_of(tmp_path)) == ["bird.jpeg", "COCO_train2014_000000509927", "bird.png"]


def test_photos_lie_in_the_folder_of_their_name_or_in_the_other(tmp_path: Path) -> None:
    train, val, own = (f"COCO_{s}2014_000000000001.jpg" for s in ("train", "val", "own"))
    (tmp_path / "editing_coco.csv").write_text(rows_of(train, val, own))
    for folder in ("train2014", "val2014"):
        (tmp_path / folder).mkdir()
    for folder, name, photo in [
        ("train2014", train, 0), ("val2014", train, 1),
        ("train2014", val, 1), ("val2014", val, 0),
        ("val2014", own, 1),
    ]:  # fmt: skip
        shutil.copy(PHOTOS[photo], tmp_path / folder / name)
    pixels = [sample.read_image() for sample in edits_of(tmp_path).values()]
    assert [picture.shape for picture in pixels] == [
        read_picture(PHOTOS[photo]).shape for photo in (0, 0, 1)
    ]
    (tmp_path / "val2014" / val).unlink()
    assert Path(val).stem in edits_of(tmp_path)


@pytest.mark.parametrize(
    ("kind", "file", "photos"),
    [
        (COCOEdit, "editing_coco.csv", "train2014"),
        (COCOInversion, "generation_coco.csv", "val2014"),
    ],
)
def test_the_photos_may_be_a_link_but_no_row_leads_out_of_them(
    tmp_path: Path, kind: type[COCOEdit], file: str, photos: str
) -> None:
    root = make_coco(tmp_path / "set", file, photos)
    (root / photos).rename(tmp_path / "coco")
    (root / photos).symlink_to(tmp_path / "coco")
    assert all(isinstance(sample, Sample) for sample in kind(str(root)).samples())
    shutil.copy(PHOTOS[0], tmp_path / "secret.jpg")
    shutil.copy(PHOTOS[0], root / "secret.jpg")
    text = (root / file).read_text()
    name = text.splitlines()[1].split(",")[2 if kind is COCOEdit else 1]
    (root / file).write_text(text.replace(name, "../secret.jpg"))
    first = next(iter(kind(str(root)).samples()))
    assert "is outside the folder" in str(first)


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
