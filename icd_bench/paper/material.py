"""What an experiment is measured with: pictures, captions, measures, and a reference for features.

The embedded world has them all; models of photos take COCO's, as the paper does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Final

from icd_bench import registry
from icd_bench.api import Metric, Sample, Scored
from icd_bench.errors import BadSample, MissingWeights, UsageError
from icd_bench.metrics.signature import sign
from icd_bench.models import ModelSpec
from icd_bench.protocols import NATIVE, Protocol, find_protocol
from icd_bench.run.reading.prepare import prepare, to_tensor

from .experiments import Kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from icd_bench.stats.frechet import Gaussian

SCENES: Final = 512
"""Test scenes: those that the model card's figures are measured on."""
REFERENCE: Final = 2048
"""Dev scenes that features are compared with."""
MISSING: Final = "weights:missing"
"""In the signature of a measure whose network is not on this machine: loading it says why."""
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
        pictures: N times (R, R, 3) uint8.
        statistics: known without pictures; None where these are to be measured.
    """

    name: str
    title: str
    signature: str
    load: Callable[[str], Callable[[Tensor], NDArray[np.floating]]]
    pictures: Callable[[], Iterator[NDArray[np.uint8]]]
    statistics: Callable[[], Gaussian] | None = None


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

    def usable(self, device: str, say: Callable[[str], None]) -> Material:
        """Return it with what can be computed on this machine; what cannot is named."""
        loads: dict[str, tuple[str, Callable[[str], object]]] = {}
        for name in self.metrics:
            metric: Metric = registry.metrics.load(name)()
            loads[name] = (metric.signature(), metric.load)
        if self.reference is not None:
            loads[self.reference.name] = (self.reference.signature, self.reference.load)
        there = set()
        for name, (signature, load) in loads.items():
            try:
                if MISSING in signature:
                    load(device)
                there.add(name)
            except MissingWeights as error:
                say(f"{name} is not computed: {error}")
        reference = self.reference if self.reference and self.reference.name in there else None
        metrics = tuple(name for name in self.metrics if name in there)
        return replace(self, metrics=metrics, reference=reference)


@dataclass(frozen=True)
class Judges:
    """Loaded measures of finished pictures."""

    metrics: Sequence[Metric]
    features: Callable[[Tensor], NDArray[np.floating]] | None

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

    protocol = find_protocol("icd-2024")
    return Material(name, photos, measures, photo_features(spec, protocol, location), protocol)


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


def photo_features(spec: ModelSpec, protocol: Protocol, location: str | None) -> Reference:
    """Return FID: Inception features, and the statistics that are named, or COCO's photos."""
    metric = registry.metrics.load("fid")()

    def load(device: str) -> Callable[[Tensor], NDArray[np.floating]]:
        metric.load(device)
        features: Callable[[Tensor], NDArray[np.floating]] = metric.features
        return features

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for sample in registry.benchmarks.load("coco-inversion")(location).samples():
            if isinstance(sample, Sample):
                yield prepare(sample, spec.resolution, protocol).source

    def statistics() -> Gaussian:
        from icd_bench.metrics.reference_sets import read_arrays
        from icd_bench.stats.frechet import Gaussian

        return Gaussian(*read_arrays(metric.reference_file(), ("mu", "sigma")))

    return Reference(
        "fid", metric.info.title, metric.signature(), load, pictures,
        statistics if metric.reference_file() else None,
    )  # fmt: skip


def read(samples: Sequence[Sample], resolution: int, protocol: Protocol, device: str) -> Tensor:
    """Return the pictures (B, 3, R, R) of samples in [0, 1]."""
    prepared = [prepare(sample, resolution, protocol).source for sample in samples]
    return to_tensor(prepared, device)
