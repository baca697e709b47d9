"""The vocabulary: what a sample, a setting, an inversion, a method, a benchmark and a metric are.

This module is all that a plugin has to import. It imports no torch, so that listing, planning
and reporting stay instant; method modules keep that promise by importing torch inside functions
(or under ``TYPE_CHECKING``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from icd_bench.errors import BadSample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from icd_bench.diffusion.backbone import Backbone

Stage = Literal["inversion", "edit"]
Direction = Literal["higher", "lower", "neither"]
"""Which values are better; a metric of which neither are is shown, and never ranks anything."""
Range = tuple[float | None, float | None]
"""Smallest and largest possible value; None where there is no limit."""


# ----------------------------------------------------------------------------- samples


@dataclass(frozen=True)
class BlendWords:
    """Words whose attention maps limit an edit in space (LocalBlend).

    Args:
        source: words of the source prompt, as they occur there.
        target: words of the target prompt, as they occur there.
    """

    source: tuple[str, ...] = ()
    target: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.source or self.target)


@dataclass(frozen=True)
class Sample:
    """One editing task: a picture, what it shows, and what it shall show.

    Pictures are read on demand, so that a benchmark can be planned without decoding anything.
    """

    id: str
    """Unique within the benchmark."""
    source_prompt: str
    """Describes the picture as it is; no brackets."""
    target_prompt: str
    """Describes the picture as it shall be; no brackets."""
    digest: str
    """SHA-256 (hex) over everything that determines the task: pixels, prompts, words, mask."""
    read_image: Callable[[], NDArray[np.uint8]]
    """Returns (H, W, 3) RGB; raises BadSample."""
    blend_words: BlendWords = BlendWords()
    read_mask: Callable[[], NDArray[np.bool_]] | None = None
    """Returns (H, W), true where the edit may change the picture; raises BadSample."""
    read_target: Callable[[], NDArray[np.uint8]] | None = None
    """Returns the true edited picture (H, W, 3), where the benchmark knows it."""
    category: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """JSON-able extras: bracketed prompts, file names, the scene."""


@dataclass(frozen=True)
class BenchmarkInfo:
    """Card of a benchmark."""

    name: str
    title: str
    licence: str
    source: str
    """Where it comes from (URL or citation)."""
    size: str
    """Human-readable number of samples and bytes."""
    how_to_get: str
    resolution: int | None = None
    """Side of the square pictures in pixels; None where it varies."""
    default_model: str = "sd15"
    metrics: tuple[str, ...] = ()
    """Names of the metrics computed when the user names none."""


@runtime_checkable
class Benchmark(Protocol):
    """A source of samples. Built as ``Benchmark(location)``; see ``icd_bench.registry``."""

    info: ClassVar[BenchmarkInfo]

    def __init__(self, location: str | None = None, split: str | None = None) -> None:
        """Open the benchmark at a folder (None: its default place) and a split."""

    def samples(self) -> Iterator[Sample | BadSample]:
        """Yield every sample in a fixed order; an unusable row is yielded as its error."""


# ----------------------------------------------------------------------------- settings


class Setting(BaseModel):
    """One value of a method's parameters.

    Every field belongs to a stage: an inversion is computed once for all settings that share the
    *inversion* fields. Declare fields with :func:`inversion_field` and :func:`edit_field`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def stage_of(cls, name: str) -> Stage:
        """Return the stage that the field ``name`` belongs to."""
        extra = cls.model_fields[name].json_schema_extra
        return (
            "inversion" if isinstance(extra, dict) and extra.get("stage") == "inversion" else "edit"
        )

    def inversion_fields(self) -> dict[str, Any]:
        """Return the JSON values of the fields that the inversion depends on."""
        names = [n for n in type(self).model_fields if self.stage_of(n) == "inversion"]
        return self.model_dump(mode="json", include=set(names))

    @property
    def needs(self) -> tuple[str, ...]:
        """Parts of a model that these values need beyond the method's own ``MethodInfo.needs``."""
        return ()

    def check_family(self, family: str) -> None:
        """Raise UsageError where these values are impossible with a family of models ("sdxl")."""


def inversion_field(default: Any, description: str, **limits: Any) -> Any:
    """Declare a setting's field that the inversion depends on (limits as in pydantic's Field)."""
    return Field(
        default, description=description, json_schema_extra={"stage": "inversion"}, **limits
    )


def edit_field(default: Any, description: str, **limits: Any) -> Any:
    """Declare a setting's field that only the edit depends on (limits as in pydantic's Field)."""
    return Field(default, description=description, json_schema_extra={"stage": "edit"}, **limits)


AnySetting = Setting
"""The base class, under a name that :class:`Method` (whose attribute is ``Setting``) can use."""


# ----------------------------------------------------------------------------- methods


@dataclass(frozen=True)
class Preset:
    """Settings of a publication, under a name (``--preset``)."""

    source: str
    """Where they are from: section, script, table."""
    settings: Mapping[str, Any]
    """In place of the Setting's own defaults; those of models do not count beside a preset."""
    by_model: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Family or model name -> what it has there instead."""


@dataclass(frozen=True)
class NoiseLatents:
    """Where an inversion has the picture as noise."""

    tensor: str = "latents"
    """Name of the tensor: (B, C, h, w), or with more dimensions after B."""
    index: int | None = None
    """Place in the second dimension, as -1 for the end of a trajectory (B, N + 1, C, h, w); None:
    all of the tensor is noise."""


@dataclass(frozen=True)
class MethodInfo:
    """What a method is and what it needs."""

    name: str
    version: str
    """Changes whenever results change: part of every cell's identity."""
    title: str
    paper: str
    """Citation with arXiv id."""
    needs: tuple[str, ...] = ()
    """Parts of a model: "icd", "cfg_distilled", "lcm"; none means any pipeline. What only some
    settings need is theirs to say (``Setting.needs``)."""
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Settings per family ("sd", "sdxl") or model name, where they differ from the Setting's own
    defaults; a model's name has the last word."""
    presets: Mapping[str, Preset] = field(default_factory=dict)
    """Settings of publications: "paper" for the method's own, "pie-bench" for the comparison."""
    sweep: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """The default sweep: field -> values."""
    inversion: str = ""
    """Name of an inversion that methods share: with the same name, inversion fields and model they
    return the same tensors, and a sample is inverted once for all of them. Empty: it is its own."""
    anchor: bool = False
    """A reference line (identity, jpeg), not a competitor."""
    noise_latents: NoiseLatents | None = None
    """What the inversion makes of the picture at its noisiest timestep, for ``latent_nll``; None:
    it draws that noise, or has none."""


@dataclass(frozen=True)
class Batch:
    """B samples as a method sees them."""

    ids: tuple[str, ...]
    images: Tensor
    """(B, 3, H, W) in [0, 1], at the backbone's resolution, on its device, float32."""
    source_prompts: tuple[str, ...]
    target_prompts: tuple[str, ...]
    blend_words: tuple[BlendWords, ...]
    seeds: tuple[int, ...]
    """One per sample, derived from the run's seed and the sample's id: noise never depends on the
    batch, the order or the worker. Make generators with ``icd_bench.diffusion.noise``."""
    instructions: tuple[str, ...] = ()
    """What to do to each picture ("make it snow"), for instruction-driven methods: the samples'
    ``metadata["instruction"]``, "" where there is none; empty if nobody has one."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass
class Inversion:
    """What ``invert`` returns: tensors with B rows each, which can be saved, sliced and reused."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    """Name -> (B, ...)."""
    nfe: tuple[int, ...] = ()
    """U-Net rows evaluated for each of the B samples, counted by the backbone."""
    warnings: tuple[tuple[str, ...], ...] = ()
    """Per sample."""


@dataclass
class Edits:
    """What ``edit`` returns for B samples x K settings."""

    images: Tensor
    """(B, K, 3, H, W) in [0, 1]."""
    nfe_shared: tuple[int, ...]
    """U-Net rows evaluated once per sample for its settings (the source branch): length B."""
    nfe: tuple[tuple[int, ...], ...]
    """U-Net rows evaluated for each (sample, setting) alone: B x K."""
    warnings: tuple[tuple[tuple[str, ...], ...], ...] = ()
    """B x K tuples of one-line warnings; empty means none at all."""
    nfe_source: tuple[tuple[int, ...], ...] = ()
    """B x K: how many of the shared rows a setting needs alone; empty means all of them."""

    def source_rows(self, sample: int, setting: int) -> int:
        """Return how many shared rows one edit would need alone."""
        return self.nfe_source[sample][setting] if self.nfe_source else self.nfe_shared[sample]


@runtime_checkable
class Method(Protocol):
    """An editing method. Stateless: everything that matters is in its arguments."""

    info: ClassVar[MethodInfo]
    Setting: ClassVar[type[AnySetting]]

    def invert(self, backbone: Backbone, batch: Batch, setting: AnySetting) -> Inversion:
        """Invert B samples; uses only the inversion fields of ``setting``."""

    def edit(
        self, backbone: Backbone, batch: Batch, inversion: Inversion, settings: Sequence[AnySetting]
    ) -> Edits:
        """Edit B samples with K settings that share their inversion fields."""


# ----------------------------------------------------------------------------- metrics


@dataclass(frozen=True)
class MetricInfo:
    """What a metric measures and how to read it."""

    name: str
    title: str
    direction: Direction
    unit: str
    citation: str
    needs: tuple[str, ...] = ()
    """Parts of a sample besides source and edit: "mask", "target", "scene"."""
    group: Literal["preservation", "editing", "truth", "quality"] = "preservation"
    """What it says: source kept, prompt followed, agreement with the true edit, realism."""
    range: Range = (None, None)
    """Smallest and largest possible value; None where there is no limit."""
    on_request: bool = False
    """Computed only where it is named, by the user, the benchmark or the protocol."""


@dataclass(frozen=True)
class Scored:
    """N finished edits as a metric sees them. All pictures are (N, 3, H, W) in [0, 1]."""

    samples: Sequence[Sample]
    source: Tensor
    edited: Tensor
    target: Tensor | None
    """The true edited pictures, where the benchmark knows them."""
    mask: Tensor | None
    """(N, 1, H, W) in {0, 1}: one where the edit may change the picture."""
    model: str = ""
    """Name of the diffusion model that made the edits."""
    latent_nll: NDArray[np.float64] | None = None
    """(N,) of the inversions behind the edits, nats a dimension, NaN where a method has none."""


@runtime_checkable
class Metric(Protocol):
    """A score of an edit. ``load`` weights once, then call on batches."""

    info: ClassVar[MetricInfo]

    def load(self, device: str = "cpu") -> None:
        """Bring weights to the device; raises MissingWeights with the way to get them."""

    def signature(self) -> str:
        """How the number is made: name, network, weights digest, resolution, mask rule, version."""

    def score(self, batch: Scored) -> NDArray[np.float64]:
        """Return (N,) values; NaN where the metric does not apply to a sample."""


@runtime_checkable
class SetMetric(Protocol):
    """A score of all edits of a method and setting together, against another set of pictures.

    One that also has ``interval(edited, sources) -> (low, high)``, as :meth:`distance`, is shown
    with these ends of its 95 % interval; NaN where there is none.
    """

    info: ClassVar[MetricInfo]
    enough: ClassVar[int]
    """Number of edits below which a value is doubtful."""

    def load(self, device: str = "cpu") -> None:
        """Bring weights to the device; raises MissingWeights with the way to get them."""

    def signature(self) -> str:
        """How the number is made, the other set included."""

    def features(self, images: Tensor) -> NDArray[np.float64]:
        """Return (N, D) features of (N, 3, H, W) in [0, 1]."""

    def distance(self, edited: NDArray[np.float64], sources: NDArray[np.float64]) -> float:
        """Return the distance of N edits (N, D) to the other set, or to M sources (M, D)."""
