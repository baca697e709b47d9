"""A whole small world without a diffusion model: deterministic, fast, and counting its calls.

The classes are given to runs as ``.../run_fakes.py:Class``, the way a user gives a file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, ClassVar

import numpy as np
import torch

from icd_bench.api import (
    Batch,
    BenchmarkInfo,
    BlendWords,
    Edits,
    Inversion,
    MethodInfo,
    MetricInfo,
    Preset,
    Sample,
    Scored,
    Setting,
    edit_field,
    inversion_field,
)
from icd_bench.errors import BadSample, MissingWeights

FILE = __file__
RESOLUTION = 16


def here(*names: str) -> tuple[str, ...]:
    """Return references to classes of this file."""
    return tuple(f"{FILE}:{name}" for name in names)


# ------------------------------------------------------------------------------ models


@dataclass(frozen=True)
class FakeModel:
    name: str = "fake"
    resolution: int = RESOLUTION
    weights: str = "v1"
    family: str = "sd"

    def commits(self, needs: Collection[str] | None = None) -> dict[str, str]:
        return {"somebody/fake": self.weights}

    def digest(self, needs: Collection[str] | None = None) -> str:
        return sha256(f"{self.name}-{self.weights}-{sorted(needs or ())}".encode()).hexdigest()


@dataclass
class FakeBackbone:
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    fits: int | None = None
    """Most samples x settings of one call; None for no limit."""
    inverted: list[tuple[str, ...]] = field(default_factory=list)
    """Sample ids of every call of ``invert``."""
    edited: list[tuple[tuple[str, ...], int]] = field(default_factory=list)
    """Sample ids and number of settings of every call of ``edit``."""

    loading_seconds: float = 0.0

    def twin(self) -> FakeBackbone:
        """Return itself: it has no state of a call."""
        return self

    def check(self, size: int) -> None:
        if self.fits is not None and size > self.fits:
            raise torch.OutOfMemoryError(f"CUDA out of memory: {size} do not fit")


@dataclass
class FakeModels:
    model: FakeModel = FakeModel()
    backbone: FakeBackbone = field(default_factory=FakeBackbone)
    loads: int = 0

    def find(self, reference: str) -> FakeModel:
        return self.model

    def require(self, model: Any, needs: Collection[str]) -> None:
        if "moonlight" in needs:
            raise MissingWeights('model "fake" lacks moonlight; get it with: wait')

    def load(self, model: Any, device: str, dtype: str) -> Any:
        self.loads += 1
        return self.backbone


# ----------------------------------------------------------------------------- methods


class TintSetting(Setting):
    steps: int = inversion_field(4, "inversion steps", ge=1, le=50)
    strength: float = edit_field(0.5, "how much of the colour is mixed in", ge=0, le=1)


class Tint:
    """Mixes in a colour made from the target prompt, with noise from the sample's seed.

    A target prompt may ask for trouble: "raise", "nan", "flat", "invert-raise", "raise-strong".
    """

    info: ClassVar[MethodInfo] = MethodInfo(
        name="tint",
        version="1",
        title="Tint",
        paper="none",
        defaults={"fake": {"steps": 5}},
        presets={"paper": Preset("sec. 4", {"strength": 0.2})},
        sweep={"strength": [0.25, 0.75]},
    )
    Setting: ClassVar[type[Setting]] = TintSetting

    def invert(self, backbone: Any, batch: Batch, setting: TintSetting) -> Inversion:
        backbone.inverted.append(batch.ids)
        backbone.check(len(batch))
        if "invert-raise" in batch.target_prompts:
            raise RuntimeError("no inversion for this one")
        noise = torch.stack([_noise(seed) for seed in batch.seeds])
        return Inversion(
            tensors={"latents": batch.images + 0.01 * setting.steps * noise},
            nfe=(setting.steps,) * len(batch),
            warnings=tuple(("steep",) if "steep" in p else () for p in batch.target_prompts),
        )

    def edit(
        self, backbone: Any, batch: Batch, inversion: Inversion, settings: Sequence[TintSetting]
    ) -> Edits:
        backbone.edited.append((batch.ids, len(settings)))
        backbone.check(len(batch) * len(settings))
        strongest = max(setting.strength for setting in settings)
        for prompt in batch.target_prompts:
            if prompt == "raise" or (prompt == "raise-strong" and strongest > 0.7):
                raise RuntimeError("this one\ncannot be edited")
        latents = inversion.tensors["latents"]
        images = torch.stack(
            [
                torch.stack([_mix(latents[b], prompt, s.strength) for s in settings])
                for b, prompt in enumerate(batch.target_prompts)
            ]
        )
        count = len(batch)
        return Edits(
            images=images,
            nfe_shared=(3,) * count,
            nfe=tuple((2,) * len(settings) for _ in range(count)),
        )


class Tint2(Tint):
    """The same under another version."""

    info: ClassVar[MethodInfo] = MethodInfo(name="tint", version="2", title="Tint", paper="none")


class Wash(Tint):
    """Edits like Tint, from an inversion that it shares with Glaze."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="wash", version="1", title="Wash", paper="none", inversion="grain"
    )


class Glaze(Wash):
    """The same under another name."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="glaze", version="3", title="Glaze", paper="none", inversion="grain"
    )


class Copy:
    """Returns the source: an anchor."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="copy", version="1", title="Copy", paper="none", anchor=True
    )
    Setting: ClassVar[type[Setting]] = Setting

    def invert(self, backbone: Any, batch: Batch, setting: Setting) -> Inversion:
        return Inversion()

    def edit(
        self, backbone: Any, batch: Batch, inversion: Inversion, settings: Sequence[Setting]
    ) -> Edits:
        count = len(batch)
        images = batch.images[:, None].expand(-1, len(settings), -1, -1, -1)
        return Edits(images, (0,) * count, tuple((0,) * len(settings) for _ in range(count)))


class Moonlit(Copy):
    """Needs weights that nobody has."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="moonlit", version="1", title="Moonlit", paper="none", needs=("moonlight",)
    )


def _noise(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, RESOLUTION, RESOLUTION, generator=generator)


def _mix(latents: torch.Tensor, prompt: str, strength: float) -> torch.Tensor:
    if prompt == "nan":
        return torch.full_like(latents, float("nan"))
    if prompt == "flat":
        return torch.zeros_like(latents)
    colour = torch.tensor(list(sha256(prompt.encode()).digest()[:3])) / 255
    return ((1 - strength) * latents + strength * colour[:, None, None]).clamp(0, 1)


# -------------------------------------------------------------------------- benchmarks


def picture(index: int, height: int = 20, width: int = 24) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, (height, width, 3), dtype=np.uint8)


def mask(index: int, height: int = 20, width: int = 24) -> np.ndarray:
    return np.random.default_rng(1000 + index).random((height, width)) < 0.3


def make_sample(index: int, target: str = "", **changes: Any) -> Sample:
    target = target or f"a painting of thing {index}"
    values: dict[str, Any] = {
        "id": f"s{index}",
        "source_prompt": f"a photo of thing {index}",
        "target_prompt": target,
        "digest": sha256(f"{index}{target}".encode()).hexdigest(),
        "read_image": lambda: picture(index),
        "blend_words": BlendWords(("photo",), ("painting",)),
        "read_mask": lambda: mask(index),
        "read_target": lambda: picture(500 + index),
        "category": f"k{index % 2}",
        "metadata": {"number": index},
    }
    return Sample(**{**values, **changes})


class Ten:
    """Ten samples, all fine."""

    info: ClassVar[BenchmarkInfo] = BenchmarkInfo(
        name="ten",
        title="Ten",
        licence="none",
        source="made up",
        size="10",
        how_to_get="it is here",
        default_model="fake",
        metrics=here("Distance", "Offset"),
    )

    def __init__(self, location: str | None = None, split: str | None = None) -> None: ...

    def samples(self) -> Iterator[Sample | BadSample]:
        for index in range(10):
            yield make_sample(index)


class Troubled(Ten):
    """Samples with every kind of trouble among good ones."""

    def samples(self) -> Iterator[Sample | BadSample]:
        yield make_sample(0)
        yield BadSample("rows.csv, row 2", "target", "the prompt is empty", "write one")
        yield make_sample(2, "raise")
        yield make_sample(3, "nan")
        yield make_sample(4, "flat")
        yield make_sample(5, "invert-raise")
        yield make_sample(6, read_image=_broken)
        yield make_sample(7, "a steep hill")
        yield make_sample(0)
        yield make_sample(9, "raise-strong")
        yield make_sample(10, read_mask=None, read_target=None)


class Repaired(Troubled):
    """The same after the user mended what was wrong."""

    def samples(self) -> Iterator[Sample | BadSample]:
        for index in range(11):
            yield make_sample(index)


class Nothing(Ten):
    """No samples at all."""

    def samples(self) -> Iterator[Sample | BadSample]:
        return iter(())


def _broken() -> np.ndarray:
    raise BadSample("s6.png", "image", "the file is cut short", "copy it again")


# ----------------------------------------------------------------------------- metrics


class Distance:
    """Mean absolute difference between edit and source."""

    info: ClassVar[MetricInfo] = MetricInfo(
        name="distance", title="Distance", direction="lower", unit="", citation="none"
    )
    version: ClassVar[str] = "1"
    calls: ClassVar[list[int]] = []

    def load(self, device: str = "cpu") -> None: ...

    def signature(self) -> str:
        return f"{self.info.name}|v{self.version}"

    def score(self, batch: Scored) -> np.ndarray:
        self.calls.append(len(batch.samples))
        return (batch.edited - batch.source).abs().flatten(1).mean(1).double().numpy()


class Distance2(Distance):
    """The same name, made in another way."""

    version: ClassVar[str] = "2"

    def score(self, batch: Scored) -> np.ndarray:
        return 2 * super().score(batch)


class Offset(Distance):
    """Mean difference to the true edit outside the mask; NaN without one."""

    info: ClassVar[MetricInfo] = MetricInfo(
        name="offset",
        title="Offset",
        direction="higher",
        unit="",
        citation="none",
        needs=("target", "mask"),
        group="truth",
    )
    calls: ClassVar[list[int]] = []

    def score(self, batch: Scored) -> np.ndarray:
        self.calls.append(len(batch.samples))
        if batch.target is None or batch.mask is None:
            return np.full(len(batch.samples), np.nan)
        kept = (batch.edited - batch.target) * (1 - batch.mask)
        return kept.flatten(1).mean(1).double().numpy()


class Weightless(Distance):
    """Its weights are nowhere."""

    info: ClassVar[MetricInfo] = MetricInfo(
        name="weightless", title="Weightless", direction="lower", unit="", citation="none"
    )

    def load(self, device: str = "cpu") -> None:
        raise MissingWeights("no weights here; get them with: magic")


class Moody(Distance):
    """Cannot score sample s1."""

    info: ClassVar[MetricInfo] = MetricInfo(
        name="moody", title="Moody", direction="lower", unit="", citation="none"
    )

    def score(self, batch: Scored) -> np.ndarray:
        if any(sample.id == "s1" for sample in batch.samples):
            raise RuntimeError("not in the mood")
        return super().score(batch)
