"""From a request to the cells that answer it. No torch: planning is instant."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from icd_bench import registry
from icd_bench.api import Benchmark, BenchmarkInfo, Method, MethodInfo, Sample, Setting
from icd_bench.errors import BadSample, UnknownName, UsageError
from icd_bench.protocols import NATIVE, find_protocol
from icd_bench.run.caches.cache import DEFAULT_SIZE
from icd_bench.run.cells import CellIdentity, canonical_json, content_id, inversion_id
from icd_bench.run.planning.seeds import sample_seed
from icd_bench.run.planning.settings import (
    DEFAULT_SWEEP,
    check_assignments,
    parse_set,
    parse_sweep,
    resolve_settings,
)
from icd_bench.run.planning.sources import InstalledModels, Model, ModelSource
from icd_bench.run.planning.subsets import choose_subset
from icd_bench.run.storage.results import check_metric_name


@dataclass(frozen=True)
class RunRequest:
    """What the user asks for; the fields are the options of ``icd-bench run``."""

    methods: tuple[str, ...]
    """Names, or ``./file.py:Class``."""
    benchmark: str
    """``name``, ``name:split``, ``./file.py:Class`` or a folder with prompts."""
    model: str | None = None
    """Name or folder; None: the benchmark's default."""
    limit: int | None = None
    """Only the first rows of the benchmark."""
    subset: str = ""
    """Only the rows of a fixed small part (``icd_bench.run.planning.subsets``); empty: all."""
    seed: int = 0
    sets: tuple[str, ...] = ()
    """``field=value`` or ``method.field=value``."""
    sweeps: tuple[str, ...] = ()
    """``field=v1,v2`` or ``method.field=v1,v2`` (a grid), ``default`` or ``method.default``."""
    preset: str = ""
    """Settings of a publication, "paper" or "pie-bench", that ``sets`` go on top of; or of single
    methods: ``icd.paper,npi.pie-bench``."""
    zipped: tuple[str, ...] = ()
    """Methods whose swept fields vary together instead of in a grid; ``*`` means all."""
    metrics: tuple[str, ...] | None = None
    """Names; None: the protocol's or the benchmark's own, else all that apply."""
    protocol: str = NATIVE.name
    """How pictures are prepared and scored."""
    out: Path | None = None
    """Run folder; None: a name made from the plan, below ``root``."""
    root: Path = Path("runs")
    device: str = "auto"
    """``auto`` takes the accelerator where there is one."""
    dtype: str = "auto"
    """``auto``: float16 on an accelerator, float32 elsewhere."""
    compiled: bool = False
    """Compile the U-Nets: minutes before the first edit, other last bits."""
    timeout: float | None = None
    """Longest time in seconds for one inversion, and for one edit; None: as long as it takes."""
    batch_size: int | None = None
    """Samples at once; None: chosen from the resolution and the device."""
    engine: str = "inline"
    workers: int | None = None
    """Processes that compute, where the engine has some; None: as many as the devices feed."""
    cluster: str | None = None
    """Address of a running cluster, where the engine can use one."""
    cache_size: int = DEFAULT_SIZE
    """Most bytes of inversions that are kept for later runs; 0: none are."""
    command: str = ""
    """The command line, for the record."""


@dataclass(frozen=True)
class PlannedMethod:
    """A method with the settings that it shall be run with."""

    method: Method
    settings: tuple[Setting, ...]
    default: Setting
    """Its setting for this model where nobody sets anything."""

    @property
    def info(self) -> MethodInfo:
        """The method's card."""
        return self.method.info


@dataclass(frozen=True)
class Group:
    """Settings of one method that share their inversions."""

    planned: PlannedMethod
    settings: tuple[Setting, ...]

    @property
    def method(self) -> Method:
        """The method."""
        return self.planned.method


@dataclass(frozen=True)
class Row:
    """One usable row of the benchmark."""

    index: int
    """Place in the benchmark, from 0."""
    sample: Sample

    @property
    def sample_id(self) -> str:
        """Id of the sample."""
        return self.sample.id

    @property
    def digest(self) -> str:
        """Digest of the sample."""
        return self.sample.digest


@dataclass(frozen=True)
class UnusableRow:
    """One row of the benchmark that cannot be used, and why."""

    index: int
    error: BadSample

    @property
    def sample_id(self) -> str:
        """Stands in for the sample's id: file and row."""
        return self.error.where

    @property
    def digest(self) -> str:
        """Stands in for the sample's digest: changes when the problem changes."""
        return sha256(f"unusable:{self.index}:{self.error}".encode()).hexdigest()


@dataclass(frozen=True)
class PlannedCell:
    """One cell that the plan asks for."""

    id: str
    group: Group
    setting: Setting
    row: Row | UnusableRow


@dataclass(frozen=True)
class Plan:
    """Everything that a run will do, resolved."""

    methods: tuple[PlannedMethod, ...]
    benchmark: BenchmarkInfo
    split: str
    """Text after the colon of the benchmark's reference; empty for its default."""
    model: Model
    rows: tuple[Row, ...]
    unusable: tuple[UnusableRow, ...]
    seed: int
    metrics: tuple[str, ...] | None
    protocol: str = NATIVE.name
    subset: str = ""
    """Name of the part of the benchmark that the rows are; empty: its first ones, or all."""

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Methods and settings, grouped by what they invert with."""
        groups: dict[str, Group] = {}
        for planned in self.methods:
            for setting in planned.settings:
                key = canonical_json([planned.info.name, setting.inversion_fields()])
                group = groups.setdefault(key, Group(planned, ()))
                groups[key] = replace(group, settings=(*group.settings, setting))
        return tuple(groups.values())

    @property
    def all_rows(self) -> tuple[Row | UnusableRow, ...]:
        """The rows that can be used, then the others."""
        return (*self.rows, *self.unusable)

    @property
    def coverage(self) -> int:
        """Number of the benchmark's rows that the plan covers, usable or not."""
        return len(self.all_rows)

    @property
    def data_digest(self) -> str:
        """Return the SHA-256 over the digests of all rows, in order."""
        return sha256("\n".join(row.digest for row in self.all_rows).encode()).hexdigest()

    def seed_of(self, sample_id: str) -> int:
        """Return the seed of a sample's noise."""
        return sample_seed(self.seed, sample_id)

    def model_digest(self, method: Method, setting: Setting) -> str:
        """Return the digest of the model's weights that a method uses with a setting."""
        return self._model_digests[needs_of(method.info, setting)]

    @cached_property
    def _model_digests(self) -> dict[frozenset[str], str]:
        needs = {needs_of(p.info, setting) for p in self.methods for setting in p.settings}
        return {one: self.model.digest(one) for one in needs}

    @property
    def model_commits(self) -> dict[str, str]:
        """Commit of each hub repository whose weights some cell needs."""
        return self.model.commits(all_needs(self.methods))

    def cell(self, group: Group, setting: Setting, row: Row | UnusableRow) -> PlannedCell:
        """Return the cell of a setting and a row."""
        identity = CellIdentity(
            method=group.method.info.name,
            version=group.method.info.version,
            model=self.model_digest(group.method, setting),
            setting=setting.model_dump(mode="json"),
            sample=row.digest,
            seed=self.seed_of(row.sample_id),
            protocol=self.protocol,
        )
        return PlannedCell(identity.cell_id(), group, setting, row)

    def inversion_id(self, group: Group, row: Row | UnusableRow) -> str:
        """Return the name of the inversion of a sample for a group."""
        info = group.method.info
        return inversion_id(
            method=info.inversion or info.name,
            version="" if info.inversion else info.version,
            model=self.model_digest(group.method, group.settings[0]),
            inversion_fields=group.settings[0].inversion_fields(),
            sample=row.digest,
            seed=self.seed_of(row.sample_id),
            protocol=self.protocol,
        )

    @cached_property
    def cells(self) -> tuple[PlannedCell, ...]:
        """All cells in the order method, setting, row."""
        return tuple(
            self.cell(group, setting, row)
            for group in self.groups
            for setting in group.settings
            for row in self.all_rows
        )

    def name(self) -> str:
        """Return a folder name: what is run in words, and a digest of all of it."""
        digest = content_id(
            {
                "methods": [
                    [
                        m.info.name,
                        m.info.version,
                        self.model_digest(m.method, s),
                        s.model_dump(mode="json"),
                    ]
                    for m in self.methods
                    for s in m.settings
                ],
                "benchmark": [self.benchmark.name, self.split],
                "rows": [row.sample.digest for row in self.rows],
                "seed": self.seed,
                "protocol": self.protocol,
            }
        )
        names = "+".join(planned.info.name for planned in self.methods)
        bench = self.benchmark.name + (f"-{self.split}" if self.split else "")
        size = self.subset or f"n{self.coverage}"
        return file_name(f"{names}-{bench}-{self.model.name}-{size}-{digest[:8]}")


def make_plan(request: RunRequest, models: ModelSource | None = None) -> Plan:
    """Resolve a request: every name, every setting, every sample.

    Raises:
        UsageError: the request names something unknown or impossible, or asks for nothing.
        MissingWeights: the model is not on this machine.
    """
    models = models or InstalledModels()
    if request.limit is not None and request.limit < 1:
        raise UsageError(f"--limit {request.limit}: it must be at least 1")
    if request.batch_size is not None and request.batch_size < 1:
        raise UsageError(f"--batch-size {request.batch_size}: it must be at least 1")
    if request.timeout is not None and not request.timeout > 0:
        raise UsageError(f"--timeout {request.timeout}: it must be above 0 seconds")
    if request.limit is not None and request.subset:
        raise UsageError("--limit and --subset: give one of them")
    for name in request.metrics or ():
        check_metric_name(registry.metrics.load(name).info.name)
    protocol = find_protocol(request.protocol)
    methods = load_methods(request.methods)
    benchmark, split = open_benchmark(request.benchmark)
    model = models.find(request.model or benchmark.info.default_model)
    planned = plan_methods(
        methods, model, request.sets, request.sweeps, request.preset, request.zipped
    )
    models.require(model, all_needs(planned))
    rows, unusable = read_rows(benchmark, request.limit)
    if request.subset:
        rows, unusable = choose_subset(rows, request.subset), ()
    if not rows and not unusable:
        raise UsageError(f'benchmark "{request.benchmark}" has no samples')
    return Plan(
        methods=planned,
        benchmark=benchmark.info,
        split=split,
        model=model,
        rows=rows,
        unusable=unusable,
        seed=request.seed,
        metrics=request.metrics if request.metrics is not None else protocol.metrics or None,
        protocol=protocol.name,
        subset=request.subset,
    )


def open_benchmark(reference: str) -> tuple[Benchmark, str]:
    """Return the benchmark named ``name``, ``name:split``, ``./file.py:Class`` or by its folder.

    After a name, ``=FOLDER`` says where its data lie: ``piebench:icd-420=/data/PIE-Bench``.

    Raises:
        UsageError: there is no such benchmark, split or folder.
    """
    if ".py:" in reference:
        return registry.benchmarks.load(reference)(), ""
    chosen, _, location = reference.partition("=")
    name, _, split = chosen.partition(":")
    if name not in registry.benchmarks.names() and _looks_like_folder(reference):
        return registry.benchmarks.load("folder")(location=reference), ""
    return registry.benchmarks.load(name)(location=location or None, split=split or None), split


def _looks_like_folder(reference: str) -> bool:
    return Path(reference).expanduser().is_dir() or "/" in reference


def load_methods(references: Sequence[str]) -> list[Method]:
    """Return the methods with these names, or at ``./file.py:Class``.

    Raises:
        UsageError: one is unknown or named twice, or there is none.
    """
    if not references:
        raise UsageError("no method is named; see: icd-bench list methods")
    methods = [registry.methods.load(reference)() for reference in references]
    names = [method.info.name for method in methods]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f'two of the methods are named "{name}"; give each one once')
    return methods


def plan_methods(
    methods: Sequence[Method],
    model: Model,
    sets: Sequence[str],
    sweeps: Sequence[str],
    preset: str = "",
    zipped: Collection[str] = (),
) -> tuple[PlannedMethod, ...]:
    """Resolve the settings of methods from ``--preset``, ``--set`` and ``--sweep`` texts.

    Raises:
        UsageError: a field or method is unknown, or a value does not fit.
    """
    chosen = [parse_set(text) for text in sets]
    own = {text.removesuffix(DEFAULT_SWEEP) for text in sweeps if _is_default(text)}
    grid = [parse_sweep(text) for text in sweeps if not _is_default(text)]
    check_assignments([*chosen, *grid], {method.info.name: method.Setting for method in methods})

    def resolve(method: Method, **asked: Any) -> tuple[Setting, ...]:
        info, schema = method.info, method.Setting
        settings = resolve_settings(info, schema, model.name, family=model.family, **asked)
        for setting in settings:
            setting.check_family(model.family)
        return settings

    presets = presets_of(preset, [method.info.name for method in methods])

    def asked(method: Method) -> tuple[Setting, ...]:
        name = method.info.name
        return resolve(
            method,
            sets=chosen,
            sweeps=grid,
            default_sweep=bool({"", f"{name}."} & own),
            preset=presets.get(name, ""),
            zipped=bool({"*", name} & set(zipped)),
        )

    return tuple(
        PlannedMethod(method, asked(method), default=resolve(method)[0]) for method in methods
    )


def _is_default(sweep: str) -> bool:
    """Return whether a text is ``default`` or ``method.default``."""
    return "=" not in sweep and sweep.rpartition(".")[2] == DEFAULT_SWEEP


def presets_of(text: str, methods: Sequence[str]) -> dict[str, str]:
    """Return the preset that ``name`` or ``method.name,method.name`` gives each method, if any.

    Raises:
        UnknownName: a method before a dot is not one of these.
    """
    parts = [part.strip().rpartition(".") for part in text.split(",")]
    for owner, _, name in parts:
        if owner and owner not in methods:
            raise UnknownName(
                f'--preset {owner}.{name}: no method "{owner}" in this run.'
                f"{registry.suggest(owner, methods)} It has: {', '.join(methods)}."
            )
    return {method: name for method in methods for owner, _, name in parts if owner in ("", method)}


def needs_of(info: MethodInfo, setting: Setting) -> frozenset[str]:
    """Return the parts of a model that a method needs with a setting."""
    return frozenset((*info.needs, *setting.needs))


def all_needs(planned: Sequence[PlannedMethod]) -> frozenset[str]:
    """Return the parts of a model that some setting of some method needs."""
    return frozenset().union(*(needs_of(p.info, s) for p in planned for s in p.settings))


def read_rows(
    benchmark: Benchmark, limit: int | None
) -> tuple[tuple[Row, ...], tuple[UnusableRow, ...]]:
    """Return the first rows of a benchmark: the usable ones, and the others with their errors."""
    rows: dict[str, Row] = {}
    unusable: list[UnusableRow] = []
    for index, found in enumerate(islice(benchmark.samples(), limit)):
        if isinstance(found, BadSample):
            unusable.append(UnusableRow(index, found))
        elif found.id in rows:
            error = BadSample(
                f"{benchmark.info.name} row {index + 1}",
                "id",
                f'"{found.id}" is taken by row {rows[found.id].index + 1}',
                "give every row its own id",
            )
            unusable.append(UnusableRow(index, error))
        else:
            rows[found.id] = Row(index, found)
    return tuple(rows.values()), tuple(unusable)


def file_name(text: str) -> str:
    """Return a text with every character replaced that a file's name should not have."""
    return "".join(c if c.isalnum() or c in "+-_." else "_" for c in text)[:150]
