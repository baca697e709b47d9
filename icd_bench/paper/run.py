"""One experiment from its name to its result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from icd_bench import registry
from icd_bench.models import ModelSpec, find_model
from icd_bench.run.planning.devices import (
    PIXELS_ON_ACCELERATOR,
    PIXELS_ON_CPU,
    choose_device,
    choose_dtype,
)
from icd_bench.run.planning.sources import InstalledModels
from icd_bench.run.progress import RememberingProgress, make_progress
from icd_bench.run.storage.provenance import command_line, provenance

from .experiments import EXPERIMENTS, GENERATED, Kind, needed_parts
from .material import Material, material_for
from .measure import Bench, Measured
from .results import LATENT_NLL, Measure, Result, summarise

CELLS: Final = "cells"
MOST_AT_ONCE: Final = 32


def require_weights(names: Sequence[str], spec: ModelSpec) -> None:
    """Check that all weights of experiments are on this machine, before any of them begins.

    Raises:
        MissingWeights: some are not; the message has each one, its size and the way to get it.
    """
    parts = [part.name for part in spec.parts]
    InstalledModels().require(spec, needed_parts(names, parts))


def run_experiment(
    name: str,
    model: str,
    folder: Path,
    limit: int | None = None,
    only: Sequence[str] = (),
    data: Path | None = None,
    seed: int = 0,
    device: str = "auto",
    dtype: str = "auto",
    batch_size: int | None = None,
    quiet: bool = False,
) -> Result:
    """Measure what is missing of an experiment, and write its result as JSON.

    Args:
        name: of ``EXPERIMENTS``.
        model: name, folder or hub id.
        folder: of the result; scores of single pictures are kept below it.
        limit: only the first N pictures.
        only: labels of the rows to compute now; empty: all.
        data: folder of COCO's files, for models of photos.
        seed: of all noise.
        device: ``auto``, or a torch device.
        dtype: ``auto``, or a torch number type.
        batch_size: pictures at once; None chooses.
        quiet: shows no progress.

    Raises:
        MissingWeights: the model, or a measure, lacks files; the message says how to get them.
    """
    spec = find_model(model)
    require_weights([name], spec)
    kind: Kind = "generation" if name in GENERATED else "inversion"
    material = material_for(spec, kind, str(data) if data else None)
    experiment = EXPERIMENTS[name](material.steps, [part.name for part in spec.parts])
    device = choose_device(device)
    progress = RememberingProgress(make_progress(quiet))
    material = material.usable(device, progress.say)
    pixels = PIXELS_ON_CPU if device == "cpu" else PIXELS_ON_ACCELERATOR
    at_once = max(1, min(MOST_AT_ONCE, pixels // spec.resolution**2))
    bench = Bench(
        spec, material, folder / CELLS, seed, device, choose_dtype(dtype, device),
        batch_size or at_once,
    )  # fmt: skip
    samples, measured = bench.measure(experiment, limit, progress, only)
    measures = _measures(material, measured)
    featured = any("features" in one.columns for one in measured)
    reference = bench.reference() if featured else None
    distance = "" if material.reference is None else material.reference.name
    rows, claims = summarise(experiment, measured, measures, reference, distance)
    if material.reference is not None and any(distance in row.values for row in rows):
        title, signature = material.reference.title, material.reference.signature
        measures.append(Measure(distance, title, "lower", "", signature))
    result = Result(
        experiment=name,
        title=experiment.title,
        published=experiment.published,
        model=spec.name,
        samples=material.title,
        n=len(samples),
        seed=seed,
        command=command_line(),
        made=provenance(),
        measures=tuple(measures),
        rows=rows,
        claims=claims,
        notes=tuple(progress.lines),
    )
    result.write(folder)
    return result


def _measures(material: Material, measured: Sequence[Measured]) -> list[Measure]:
    """Return the columns that some row has, in the order of the material."""
    there = {name for one in measured for name in one.columns}
    found = [LATENT_NLL] if LATENT_NLL.name in there else []
    for name in material.metrics:
        if name in there:
            metric = registry.metrics.load(name)()
            info = metric.info
            found.append(
                Measure(info.name, info.title, info.direction, info.unit, metric.signature())
            )
    return found
