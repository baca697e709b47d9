"""Scenes as samples of a benchmark, and as training data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from icd_bench.api import BlendWords, Sample
from icd_bench.benchmarks.edit_types import CATEGORIES

from .attributes import attributes, variants
from .captions import bracket, caption
from .edits import ScenePair, edit_mask, edited_attributes, pair
from .render import render
from .splits import scene
from .world import VERSION


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
