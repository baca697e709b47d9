"""One picture, without a run folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from run_fakes import FakeModels, here, picture

from icd_bench.errors import BadSample, EditFailed
from icd_bench.run import edit_one


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(picture(0)).save(path)
    return path


def test_one_picture_is_edited_without_a_folder(photo: Path, tmp_path: Path) -> None:
    edited = edit_one(
        photo,
        "a photo",
        "a steep painting",
        method=here("Tint")[0],
        model="fake",
        sets=("strength=0.25",),
        device="cpu",
        models=FakeModels(),
    )
    assert edited.image.size == (16, 16)
    assert edited.warnings == ("steep",)
    assert (edited.nfe_invert, edited.nfe_edit) == (5, 5)
    assert edited.seconds > 0
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [("raise", EditFailed, "tint: photo.png: this one"), ("nan", EditFailed, "finite")],
)
def test_one_picture_that_fails_raises(
    photo: Path, target: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        edit_one(photo, "a", target, here("Tint")[0], "fake", device="cpu", models=FakeModels())


def test_one_missing_picture_raises(tmp_path: Path) -> None:
    with pytest.raises(BadSample, match=r"nothing\.png"):
        edit_one(
            tmp_path / "nothing.png",
            "a",
            "b",
            here("Tint")[0],
            "fake",
            device="cpu",
            models=FakeModels(),
        )
