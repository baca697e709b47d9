"""The scenes of VERSION 1 never change: pixels, captions and draws are pinned."""

from __future__ import annotations

import json
from dataclasses import asdict
from hashlib import sha256
from itertools import product

import numpy as np
import pytest

from icd_bench.benchmarks.scenes.edits import edit_mask, pair
from icd_bench.benchmarks.scenes.render import render
from icd_bench.benchmarks.scenes.samples import training_pairs
from icd_bench.benchmarks.scenes.splits import HELD_OUT
from icd_bench.benchmarks.scenes.world import KINDS, MATERIALS, STYLES, VERSION, Scene, Thing

PINS = {
    "train": "7e0ea858e838e32a",
    "dev": "fd031894ab2a4a21",
    "test": "0eb330e71f4c8b6a",
}
PINNED_EDITS = "49bbe2835805f353"
PINNED_KINDS = "f827122a8b9f8aa7"
PINNED_HELD_OUT = "7fff38afb05c1794"


def test_version() -> None:
    assert VERSION == "1"


@pytest.mark.parametrize("split", PINS)
def test_first_pictures_of_a_split(split: str) -> None:
    digest = sha256()
    for image, text in training_pairs(split, 0, 48):
        assert image.shape == (64, 64, 3)
        assert image.dtype == np.uint8
        digest.update(image.tobytes() + text.encode())
    assert digest.hexdigest()[:16] == PINS[split]


def test_first_edits() -> None:
    digest = sha256()
    for index in range(30):
        edit = pair("test", index)
        digest.update(json.dumps(asdict(edit), sort_keys=True).encode())
        digest.update(render(edit.target).tobytes() + edit_mask(edit).tobytes())
    assert digest.hexdigest()[:16] == PINNED_EDITS


def test_every_kind_in_every_material_and_style() -> None:
    digest = sha256()
    for kind, material, style in product(KINDS, MATERIALS, STYLES):
        facing = "left" if kind in ("car", "cat", "duck", "fish") else None
        thing = Thing(kind, "red", material, "large", facing, "centre")
        digest.update(render(Scene("snow", style, (thing,))).tobytes())
    assert digest.hexdigest()[:16] == PINNED_KINDS


def test_held_out_set() -> None:
    text = json.dumps(sorted(HELD_OUT))
    assert sha256(text.encode()).hexdigest()[:16] == PINNED_HELD_OUT


def test_order_does_not_matter() -> None:
    forward = [pair("dev", i) for i in range(12)]
    assert forward == [pair("dev", i) for i in reversed(range(12))][::-1]
