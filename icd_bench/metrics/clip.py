"""CLIP similarities: cosines in [-1, 1], higher is better.

Radford et al. 2021, "Learning transferable visual models from natural language supervision",
arXiv:2103.00020. The raw cosine, neither scaled nor clamped. ``clip_text``, ``clip_image`` and
``clip_target_image`` use the CLIP of the scenes world, which knows nothing else: samples from
elsewhere score NaN. The same classes serve any other network (see ``clip_l14``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from icd_bench.api import MetricInfo, Sample, Scored

from .clip_network import SCENES_CLIP, CLIPEncoder, CLIPSource
from .signature import sign

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

CITATION = "Radford et al. 2021, arXiv:2103.00020"


class CLIPMetric(ABC):
    """A score made from CLIP embeddings.

    Args:
        spec: which network (default: the CLIP of the scenes world).
    """

    info: ClassVar[MetricInfo]
    family: ClassVar[str]
    version: ClassVar[int] = 1

    def __init__(self, spec: CLIPSource = SCENES_CLIP) -> None:
        self.spec = spec
        self.device = "cpu"

    def load(self, device: str = "cpu") -> None:
        """Bring the network to the device; raises MissingWeights."""
        self.device = device
        self.clip: CLIPEncoder = self.spec.load(device)
        self.clip.forget_pictures()

    def signature(self) -> str:
        """Return how the number is made."""
        return sign(
            self.family,
            self.version,
            net=self.spec.name,
            weights=self.spec.fingerprint(),
            size="network",
            resize="configured",
            **self.rules(),
        )

    def rules(self) -> dict[str, str]:
        """Return what else belongs in the signature."""
        return {"mask": "none"}

    def score(self, batch: Scored) -> NDArray[np.float64]:
        """Return (N,) values; NaN where the metric does not apply to a sample."""
        values = np.full(len(batch.samples), np.nan)
        rows = [
            row
            for row, sample in enumerate(batch.samples)
            if self.spec.applies(sample) and self.has_needs(sample)
        ]
        if rows:
            values[rows] = self.measure(batch, rows)
        return values

    def has_needs(self, sample: Sample) -> bool:
        """Return whether the sample has what the metric needs."""
        return "target" not in self.info.needs or sample.read_target is not None

    @abstractmethod
    def measure(self, batch: Scored, rows: list[int]) -> NDArray[np.float64]:
        """Return one value for each of ``rows``."""

    def embed_edited(self, batch: Scored, rows: list[int]) -> Tensor:
        """Return (R, D) unit embeddings of the edited pictures, encoded once for all metrics."""
        return self.clip.last.features(batch.edited)[0][rows]

    def embed_reference(
        self, which: Literal["source", "target"], pictures: Tensor, batch: Scored, rows: list[int]
    ) -> Tensor:
        """Return (R, D) unit embeddings of source or target pictures, each encoded once."""
        keys = [f"{which}:{batch.samples[row].digest}" for row in rows]
        return self.clip.references.features(keys, pictures[rows], self.clip.images)[0]


class CLIPText(CLIPMetric):
    """Does the edited picture show what the target prompt says?"""

    family = "clip_text"
    info: ClassVar[MetricInfo] = MetricInfo(
        name="clip_text",
        title="CLIP text similarity (scenes CLIP)",
        direction="higher",
        unit="cosine",
        citation=CITATION,
        needs=("scene",),
        group="editing",
        range=(-1, 1),
    )

    def measure(self, batch: Scored, rows: list[int]) -> NDArray[np.float64]:
        """Return the cosines of edited pictures and target prompts."""
        prompts = self.clip.texts([batch.samples[row].target_prompt for row in rows])
        return cosine(self.embed_edited(batch, rows), prompts)


class CLIPImage(CLIPMetric):
    """Does the edited picture still show what the source picture shows?"""

    family = "clip_image"
    info: ClassVar[MetricInfo] = MetricInfo(
        name="clip_image",
        title="CLIP similarity to the source (scenes CLIP)",
        direction="higher",
        unit="cosine",
        citation=CITATION,
        needs=("scene",),
        range=(-1, 1),
    )

    def measure(self, batch: Scored, rows: list[int]) -> NDArray[np.float64]:
        """Return the cosines of edited and source pictures."""
        reference = self.embed_reference("source", batch.source, batch, rows)
        return cosine(self.embed_edited(batch, rows), reference)


class CLIPTargetImage(CLIPMetric):
    """Does the edited picture show what the true edit shows?"""

    family = "clip_target_image"
    info: ClassVar[MetricInfo] = MetricInfo(
        name="clip_target_image",
        title="CLIP similarity to the true edit (scenes CLIP)",
        direction="higher",
        unit="cosine",
        citation=CITATION,
        needs=("scene", "target"),
        group="truth",
        range=(-1, 1),
    )

    def measure(self, batch: Scored, rows: list[int]) -> NDArray[np.float64]:
        """Return the cosines of edited and truly edited pictures."""
        if batch.target is None:
            return np.full(len(rows), np.nan)
        reference = self.embed_reference("target", batch.target, batch, rows)
        return cosine(self.embed_edited(batch, rows), reference)


def cosine(a: Tensor, b: Tensor) -> NDArray[np.float64]:
    """Return the (N,) inner products of unit vectors (N, D)."""
    cosines: NDArray[np.float64] = (a.double() * b.double()).sum(dim=1).cpu().numpy()
    return cosines
