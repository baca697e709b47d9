"""What to run and where: the options that ``run`` and ``plan`` share."""

from __future__ import annotations

import inspect
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    TypeVar,
    cast,
    get_type_hints,
)

import typer

from icd_bench import registry
from icd_bench.errors import UsageError

from . import options
from .output import check_choice, split_names

if TYPE_CHECKING:
    from icd_bench.run import RunRequest

ANCHORS = ("identity", "jpeg", "vae-roundtrip")

NATIVE = "native"

R = TypeVar("R")


def requests_of(
    suite: Annotated[
        Path | None,
        typer.Argument(
            metavar="SUITE", help="YAML file of methods, models, benchmarks and sweeps."
        ),
    ] = None,
    methods: options.Methods = None,
    bench: Annotated[
        str | None,
        typer.Option(
            "--bench",
            "-b",
            metavar="NAME[:SPLIT][=DIR]|DIR",
            help="Benchmark (=DIR: its data), or a folder with pictures and prompts.csv.",
        ),
    ] = None,
    model: options.Model = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="Only the first N samples.")
    ] = None,
    subset: Annotated[
        str,
        typer.Option(
            metavar="NAME", help='Only a fixed small part of the benchmark: "ci" has 50 samples.'
        ),
    ] = "",
    seed: options.Seed = 0,
    preset: options.Preset = "",
    sets: options.Sets = None,
    sweeps: Annotated[
        list[str] | None,
        typer.Option(
            "--sweep",
            metavar="[METHOD.]FIELD=V1,V2",
            help="Run every value (several: every combination); "
            '"default" runs the sweep that each method proposes.',
        ),
    ] = None,
    zipped: Annotated[
        bool,
        typer.Option("--zip", help="Swept fields vary together: first values, second values .."),
    ] = False,
    metrics: options.Metrics = None,
    protocol: options.Protocol = NATIVE,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Run folder; of a suite: folder of run folders.  "
            "[default: runs/ and a name made from the run]",
        ),
    ] = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    compiled: Annotated[
        bool,
        typer.Option("--compile", help="Compile the U-Nets: minutes before a long run's speed."),
    ] = False,
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", help="Samples at once.  [default: by device]")
    ] = None,
    anchors: Annotated[
        bool,
        typer.Option(
            "--anchors/--no-anchors",
            help=f"Add the reference lines {', '.join(ANCHORS)}, which show what copying scores.",
        ),
    ] = True,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Give up an inversion or an edit that takes longer."),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="inline: this process; processes: several here, which may crash or hang; "
            "ray: those of a cluster.",
        ),
    ] = "inline",
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Processes of the engine.  [default: one for each accelerator]"
        ),
    ] = None,
    ray_address: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Ray cluster that is running, or auto."),
    ] = None,
    cache_size: Annotated[
        str,
        typer.Option(metavar="SIZE", help="Most disk for the user's cached inversions; 0: none."),
    ] = "20GB",
) -> tuple[RunRequest, ...]:
    """Return what the options ask for: one request, or those of the suite.

    Raises:
        UsageError: they contradict each other, or name something unknown.
    """
    from icd_bench.run import RunRequest
    from icd_bench.run.caches.cache import parse_size
    from icd_bench.run.planning.suite import read_suite

    check_choice(engine, registry.engines.names(), "engine")
    if workers is not None and (engine == "inline" or workers < 1):
        raise UsageError(f"--workers {workers}: engine {engine} has at least 1, inline has none")
    if ray_address is not None and engine != "ray":
        raise UsageError(f"--ray-address {ray_address}: it is for --engine ray")
    if ray_address is None:  # else the accelerators are elsewhere
        options.check_place(device, dtype)
    names = split_names(metrics or [])
    for name in names:
        if ".py:" not in name:
            check_choice(name, registry.metrics.names(), "metric")
    request = RunRequest(
        methods=split_names([*(methods or ()), *(ANCHORS if anchors else ())]),
        benchmark=bench or "",
        model=model,
        limit=limit,
        subset=subset,
        seed=seed,
        preset=preset,
        sets=tuple(sets or ()),
        sweeps=tuple(sweeps or ()),
        zipped=("*",) if zipped else (),
        metrics=names or None,
        protocol=protocol,
        out=out,
        device=device,
        dtype=dtype,
        compiled=compiled,
        batch_size=batch_size,
        timeout=timeout,
        engine=engine,
        workers=workers,
        cluster=ray_address,
        cache_size=parse_size(cache_size),
        command=shlex.join(["icd-bench", *sys.argv[1:]]),
    )
    if suite is not None:
        of_the_suite = {
            "--method": methods,
            "--bench": bench,
            "--model": model,
            "--subset": subset,
            "--seed": seed,
            "--preset": preset,
            "--set": sets,
            "--sweep": sweeps,
            "--zip": zipped,
            "--metrics": names,
            "--protocol": protocol != NATIVE,
        }
        for option, value in of_the_suite.items():
            if value:
                raise UsageError(f"{suite}: a suite says what to run; write {option} there")
        return read_suite(suite, request, ANCHORS if anchors else ())
    for option, value in (("--method", methods), ("--bench", bench)):
        if not value:
            raise UsageError(f"Missing option '{option}'; or give a suite file")
    return (request,)


def takes_requests(command: Callable[..., R]) -> Callable[..., R]:
    """Return a command with the options above, and those of its own after them.

    Args:
        command: takes the requests, then its own options.
    """
    shared, (_, *own) = _parameters(requests_of), _parameters(command)

    def wrapped(**values: Any) -> R:
        requests = requests_of(**{one.name: values.pop(one.name) for one in shared})
        return command(requests, **values)

    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    wrapped.__annotations__ = {one.name: one.annotation for one in (*shared, *own)}
    cast(Any, wrapped).__signature__ = inspect.Signature([*shared, *own])
    return wrapped


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return a function's parameters, their annotations evaluated."""
    # What the first one of a command is, is known to type checkers alone: importing it takes time.
    hints = get_type_hints(function, include_extras=True, localns={"RunRequest": object})
    return [
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[one.name])
        for one in inspect.signature(function).parameters.values()
    ]
