"""The one way from a request to a run folder, and from one picture to its edit."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from icd_bench import registry
from icd_bench.api import BenchmarkInfo, BlendWords, Sample
from icd_bench.errors import EditFailed
from icd_bench.pictures import read_picture
from icd_bench.protocols import find_protocol
from icd_bench.run.caches.cache import InversionCache, inversions_home
from icd_bench.run.caches.inversions import NoInversions
from icd_bench.run.caches.measurements import Measurements, average
from icd_bench.run.engines.engine import Engine, Failure, FinishedCell, Job
from icd_bench.run.manifest import begin_command, end_command, new_manifest
from icd_bench.run.overlap import Behind
from icd_bench.run.planning.devices import (
    choose_arithmetic,
    choose_batch_size,
    choose_device,
    choose_dtype,
    measure_batch_size,
)
from icd_bench.run.planning.plan import Plan, all_needs
from icd_bench.run.planning.request import RunRequest
from icd_bench.run.planning.resolve import load_methods, make_plan, plan_methods
from icd_bench.run.planning.rows import Row
from icd_bench.run.planning.sources import InstalledModels, ModelSource
from icd_bench.run.progress import Progress, RememberingProgress, make_progress
from icd_bench.run.reading.pictures import RunPictures
from icd_bench.run.reading.prepare import prepare
from icd_bench.run.recorder import Recorder
from icd_bench.run.scoring.score import default_metrics, load_metrics, score_cells
from icd_bench.run.storage.provenance import peak_memory
from icd_bench.run.storage.store import RunFolder, RunWriter
from icd_bench.run.workload import Workload

if TYPE_CHECKING:
    from PIL.Image import Image


NO_BLEND_WORDS = BlendWords()
INLINE = "inline"
"""The engine of this process, whose costs say what a run takes on this machine."""


@dataclass(frozen=True)
class RunSummary:
    """How a run ended."""

    path: Path
    done: int
    """Cells finished by this command."""
    failed: int
    """Cells of the plan that have no picture."""
    skipped: int
    """Cells that were there already."""
    problems: tuple[str, ...] = ()
    """What was said on the way, one line each."""


@dataclass(frozen=True)
class EditedPicture:
    """One edit, made at once."""

    image: Image
    warnings: tuple[str, ...]
    nfe_invert: int
    nfe_edit: int
    """U-Net rows of the edit, source branch included."""
    seconds: float


def execute(
    request: RunRequest, progress: Progress | None = None, models: ModelSource | None = None
) -> RunSummary:
    """Run what is asked for: edit what is missing, score what has no score, write the results.

    The same request on the same folder continues where it stopped; failed cells are tried again.

    Args:
        request: see there.
        progress: default: a bar on a terminal, plain lines elsewhere.
        models: where models come from; default: ``icd_bench.models``.

    Raises:
        IcdBenchError: anything that the user can mend; what is in the folder stays valid.
    """
    models = models or InstalledModels()
    progress = RememberingProgress(progress or make_progress())
    plan = make_plan(request, models)
    engine: Engine = registry.engines.load(request.engine)()
    device = choose_device(request.device)
    dtype = choose_arithmetic(request, device)
    if request.cluster is None:  # else the devices are elsewhere
        measure_batch_size(request, plan, device, partial(models.load, plan.model, device, dtype))
    batch_size = choose_batch_size(request, plan, device)
    folder = RunFolder(request.out or request.root / plan.name())
    try:
        with folder.writer() as writer:
            known = folder.manifest_path.is_file()
            manifest = folder.manifest() if known else new_manifest(folder.path.name)
            begin_command(manifest, plan, request, device, dtype, batch_size)
            writer.write_manifest(manifest)
            _forget_outdated(writer, plan)
            finished = writer.finished(cell.id for cell in plan.cells)
            progress.stage("edit", total=len(plan.cells), done=len(finished))
            work = Workload(plan, finished, device, dtype)
            recorder = Recorder(writer, plan, work, progress, device, dtype)
            _record_unusable(plan, recorder)
            pictures = RunPictures(
                writer,
                plan.model.resolution,
                find_protocol(plan.protocol),
                [row.sample for row in plan.rows],
            )
            job = Job(
                plan=plan,
                done=finished,
                load_backbone=partial(models.load, plan.model, device, dtype),
                read_pictures=pictures.of,
                inversions=InversionCache(inversions_home(), request.cache_size),
                batch_size=batch_size,
                timeout=request.timeout,
                device=device,
                dtype=dtype,
                workers=request.workers,
                cluster=request.cluster,
            )
            with (
                closing(pictures),
                Behind(recorder.take) as recording,
                closing(engine.run(job)) as batches,
            ):
                for batch in batches:
                    recording.put(batch)
            for problem in job.inversions.problems:
                progress.say(problem)
            # Workers of a cluster may have accelerators where this process has none.
            here = device if request.cluster is None else choose_device("auto")
            if request.engine == INLINE:
                Measurements().add(average(recorder.costs, peak_memory(here)))
            _score(writer, plan, here, progress)
            outcome = {"done": recorder.done, "failed": recorder.failed, "skipped": len(finished)}
            end_command(manifest, writer.records.metrics, outcome, here)
            writer.compact()
            writer.write_manifest(manifest)
    finally:
        progress.close()
    return RunSummary(folder.path, **outcome, problems=tuple(progress.lines))


def edit_one(
    image: Path,
    source: str,
    target: str,
    method: str,
    model: str,
    sets: Sequence[str] = (),
    seed: int = 0,
    device: str = "auto",
    dtype: str = "auto",
    blend_words: BlendWords = NO_BLEND_WORDS,
    models: ModelSource | None = None,
    preset: str = "",
) -> EditedPicture:
    """Edit one picture, without a run folder; the result has the model's resolution.

    Args:
        image: file of any common format; its centre square is used.
        source: describes the picture as it is.
        target: describes the picture as it shall be.
        method: name, or ``./file.py:Class``.
        model: name or folder.
        sets: ``field=value``.
        seed: of the noise.
        device: ``auto``, or a torch device.
        dtype: ``auto``, or a torch number type.
        blend_words: limit the edit in space where the method can.
        models: where models come from; default: ``icd_bench.models``.
        preset: settings of a publication that ``sets`` go on top of.

    Raises:
        BadSample: the picture cannot be used.
        EditFailed: the method failed on it.
        UsageError: a name or a setting is wrong.
    """
    models = models or InstalledModels()
    pixels = read_picture(image)
    spec = models.find(model)
    methods = load_methods([method])
    planned = plan_methods(methods, spec, sets, (), preset)
    models.require(spec, all_needs(planned))
    digest = sha256(repr((pixels.shape, source, target, blend_words)).encode() + pixels.tobytes())
    sample = Sample(
        id=image.name,
        source_prompt=source,
        target_prompt=target,
        digest=digest.hexdigest(),
        read_image=lambda: pixels,
        blend_words=blend_words,
    )
    plan = Plan(planned, _ONE_PICTURE, "", spec, (Row(0, sample),), (), seed, metrics=())
    place = choose_device(device)
    job = Job(
        plan=plan,
        done=frozenset(),
        load_backbone=partial(models.load, spec, place, choose_dtype(dtype, place)),
        read_pictures=lambda samples: [prepare(one, spec.resolution) for one in samples],
        inversions=NoInversions(),
        batch_size=1,
    )
    engine: Engine = registry.engines.load(INLINE)()
    ((finished,),) = engine.run(job)
    return _edited_picture(finished.encoded())


_ONE_PICTURE = BenchmarkInfo(
    name="picture", title="One picture", licence="", source="", size="", how_to_get=""
)


def _edited_picture(finished: FinishedCell) -> EditedPicture:
    from PIL import Image

    if finished.png is None:
        failure = finished.failure
        raise EditFailed(
            f"{finished.cell.group.method.info.name}: {finished.cell.row.sample_id}: "
            f"{failure.message if failure else 'no picture'}"
        )
    return EditedPicture(
        image=Image.open(BytesIO(finished.png)),
        warnings=finished.warnings,
        nfe_invert=finished.nfe_invert or 0,
        nfe_edit=(finished.nfe_source or 0) + (finished.nfe_edit or 0),
        seconds=(finished.seconds_invert or 0.0) + (finished.seconds_edit or 0.0),
    )


def _forget_outdated(writer: RunWriter, plan: Plan) -> None:
    digests = {row.index: row.digest for row in plan.all_rows}
    writer.drop_outdated(digests, plan.benchmark.name, plan.split)


def _record_unusable(plan: Plan, recorder: Recorder) -> None:
    for group in plan.groups:
        failed = [
            FinishedCell(plan.cell(group, setting, row), failure=Failure.of("benchmark", row.error))
            for setting in group.settings
            for row in plan.unusable
        ]
        if failed:
            recorder.take(failed)


def _score(writer: RunWriter, plan: Plan, device: str, progress: Progress) -> None:
    ids = [cell.id for cell in plan.cells]
    digests = {cell.sample_digest for cell in writer.cells(ids) if cell.status == "ok"}
    if not digests:
        return
    samples = [
        record for (digest, _), record in writer.records.samples.items() if digest in digests
    ]
    names = plan.metrics
    if names is None:
        names = default_metrics(samples, plan.benchmark.metrics, progress.say)
    metrics = load_metrics(names, device, progress.say)
    score_cells(writer, ids, metrics, progress, find_protocol(plan.protocol))
