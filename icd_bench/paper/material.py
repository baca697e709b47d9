"""What an experiment is measured with: pictures, captions, measures, and a reference for features.

The embedded world has them all; models of photos take COCO's, as the paper does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Final

from icd_bench import registry
from icd_bench.api import Metric, Sample, Scored
from icd_bench.errors import BadSample, UsageError
from icd_bench.metrics.signature import sign
from icd_bench.models import ModelSpec
from icd_bench.protocols import NATIVE, Protocol, find_protocol
from icd_bench.run.prepare import prepare, to_tensor

from .experiments import Kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

SCENES: Final = 512
"""Test scenes: those that the model card's figures are measured on."""
REFERENCE: Final = 2048
"""Dev scenes that features are compared with."""
TO_SOURCE: Final = frozenset({"psnr", "lpips_alex", "lpips_vgg_224", "clip_image", "dino_v2"})
"""Metrics that compare with the picture that was inverted."""


@dataclass(frozen=True)
class Reference:
    """A network's features, and the pictures whose features count as right.

    Args:
        name: of the distance to them, as a column.
        title: for people.
        signature: how the distance is made.
        load: brings the network to a device; it maps (N, 3, R, R) in [0, 1] to (N, D).
        pictures: (N, R, R, 3) uint8.
    """

    name: str
    title: str
    signature: str
    load: Callable[[str], Callable[[Tensor], NDArray[np.float32]]]
    pictures: Callable[[], Iterator[NDArray[np.uint8]]]


@dataclass(frozen=True)
class Material:
    """Samples and measures for one kind of experiment."""

    title: str
    samples: Callable[[int], Iterator[Sample | BadSample]]
    """The first N."""
    metrics: tuple[str, ...]
    reference: Reference | None
    protocol: Protocol = NATIVE
    steps: int = 50
    """Of a multi-step encoder."""
    count: int = 5000
    """Samples where no limit is given."""

    def take(self, limit: int | None, say: Callable[[str], None]) -> list[Sample]:
        """Return the samples; unusable ones are named and left out.

        Raises:
            UsageError: there is none.
        """
        count = self.count if limit is None else limit
        found: list[Sample] = []
        for sample in islice(self.samples(count), count):
            if isinstance(sample, BadSample):
                say(f"left out: {sample}")
            else:
                found.append(sample)
        if not found:
            raise UsageError(f"{self.title}: no usable sample")
        return found


@dataclass(frozen=True)
class Judges:
    """Loaded measures of finished pictures."""

    metrics: Sequence[Metric]
    features: Callable[[Tensor], NDArray[np.float32]] | None

    def score(
        self, samples: Sequence[Sample], source: Tensor, pictures: Tensor, inverted: bool
    ) -> dict[str, NDArray[np.floating]]:
        """Return a column (B, ...) for each measure, of pictures rounded to 8 bits.

        Args:
            samples: B.
            source: (B, 3, R, R) in [0, 1].
            pictures: (B, 3, R, R) in [0, 1].
            inverted: whether they were made from the source; else nothing compares them with it.
        """
        levels = pictures.mul(255).round().div(255)
        batch = Scored(samples, source, levels, target=None, mask=None)
        columns: dict[str, NDArray[np.floating]] = {
            metric.info.name: metric.score(batch)
            for metric in self.metrics
            if inverted or metric.info.name not in TO_SOURCE
        }
        if self.features is not None:
            columns["features"] = self.features(levels)
        return columns


def material_for(spec: ModelSpec, kind: Kind, location: str | None = None) -> Material:
    """Return what a model is measured with: scenes for models of 64 pixels, else COCO.

    Args:
        spec: the model.
        kind: of the experiment.
        location: folder of COCO's files; None: where ``icd-bench data get`` puts them.
    """
    if spec.resolution == 64:
        metrics: tuple[str, ...] = ("psnr", "lpips_alex", "clip_image", "attribute_kept")
        if kind == "generation":
            metrics = ("clip_text", "attribute_kept")
        return Material(
            f"scenes, test split, first {SCENES}", scenes, metrics, scene_features(),
            steps=20, count=SCENES,
        )  # fmt: skip
    name = f"coco-{kind}"
    measures: tuple[str, ...] = ("lpips_vgg_224", "dino_v2", "psnr")
    if kind == "generation":
        measures = ("clip_text_l14", "image_reward")

    def photos(count: int) -> Iterator[Sample | BadSample]:
        return iter(registry.benchmarks.load(name)(location).samples())

    return Material(name, photos, measures, None, find_protocol("icd-2024"))


def scenes(count: int, split: str = "test") -> Iterator[Sample]:
    """Yield single pictures of the scenes world that are to stay as they are."""
    from icd_bench.training.scenes.data import load_world

    world = load_world()
    for index, (picture, caption) in enumerate(world.pairs(split, 0, count)):
        choices = [
            {"attribute": name, "edited": False, "captions": [caption, *others]}
            for name in world.attributes(caption)
            if (others := world.variants(caption, name))
        ]
        digest = sha256(picture.tobytes() + caption.encode()).hexdigest()
        yield Sample(
            id=f"scenes-{split}-{index:06d}",
            source_prompt=caption,
            target_prompt=caption,
            digest=digest,
            read_image=picture.copy,
            metadata={"choices": choices},
        )


def scene_features() -> Reference:
    """Return the picture embeddings of the scenes world's own CLIP, and dev scenes."""
    from icd_bench.metrics.clip_network import SCENES_CLIP, load_clip

    def load(device: str) -> Callable[[Tensor], NDArray[np.float32]]:
        clip = load_clip(SCENES_CLIP, device)

        def features(images: Tensor) -> NDArray[np.float32]:
            embeddings: NDArray[np.float32] = clip.images(images.to(device))[0].cpu().numpy()
            return embeddings

        return features

    def pictures() -> Iterator[NDArray[np.uint8]]:
        return (sample.read_image() for sample in scenes(REFERENCE, "dev"))

    signature = sign(
        "frechet", 1, net=SCENES_CLIP.name, weights=SCENES_CLIP.fingerprint(),
        reference=f"{REFERENCE} dev scenes", features="unit",
    )  # fmt: skip
    title = "Frechet distance on features of the scenes CLIP (no FID)"
    return Reference("frechet_scenes_clip", title, signature, load, pictures)


def read(samples: Sequence[Sample], resolution: int, protocol: Protocol, device: str) -> Tensor:
    """Return the pictures (B, 3, R, R) of samples in [0, 1]."""
    prepared = [prepare(sample, resolution, protocol).source for sample in samples]
    return to_tensor(prepared, device)
