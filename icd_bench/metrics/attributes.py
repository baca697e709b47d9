"""Attribute accuracy on scenes: 0 to 1 (all right), higher is better.

Every attribute of a scene (kind, colour, background ...) is a multiple-choice question: CLIP sees
the edited picture and the captions of the true edited scene with this attribute varied. The
answer is right where the true caption has the highest cosine; a tie is wrong. ``attribute_edited``
is the share of right answers among the attributes that the edit changes (did it happen?),
``attribute_kept`` among the others (did everything else stay?).

A sample carries its questions in ``metadata["choices"]``: a list of
``{"attribute": str, "edited": bool, "captions": [true caption, alternatives ...]}``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from icd_bench.api import MetricInfo, Sample, Scored

from .clip import CITATION, CLIPMetric
from .clip_network import is_scene

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


class AttributeAccuracy(CLIPMetric):
    """Share of attributes that CLIP recognises in the edited picture."""

    edited: ClassVar[bool]
    """Whether it asks for the attributes that the edit changes, or for the others."""

    def has_needs(self, sample: Sample) -> bool:
        """Return whether the sample asks for at least one attribute."""
        return is_scene(sample) and bool(self.questions(sample))

    def questions(self, sample: Sample) -> list[list[str]]:
        """Return the captions of each question, the true one first."""
        choices = sample.metadata["choices"]
        return [choice["captions"] for choice in choices if choice["edited"] is self.edited]

    def measure(self, batch: Scored, rows: list[int]) -> NDArray[np.float64]:
        """Return the share of right answers."""
        questions = [self.questions(batch.samples[row]) for row in rows]
        # Encodes the texts of the whole batch at once; the lookups below find them done.
        self.clip.texts(
            [caption for asked in questions for captions in asked for caption in captions]
        )
        pictures = self.embed_edited(batch, rows)
        return np.array(
            [
                np.mean([self._is_right(captions, picture) for captions in asked])
                for asked, picture in zip(questions, pictures, strict=True)
            ]
        )

    def _is_right(self, captions: list[str], picture: Tensor) -> bool:
        """Return whether the first caption has the highest cosine with the embedding (D,)."""
        cosines = self.clip.texts(captions) @ picture
        return bool((cosines[0] > cosines[1:]).all())


class AttributeEdited(AttributeAccuracy):
    """Did the edit happen?"""

    family = "attribute_edited"
    edited = True
    info: ClassVar[MetricInfo] = MetricInfo(
        name="attribute_edited",
        title="Edited attributes recognised",
        direction="higher",
        unit="share",
        citation=f"multiple choice by CLIP, {CITATION}",
        needs=("scene",),
        group="editing",
        range=(0, 1),
    )


class AttributeKept(AttributeAccuracy):
    """Did everything else stay?"""

    family = "attribute_kept"
    edited = False
    info: ClassVar[MetricInfo] = MetricInfo(
        name="attribute_kept",
        title="Other attributes still recognised",
        direction="higher",
        unit="share",
        citation=f"multiple choice by CLIP, {CITATION}",
        needs=("scene",),
        range=(0, 1),
    )
