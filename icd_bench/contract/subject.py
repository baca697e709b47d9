"""A method with a model, some samples and some settings: what the checks work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING

from icd_bench import registry
from icd_bench.api import Batch, Edits, Inversion, Method, Sample, Setting
from icd_bench.errors import BadSetting
from icd_bench.run.planning.plan import needs_of
from icd_bench.run.planning.resolve import load_methods
from icd_bench.run.planning.seeds import sample_seed
from icd_bench.run.planning.settings import check_assignments, parse_set, resolve_settings
from icd_bench.run.planning.sources import InstalledModels, Model, ModelSource
from icd_bench.run.reading.prepare import prepare, to_tensor

if TYPE_CHECKING:
    from icd_bench.diffusion.backbone import Backbone

SETTINGS = 3
"""Settings that are edited at once: the default one and neighbours from the default sweep."""


@dataclass(frozen=True)
class Subject:
    """Everything one call of a method needs.

    Args:
        reference: as given: a name or ``./file.py:Class``.
        method: under test.
        model: its name decides the defaults.
        backbone: the loaded model.
        samples: at least two.
        settings: share their inversion fields; the first is the default.
    """

    reference: str
    method: Method
    model: Model
    backbone: Backbone
    samples: tuple[Sample, ...]
    settings: tuple[Setting, ...]

    @classmethod
    def load(
        cls,
        reference: str,
        model: str = "scenes",
        sets: Sequence[str] = (),
        samples: int = 3,
        models: ModelSource | None = None,
    ) -> Subject:
        """Load a method, a model and the first samples of the embedded benchmark.

        The checks compare in float32 on the CPU, where batches of any size agree best.

        Args:
            reference: a method's name or ``./file.py:Class``.
            model: name or folder.
            sets: ``field=value`` texts.
            samples: number of samples.
            models: where models come from; default: those installed.

        Raises:
            UsageError: a name, field or value is unknown.
            MissingWeights: the model lacks a part that the method needs.
        """
        models = models or InstalledModels()
        (method,) = load_methods([reference])
        found = models.find(model)
        settings = neighbours(method, found, sets)
        models.require(found, needs_of(method.info, settings[0]))
        scenes = registry.benchmarks.load("scenes")()
        return cls(
            reference=reference,
            method=method,
            model=found,
            backbone=models.load(found, "cpu", "float32"),
            samples=tuple(islice((s for s in scenes.samples() if isinstance(s, Sample)), samples)),
            settings=settings,
        )

    @cached_property
    def batch(self) -> Batch:
        """All samples at the model's resolution."""
        pictures = [prepare(s, self.backbone.resolution).source for s in self.samples]
        return Batch(
            ids=tuple(s.id for s in self.samples),
            images=to_tensor(pictures, str(self.backbone.device)),
            source_prompts=tuple(s.source_prompt for s in self.samples),
            target_prompts=tuple(s.target_prompt for s in self.samples),
            blend_words=tuple(s.blend_words for s in self.samples),
            seeds=tuple(sample_seed(0, s.id) for s in self.samples),
            instructions=tuple(str(s.metadata.get("instruction", "")) for s in self.samples),
        )

    @cached_property
    def together(self) -> Edits:
        """All samples edited with all settings in one call, the reference of most checks."""
        return self.edit(self.batch, self.settings)

    def invert(self, batch: Batch) -> Inversion:
        """Invert with the first setting."""
        return self.method.invert(self.backbone, batch, self.settings[0])

    def edit(self, batch: Batch, settings: Sequence[Setting]) -> Edits:
        """Invert and edit."""
        return self.method.edit(self.backbone, batch, self.invert(batch), tuple(settings))


def neighbours(method: Method, model: Model, sets: Sequence[str] = ()) -> tuple[Setting, ...]:
    """Return the method's setting for a model and up to two others that share its inversion.

    The others come from the declared sweep; without one, there is only the first.

    Raises:
        BadSetting: a field is unknown, a value does not fit, or the sweep is not valid.
    """
    chosen = [parse_set(text) for text in sets]
    check_assignments(chosen, {method.info.name: method.Setting})
    resolve = partial(
        resolve_settings, method.info, method.Setting, model.name, chosen, family=model.family
    )
    first = resolve()[0]
    try:
        swept = resolve(default_sweep=bool(method.info.sweep))
    except BadSetting as error:
        raise BadSetting(f"the declared sweep of {method.info.name}: {error}") from error
    others = [
        setting
        for setting in swept
        if setting != first and setting.inversion_fields() == first.inversion_fields()
    ]
    return first, *others[: SETTINGS - 1]


def rows_of(batch: Batch, rows: Sequence[int]) -> Batch:
    """Return some rows of a batch, in the order given."""
    chosen = list(rows)
    return replace(
        batch,
        ids=tuple(batch.ids[i] for i in chosen),
        images=batch.images[chosen],
        source_prompts=tuple(batch.source_prompts[i] for i in chosen),
        target_prompts=tuple(batch.target_prompts[i] for i in chosen),
        blend_words=tuple(batch.blend_words[i] for i in chosen),
        seeds=tuple(batch.seeds[i] for i in chosen),
        instructions=tuple(batch.instructions[i] for i in chosen) if batch.instructions else (),
    )
