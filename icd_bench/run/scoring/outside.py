"""Edits that another program made, as a run like any other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from icd_bench import registry
from icd_bench.api import Batch, Benchmark, Edits, Sample
from icd_bench.errors import BadSample, UsageError
from icd_bench.file_names import file_name_with_digest
from icd_bench.pictures import read_picture
from icd_bench.protocols import Protocol, find_protocol
from icd_bench.run.cells import CellIdentity, content_id
from icd_bench.run.engines.engine import Failure
from icd_bench.run.manifest import end_command, new_manifest, set_protocol
from icd_bench.run.planning.devices import choose_device
from icd_bench.run.planning.rows import Row, UnusableRow, open_benchmark, read_rows
from icd_bench.run.planning.seeds import sample_seed
from icd_bench.run.progress import Progress, RememberingProgress, make_progress
from icd_bench.run.reading.pictures import RunPictures
from icd_bench.run.reading.prepare import Prepared, fit_picture, to_levels, to_png, to_tensor
from icd_bench.run.runner import RunSummary
from icd_bench.run.scoring.conditions import Conditions
from icd_bench.run.scoring.outside_files import NAMED_AT_MOST, EditFiles, find_edits
from icd_bench.run.scoring.score import default_metrics, load_metrics, score_cells
from icd_bench.run.storage.provenance import command_line, now, provenance
from icd_bench.run.storage.store import RunFolder, RunWriter

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION = "outside"
MODEL = "outside"
"""Stands in for the model where the user names none."""
ANCHORS = ("identity", "jpeg")
"""Reference lines that need no model."""
NO_CONDITIONS = Conditions()
AT_ONCE = 32


@dataclass(frozen=True)
class OutsideRequest:
    """What the user asks for; the fields are the options of ``icd-bench score FOLDER``."""

    place: Path
    """Folder of the edits, or a JSONL file."""
    benchmark: str
    """As in ``RunRequest``."""
    name: str
    """What the method is called in tables; not the name of a reference line."""
    model: str = MODEL
    """Weights that made the edits, by the name they have here. The user's claim: nothing checks
    it, and published numbers of these weights are compared with the scores."""
    layout: str = "flat"
    size_policy: str = "refuse"
    """An edit of another size: "refuse" (a failure), "resize" (fitted by the protocol) or "corner"
    (its bottom right square, as PIE-Bench's scripts do with strips of pictures)."""
    resolution: int | None = None
    """None: the benchmark's, else the size that all edits have."""
    protocol: str = "native"
    conditions: Conditions = NO_CONDITIONS
    nfe: int | None = None
    """Network evaluations of an edit, where they are known."""
    metrics: tuple[str, ...] | None = None
    limit: int | None = None
    out: Path | None = None
    root: Path = Path("runs")
    device: str = "auto"
    command: str = ""


@dataclass
class Findings:
    """What is odd about the edits: told before any number."""

    total: int
    missing: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    """Missing although a line names a file."""
    extra: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    other_size: list[str] = field(default_factory=list)
    identical: list[str] = field(default_factory=list)

    def lines(self, size_policy: str) -> Iterator[str]:
        """Yield one line for each kind of oddity that was found."""
        done = {"refuse": "not scored", "resize": "resized", "corner": "cut to the corner"}
        told = {
            "missing, not scored": self.missing,
            "missing, the named file does not exist": self.absent,
            "of no sample of the benchmark, passed over": self.extra,
            "unreadable, not scored": self.unreadable,
            f"of another size, {done[size_policy]}": self.other_size,
            "identical to the source": self.identical,
        }
        found = self.total - len(self.missing) - len(self.absent)
        yield f"{found} of {self.total} edits found"
        for what, names in told.items():
            if names:
                shown = ", ".join(names[:NAMED_AT_MOST])
                more = ", .." if len(names) > NAMED_AT_MOST else ""
                yield f"{len(names)} {what}: {shown}{more}"


def score_outside(request: OutsideRequest, progress: Progress | None = None) -> RunSummary:
    """Make edits from elsewhere a run, say what is odd about them, and score them.

    Raises:
        IcdBenchError: anything that the user can mend.
    """
    progress = RememberingProgress(progress or make_progress())
    protocol = find_protocol(request.protocol)
    _check_name(request.name)
    benchmark, split = open_benchmark(request.benchmark)
    rows, unusable = read_rows(benchmark, request.limit)
    files = find_edits(request.layout, request.place, [row.sample for row in rows])
    if not files.of_samples:
        raise _nothing_found(request, files)
    device = choose_device(request.device)
    resolution = request.resolution or benchmark.info.resolution or _common_side(files)
    folder = RunFolder(request.out or request.root / _folder_name(request, benchmark, rows))
    try:
        with folder.writer() as writer:
            known = folder.manifest_path.is_file()
            manifest = folder.manifest() if known else new_manifest(folder.path.name)
            _begin(manifest, request, benchmark, split, len(rows) + len(unusable))
            writer.write_manifest(manifest)
            samples = [row.sample for row in rows]
            taker = _Taker(request, protocol, benchmark, split, resolution, writer, samples)
            progress.stage("read", total=len(rows))
            taker.take_unusable(unusable)
            with closing(taker.pictures):
                for start in range(0, len(rows), AT_ONCE):
                    batch = rows[start : start + AT_ONCE]
                    taker.take(batch, files)
                    progress.advance(len(batch))
            taker.findings.extra = list(files.extra)
            for line in taker.findings.lines(request.size_policy):
                progress.say(line)
            _score(writer, taker.cell_ids, request, protocol, benchmark, device, progress)
            outcome = {"done": taker.done, "failed": taker.failed, "skipped": 0}
            end_command(manifest, writer.records.metrics, outcome, device)
            writer.compact()
            writer.write_manifest(manifest)
    finally:
        progress.close()
    return RunSummary(folder.path, **outcome, problems=tuple(progress.lines))


def _check_name(name: str) -> None:
    """Refuse the names of reference lines, whose scores stand beside those of the edits."""
    if name in registry.methods.names() and registry.methods.load(name).info.anchor:
        raise UsageError(
            f"--as {name}: this is a reference line, which every run has beside its methods; "
            "choose another name for the edits"
        )


def _nothing_found(request: OutsideRequest, files: EditFiles) -> UsageError:
    counts = f"pictures found: {len(files.extra)}"
    if files.absent:
        first = next(iter(files.absent.values()))
        counts = f"named files that do not exist: {len(files.absent)}, as {first}"
    return UsageError(
        f"{request.place}: no edit of {request.benchmark} is there in the layout "
        f"{request.layout}; {counts}"
    )


class _Taker:
    """Takes edits into the run folder, and keeps what is odd about them."""

    def __init__(
        self,
        request: OutsideRequest,
        protocol: Protocol,
        benchmark: Benchmark,
        split: str,
        resolution: int,
        writer: RunWriter,
        samples: Sequence[Sample],
    ) -> None:
        self.request, self.protocol = request, protocol
        self.resolution, self.writer = resolution, writer
        self.findings = Findings(total=0)
        self.cell_ids: list[str] = []
        self.done = self.failed = 0
        self.pictures = RunPictures(writer, resolution, protocol, samples)
        self._common = {
            "model": request.model,
            "model_digest": "",
            "benchmark": benchmark.info.name,
            "split": split,
            "seed": 0,
            "protocol": protocol.name,
            "resolution": resolution,
            "device": "",
            "dtype": "",
        }

    def take(self, rows: Sequence[Row], files: EditFiles) -> None:
        """Store the edits of some rows and the reference lines beside them."""
        sources = self.pictures.of([row.sample for row in rows])
        edits: list[tuple[Row, bytes | Failure]] = []
        anchors: dict[str, list[tuple[Row, bytes | Failure]]] = {name: [] for name in ANCHORS}
        for row, source in zip(rows, sources, strict=True):
            if isinstance(source, BadSample):
                edits.append((row, Failure.of("sample", source)))
                continue
            edits.append((row, self._edit(row.sample, source, files)))
            for name in ANCHORS:
                anchors[name].append((row, to_png(_reference_line(name, row.sample, source))))
        self._store(self.request.name, VERSION, self._setting(), edits)
        for name, taken in anchors.items():
            method = registry.methods.load(name)
            self._store(name, method.info.version, method.Setting().model_dump(mode="json"), taken)

    def take_unusable(self, rows: Sequence[UnusableRow]) -> None:
        """Store why rows of the benchmark cannot be used."""
        failures = [(row, Failure.of("benchmark", row.error)) for row in rows]
        self._store(self.request.name, VERSION, self._setting(), failures)

    def _setting(self) -> dict[str, Any]:
        return {"size_policy": self.request.size_policy}

    def _edit(self, sample: Sample, source: Prepared, files: EditFiles) -> bytes | Failure:
        """Return the PNG of a sample's edit at the run's resolution, or why there is none."""
        self.findings.total += 1
        path = files.of_samples.get(sample.id)
        if path is None:
            return self._missing(sample, files)
        try:
            edited = read_picture(path)
        except BadSample as error:
            self.findings.unreadable.append(sample.id)
            return Failure.of("image", error)
        if edited.shape[:2] != (self.resolution, self.resolution):
            size = f"{edited.shape[1]}x{edited.shape[0]}"
            corner = self.request.size_policy == "corner"
            too_small = corner and min(edited.shape[:2]) < self.resolution
            told = f"{size}, too small, not scored" if too_small else size
            self.findings.other_size.append(f"{sample.id} ({told})")
            if self.request.size_policy == "refuse" or too_small:
                message = f"is {size}, not {self.resolution}x{self.resolution}; see --size-policy"
                return Failure("image", "OtherSize", message)
            edited = self._fit(edited)
        if (edited == source.source).all():
            self.findings.identical.append(sample.id)
        return to_png(edited)

    def _missing(self, sample: Sample, files: EditFiles) -> Failure:
        named = files.absent.get(sample.id)
        if named is None:
            self.findings.missing.append(sample.id)
            return Failure("image", "MissingEdit", f"there is no edit of {sample.id}")
        self.findings.absent.append(f"{sample.id} ({named})")
        return Failure("image", "MissingEdit", f"{named} does not exist")

    def _fit(self, edited: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.request.size_policy == "corner":
            return edited[-self.resolution :, -self.resolution :]
        return fit_picture(edited, self.resolution, self.protocol)

    def _store(
        self,
        method: str,
        version: str,
        setting: Mapping[str, Any],
        taken: Sequence[tuple[Row | UnusableRow, bytes | Failure]],
    ) -> None:
        if not taken:
            return
        entries, pictures = [], {}
        for row, edit in taken:
            entry = self._entry(method, version, setting, row)
            if isinstance(edit, Failure):
                self.failed += 1
                entry |= {
                    "status": "failed",
                    "failed_stage": edit.stage,
                    "error_type": edit.type,
                    "error": edit.message,
                }
            else:
                self.done += 1
                cell_id = entry["cell_id"]
                pictures[cell_id] = edit
                entry["image"] = self.writer.folder.image_path(cell_id).as_posix()
                entry["image_sha256"] = sha256(edit).hexdigest()
            entries.append(entry)
        common = {**self._common, "method": method, "method_version": version, "setting": setting}
        self.cell_ids += [entry["cell_id"] for entry in entries]
        self.writer.add_cells(common, entries, pictures)

    def _entry(
        self, method: str, version: str, setting: Mapping[str, Any], row: Row | UnusableRow
    ) -> dict[str, Any]:
        seed = sample_seed(0, row.sample_id)
        nfe = 0 if method in ANCHORS else self.request.nfe
        identity = CellIdentity(
            method,
            version,
            self.request.model,
            setting,
            row.digest,
            seed,
            self.protocol.name,
        )
        return {
            "cell_id": identity.cell_id(),
            "inversion_id": "",
            "sample_id": row.sample_id,
            "sample_index": row.index,
            "sample_digest": row.digest,
            "sample_seed": seed,
            "status": "ok",
            "nfe_invert": None if nfe is None else 0,
            "nfe_source": None if nfe is None else 0,
            "nfe_edit": nfe,
        }


def _reference_line(name: str, sample: Sample, pictures: Prepared) -> NDArray[np.uint8]:
    """Return what an anchor that needs no model makes of a sample (R, R, 3)."""
    method = registry.methods.load(name)()
    batch = Batch(
        ids=(sample.id,),
        images=to_tensor([pictures.source]),
        source_prompts=(sample.source_prompt,),
        target_prompts=(sample.target_prompt,),
        blend_words=(sample.blend_words,),
        seeds=(0,),
    )
    setting = method.Setting()
    edits: Edits = method.edit(None, batch, method.invert(None, batch, setting), [setting])
    (levels,) = to_levels(edits.images[:, 0])
    return np.asarray(levels)


def _common_side(files: EditFiles) -> int:
    """Return the side that all readable edits have, for benchmarks without a resolution."""
    sizes: Counter[tuple[int, ...]] = Counter()
    for path in files.of_samples.values():
        try:
            sizes[read_picture(path).shape[:2]] += 1
        except BadSample:
            continue
    if len(sizes) == 1:
        ((height, width),) = sizes
        if height == width:
            return height
    shown = ", ".join(f"{width}x{height}" for height, width in list(sizes)[:NAMED_AT_MOST])
    raise UsageError(f"the edits are not squares of one size ({shown}); choose with --resolution")


def _folder_name(request: OutsideRequest, benchmark: Benchmark, rows: Sequence[Row]) -> str:
    asked = replace(request, out=None, command="", device="", metrics=None)
    digest = content_id([repr(asked), [row.digest for row in rows]])
    words = f"{request.name}-{benchmark.info.name}-{request.model}-n{len(rows)}"
    return file_name_with_digest(words, digest)


def _begin(
    manifest: dict[str, Any],
    request: OutsideRequest,
    benchmark: Benchmark,
    split: str,
    row_count: int,
) -> None:
    set_protocol(manifest, request.protocol)
    for name in ANCHORS:
        method = registry.methods.load(name)
        manifest["methods"][name] = {
            "version": method.info.version,
            "title": method.info.title,
            "paper": method.info.paper,
            "anchor": True,
            "default_setting": method.Setting().model_dump(mode="json"),
        }
    manifest["methods"][request.name] = {
        "version": VERSION,
        "title": "Edits made elsewhere",
        "paper": "",
        "anchor": False,
        "default_setting": {"size_policy": request.size_policy},
        "conditions": request.conditions.model_dump(),
    }
    info = benchmark.info
    manifest["benchmarks"][info.name + (f":{split}" if split else "")] = {
        "title": info.title,
        "licence": info.licence,
        "source": info.source,
    }
    manifest["updated"] = now()
    manifest["commands"].append(
        {
            "command": request.command or command_line(),
            "started": now(),
            "ended": None,
            "methods": {request.name: [{"size_policy": request.size_policy}]},
            "edits": str(request.place),
            "layout": request.layout,
            "benchmark": request.benchmark,
            "rows": row_count,
            "model": request.model,
            "seed": 0,
            "protocol": request.protocol,
            **provenance(),
        }
    )


def _score(
    writer: RunWriter,
    cell_ids: Sequence[str],
    request: OutsideRequest,
    protocol: Protocol,
    benchmark: Benchmark,
    device: str,
    progress: Progress,
) -> None:
    names: Sequence[str] | None = request.metrics
    if names is None:
        named = protocol.metrics or benchmark.info.metrics
        names = default_metrics(writer.records.samples.values(), named, progress.say)
    metrics = load_metrics(names, device, progress.say)
    score_cells(writer, cell_ids, metrics, progress, protocol)
