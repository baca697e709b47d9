"""The scenes world as a benchmark, and as training data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from hashlib import sha256
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from icd_bench.api import BenchmarkInfo, BlendWords, Sample
from icd_bench.errors import BadSample, UsageError

from .attributes import attributes, variants
from .captions import bracket, caption
from .edits import CATEGORIES, ScenePair, edit_mask, edited_attributes, pair
from .render import render
from .splits import SPLITS, scene
from .world import IMAGE_SIZE, VERSION

SAMPLES = 700


class Scenes:
    """700 edits of a split (default: test), all ten PIE types in turn, with their true results."""

    info: ClassVar[BenchmarkInfo] = BenchmarkInfo(
        name="scenes",
        title="Scenes: a small world with true edits",
        licence="Apache-2.0",
        source="made by icd-bench, see benchmarks/scenes/README.md",
        size=f"{SAMPLES} edits a split, {IMAGE_SIZE}x{IMAGE_SIZE}, drawn on demand (0 bytes)",
        how_to_get="nothing to get: it comes with icd-bench",
        resolution=IMAGE_SIZE,
        default_model="scenes",
        metrics=(
            "background_psnr",
            "background_lpips",
            "background_ssim",
            "background_mse",
            "psnr",
            "ssim",
            "mse",
            "lpips_alex",
            "clip_image",
            "clip_text",
            "attribute_edited",
            "attribute_kept",
            "clip_target_image",
            "target_psnr",
            "target_ssim",
            "target_lpips",
        ),
    )

    def __init__(self, location: str | None = None, split: str | None = None) -> None:
        if location is not None:
            raise UsageError(f"scenes: location {location!r}: it is drawn, not read; leave it out")
        self.split = "test" if split is None else split
        if self.split not in SPLITS:
            raise UsageError(f"scenes: split {split!r}: it must be one of {', '.join(SPLITS)}")

    def samples(self) -> Iterator[Sample | BadSample]:
        """Yield the edits in order; nothing is drawn before a picture is read."""
        for index in range(SAMPLES):
            yield sample(self.split, index)


def sample(split: str, index: int) -> Sample:
    """Edit `index` of a split as a sample."""
    edit = pair(split, index)
    source, target = caption(edit.source), caption(edit.target)
    bracketed_source, bracketed_target = bracket(source, target)
    return Sample(
        id=f"scenes-{VERSION}-{split}-{index:06d}",
        source_prompt=source,
        target_prompt=target,
        digest=_digest(edit),
        read_image=partial(render, edit.source),
        blend_words=_blend_words(edit),
        read_mask=partial(edit_mask, edit),
        read_target=partial(render, edit.target),
        category=f"{edit.category}_{CATEGORIES[edit.category]}",
        metadata={
            "source_bracketed": bracketed_source,
            "target_bracketed": bracketed_target,
            "source_attributes": attributes(edit.source),
            "target_attributes": attributes(edit.target),
            "changed": list(edit.changed),
            "variation": edit.source.variation,
            "choices": choices(edit),
        },
    )


def training_pairs(split: str, start: int, stop: int) -> Iterator[tuple[NDArray[np.uint8], str]]:
    """Pictures (64, 64, 3) uint8 with their captions, for scenes start..stop-1 of a split."""
    for index in range(start, stop):
        found = scene(split, index)
        yield render(found), caption(found)


def choices(edit: ScenePair) -> list[dict[str, Any]]:
    """Questions that tell whether the edit happened and everything else stayed.

    One for each attribute of the true edit that has an alternative: its caption first, then the
    captions that differ in that attribute alone. Where a thing comes or goes, the question of its
    presence is put as well: the target's caption against the source's.
    """
    true = caption(edit.target)
    edited = edited_attributes(edit)
    asked = [
        {
            "attribute": name,
            "edited": name in edited,
            "captions": [true, *(caption(other) for other in variants(edit.target, name))],
        }
        for name in attributes(edit.target)
        if variants(edit.target, name)
    ]
    if edit.changed == ("thing",):
        asked.append(
            {"attribute": "presence", "edited": True, "captions": [true, caption(edit.source)]}
        )
    return asked


def _blend_words(edit: ScenePair) -> BlendWords:
    source, target = edit.blend_words or ("", "")
    return BlendWords((source,) if source else (), (target,) if target else ())


def _digest(edit: ScenePair) -> str:
    """SHA-256 of what decides pixels, prompts, words and mask; VERSION pins the pixels."""
    content = json.dumps(["scenes", VERSION, asdict(edit)], sort_keys=True, separators=(",", ":"))
    return sha256(content.encode()).hexdigest()
