from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from icd_bench.run.reading.prepare import from_png, to_png
from icd_bench.run.reading.previews import CHUNK, preview_in


@pytest.fixture
def photo() -> np.ndarray:
    ramp = np.linspace(0, 255, 160)
    wave = 128 + 100 * np.sin(ramp / 9)
    columns = (ramp[:, None] + 0 * ramp, 0 * ramp[:, None] + ramp, wave[:, None] + 0 * ramp)
    return np.stack(columns, axis=-1).astype(np.uint8)


def test_a_large_picture_carries_its_preview(photo: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "edit.png"
    file.write_bytes(to_png(photo))
    assert (from_png(file.read_bytes()) == photo).all()
    preview = preview_in(file)
    assert preview is not None
    with Image.open(io.BytesIO(preview)) as small:
        assert small.format == "JPEG"
        assert set(small.info) == {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        difference = np.abs(np.asarray(small, dtype=float) - photo)
    assert difference.mean() < 2


@pytest.mark.parametrize("side", [64, 128])
def test_a_small_picture_is_its_own_preview(photo: np.ndarray, side: int, tmp_path: Path) -> None:
    file = tmp_path / "edit.png"
    file.write_bytes(to_png(photo[:side, :side]))
    assert preview_in(file) is None
    assert CHUNK not in file.read_bytes()


def test_masks_and_changed_pictures_have_none(photo: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_bytes(to_png(photo[..., 0] > 99))
    assert preview_in(tmp_path / "mask.png") is None
    (tmp_path / "edit.png").write_bytes(to_png(photo))
    with Image.open(tmp_path / "edit.png") as picture:
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "flipped.png")
    assert preview_in(tmp_path / "flipped.png") is None
