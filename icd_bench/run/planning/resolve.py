"""From a request to its plan: every name, every setting, every sample."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from icd_bench import registry
from icd_bench.api import Method, Setting
from icd_bench.errors import IcdBenchError, UnknownName, UsageError
from icd_bench.protocols import find_protocol
from icd_bench.run.planning.plan import Plan, PlannedMethod, all_needs
from icd_bench.run.planning.request import RunRequest
from icd_bench.run.planning.rows import open_benchmark, read_rows
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


def load_methods(references: Sequence[str]) -> list[Method]:
    """Return the methods with these names, or at ``./file.py:Class``.

    Raises:
        UsageError: one is unknown, cannot be made or is named twice, or there is none.
    """
    if not references:
        raise UsageError("no method is named; see: icd-bench list methods")
    methods = [_make(reference) for reference in references]
    names = [method.info.name for method in methods]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f'two of the methods are named "{name}"; give each one once')
    return methods


def _make(reference: str) -> Method:
    method: type[Method] = registry.methods.load(reference)
    try:
        return method()
    except IcdBenchError:
        raise
    except Exception as error:
        raise UsageError(
            f'method "{reference}" cannot be made: {type(error).__name__}: {error}'
        ) from error


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
