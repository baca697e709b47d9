from __future__ import annotations

import numpy as np
import pytest
import torch
from run_fakes import make_sample, picture

from icd_bench.errors import BadSample
from icd_bench.run.reading.prepare import (
    centre_square,
    fit_mask,
    fit_picture,
    from_png,
    prepare,
    to_levels,
    to_png,
    to_tensor,
)


def test_a_picture_of_the_right_size_is_not_touched() -> None:
    square = picture(0, 16, 16)
    assert np.array_equal(fit_picture(square, 16), square)


def test_the_centre_square_is_kept() -> None:
    array = np.arange(4 * 7).reshape(4, 7)
    assert np.array_equal(centre_square(array), array[:, 1:5])
    assert np.array_equal(centre_square(array.T), array.T[1:5])


def test_resizing_is_antialiased() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    inner = fit_picture(stripes, 16)[:, 2:-2]
    assert np.all(np.abs(inner.astype(int) - 128) <= 2)


def test_masks_stay_masks() -> None:
    checker = np.indices((8, 8)).sum(0) % 2 == 0
    large = fit_mask(checker, 16)
    assert large.dtype == bool
    assert np.array_equal(large[::2, ::2], checker)


def test_png_keeps_every_level() -> None:
    levels = picture(3, 16, 16)
    assert np.array_equal(from_png(to_png(levels)), levels)
    edges = np.eye(5, dtype=bool)
    restored = from_png(to_png(edges))
    assert restored.dtype == bool
    assert np.array_equal(restored, edges)


def test_levels_round_to_the_nearest_and_survive_the_round_trip() -> None:
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    tensor = to_tensor([levels])
    assert tensor.shape == (1, 3, 16, 16)
    assert np.array_equal(to_levels(tensor)[0], levels)
    odd = torch.tensor([0.4, 0.6, 254.6, -3.0, 300.0, 127.49]) / 255
    assert to_levels(odd.view(1, 1, 1, 6).expand(1, 3, 1, 6))[0, 0, :, 0].tolist() == [
        0,
        1,
        255,
        0,
        255,
        127,
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"read_image": lambda: np.zeros((4, 4), np.uint8)}, "image: is uint8"),
        ({"read_image": lambda: np.zeros((4, 4, 3))}, "image: is float64"),
        ({"read_image": lambda: np.zeros((0, 4, 3), np.uint8)}, "no pixels"),
        ({"read_mask": lambda: np.zeros((3, 3), bool)}, "mask: is 3x3, the picture 24x20"),
        ({"read_target": lambda: picture(0, 3, 3)}, "target: is 3x3"),
    ],
)
def test_pictures_that_do_not_fit_are_bad_samples(changes: dict[str, object], message: str) -> None:
    with pytest.raises(BadSample, match=message):
        prepare(make_sample(1, **changes), 16)
