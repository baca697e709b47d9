"""A YAML file that names methods, models, benchmarks and sweeps: one run for each of their pairs.

Every pair of a model and a benchmark has a run folder of its own, because that is what is resumed,
locked, tabulated and reported as one: pictures of one resolution and samples that can be paired.
``docs/running.md`` describes the file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from icd_bench.api import Method
from icd_bench.errors import UsageError
from icd_bench.file_names import file_name
from icd_bench.protocols import NATIVE
from icd_bench.registry import suggest
from icd_bench.run.planning.request import RunRequest
from icd_bench.run.planning.resolve import load_methods, plan_methods
from icd_bench.run.planning.rows import open_benchmark
from icd_bench.run.planning.settings import DEFAULT_SWEEP
from icd_bench.run.planning.sources import InstalledModels, Model, ModelSource

MOST_BYTES = 2**20
"""Larger files are no suites."""
SUFFIXES = (".yaml", ".yml")

P = ParamSpec("P")
T = TypeVar("T")
Location = tuple[str | int, ...]


def _as_entry(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _as_sweep(value: Any) -> Any:
    return {DEFAULT_SWEEP: []} if value == DEFAULT_SWEEP else value


class SuiteMethod(BaseModel):
    """One method of a suite, with its settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(min_length=1, description="name, or ./file.py:Class")
    preset: str = Field("", description="settings of a publication")
    set: dict[str, Any] = Field({}, description="field: value")
    sweep: Annotated[dict[str, list[Any]], BeforeValidator(_as_sweep)] = Field(
        {}, description="field: [values], every combination; or default"
    )
    zip: bool = Field(False, description="swept fields vary together")

    def sets(self, method: str) -> list[str]:
        """Return what ``--set`` would be told."""
        return [f"{method}.{field}={_text(value)}" for field, value in self.set.items()]

    def sweeps(self, method: str) -> list[str]:
        """Return what ``--sweep`` would be told; empty where the method's own sweep is wanted."""
        return [
            f"{method}.{field}={','.join(map(_text, values))}"
            for field, values in self.sweep.items()
            if field != DEFAULT_SWEEP
        ]

    @property
    def wants_default_sweep(self) -> bool:
        """Whether the sweep is the method's own."""
        return DEFAULT_SWEEP in self.sweep


class Suite(BaseModel):
    """What to run: every method, on every benchmark, with every model."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][\w.-]*$", description="begins the run folders' names")
    benchmarks: list[str] = Field(min_length=1, description="as for --bench")
    models: list[str] = Field([], description="as for --model; none: each benchmark's own")
    methods: list[Annotated[SuiteMethod, BeforeValidator(_as_entry)]] = Field(
        min_length=1, description="names, or mappings with name, preset, set, sweep, zip"
    )
    anchors: bool = Field(True, description="add the reference lines")
    metrics: list[str] | None = Field(None, description="none: the benchmark's own")
    protocol: str = Field(NATIVE.name, description="how pictures are prepared and scored")
    seed: int = Field(0, description="of all noise")
    limit: int | None = Field(None, ge=1, description="only the first samples")
    subset: str = Field("", description="only a fixed small part")


def read_suite(
    path: Path,
    base: RunRequest,
    anchors: Sequence[str] = (),
    models: ModelSource | None = None,
) -> tuple[RunRequest, ...]:
    """Return one request for each benchmark and model of a suite file.

    Args:
        path: the file.
        base: where and how to compute; its ``limit`` goes before the suite's, and its ``out`` is
            the folder of the run folders.
        anchors: methods that are added where the suite wants reference lines.
        models: where models come from; default: ``icd_bench.models``.

    Raises:
        UsageError: the file is no suite; the message has file and line.
    """
    root, suite = _parse(path)
    models = models or InstalledModels()

    def at(place: Location, read: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        try:
            return read(*given, **named)
        except UsageError as error:
            raise UsageError(f"{path}:{line_of(root, place)}: {error}") from error

    methods = [
        at(("methods", number), load_methods, [entry.name])[0]
        for number, entry in enumerate(suite.methods)
    ]
    at(("methods",), load_methods, [entry.name for entry in suite.methods])
    chosen = [at(("models", number), models.find, name) for number, name in enumerate(suite.models)]
    requests = []
    for number, reference in enumerate(suite.benchmarks):
        benchmark, split = at(("benchmarks", number), open_benchmark, reference)
        own = chosen or [models.find(benchmark.info.default_model)]
        for model, name in zip(own, suite.models or [benchmark.info.default_model], strict=True):
            for place, (entry, method) in enumerate(zip(suite.methods, methods, strict=True)):
                at(("methods", place), _resolve, entry, method, model)
            words = [suite.name, benchmark.info.name, split, model.name]
            folder = file_name("-".join(filter(None, words)))
            request = _request(suite, base, methods, anchors)
            out = (base.out or base.root) / folder
            requests.append(replace(request, benchmark=reference, model=name, out=out))
    return tuple(requests)


def _request(
    suite: Suite, base: RunRequest, methods: Sequence[Method], anchors: Sequence[str]
) -> RunRequest:
    pairs = [
        (entry, method.info.name) for entry, method in zip(suite.methods, methods, strict=True)
    ]
    named = [entry.name for entry in suite.methods]
    return replace(
        base,
        methods=tuple(dict.fromkeys([*named, *(anchors if suite.anchors else ())])),
        limit=suite.limit if base.limit is None else base.limit,
        subset="" if base.limit is not None else suite.subset,
        seed=suite.seed,
        preset=",".join(f"{name}.{entry.preset}" for entry, name in pairs if entry.preset),
        sets=tuple(text for entry, name in pairs for text in entry.sets(name)),
        sweeps=tuple(
            text
            for entry, name in pairs
            for text in (
                [f"{name}.{DEFAULT_SWEEP}"] if entry.wants_default_sweep else entry.sweeps(name)
            )
        ),
        zipped=tuple(name for entry, name in pairs if entry.zip),
        metrics=None if suite.metrics is None else tuple(suite.metrics),
        protocol=suite.protocol,
    )


def _resolve(entry: SuiteMethod, method: Method, model: Model) -> None:
    """Check an entry's settings for a model."""
    name = method.info.name
    sweeps = [DEFAULT_SWEEP] if entry.wants_default_sweep else entry.sweeps(name)
    zipped = ("*",) if entry.zip else ()
    plan_methods([method], model, entry.sets(name), sweeps, entry.preset, zipped)


def _parse(path: Path) -> tuple[yaml.Node, Suite]:
    try:
        data = path.read_bytes()
        if len(data) > MOST_BYTES:
            raise UsageError(f"{path}: {len(data)} bytes are no suite")
        text = data.decode()
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            raise UsageError(f"{path}:1: the file is empty")
        _check_tree(root, path)
        content = yaml.safe_load(text)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: there is no such suite file") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UsageError(f"{path}:{line}: not YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not YAML: {error}") from error
    try:
        return root, Suite.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = first["loc"]
        told = _unknown_key(place) if first["type"] == "extra_forbidden" else first["msg"]
        where = ".".join(map(str, place)) or "suite"
        raise UsageError(f"{path}:{line_of(root, place)}: {where}: {told}") from error


def _unknown_key(place: Location) -> str:
    schema = Suite if len(place) == 1 else SuiteMethod
    known = list(schema.model_fields)
    return f"there is no such key.{suggest(str(place[-1]), known)} Known: {', '.join(known)}."


def _check_tree(node: yaml.Node, path: Path) -> None:
    """Refuse keys that occur twice, the first of which would be lost, and aliases, which explode.

    Raises:
        UsageError: the file has one.
    """
    seen: set[int] = set()
    nodes = [node]
    while nodes:
        one = nodes.pop()
        line = one.start_mark.line + 1
        if id(one) in seen:
            raise UsageError(f"{path}:{line}: a suite has no aliases (*name): write it out")
        seen.add(id(one))
        if isinstance(one, yaml.MappingNode):
            keys: set[str] = set()
            for key, _ in one.value:
                if str(key.value) in keys:
                    at = key.start_mark.line + 1
                    raise UsageError(f'{path}:{at}: the key "{key.value}" is there twice')
                keys.add(str(key.value))
            nodes += [part for pair in one.value for part in pair]
        elif isinstance(one, yaml.SequenceNode):
            nodes += one.value


def line_of(root: yaml.Node, place: Location) -> int:
    """Return the line, from 1, of what lies at keys and indices below a node, or nearest to it."""
    node, line = root, root.start_mark.line
    for step in place:
        below: Iterable[tuple[str, int, yaml.Node]] = ()
        if isinstance(node, yaml.MappingNode):
            below = ((str(key.value), key.start_mark.line, value) for key, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            below = ((str(i), one.start_mark.line, one) for i, one in enumerate(node.value))
        found = {name: (at, value) for name, at, value in below}
        if str(step) not in found:
            break
        line, node = found[str(step)]
    return int(line) + 1


def _text(value: Any) -> str:
    """Return a value as ``--set`` reads it."""
    return value if isinstance(value, str) else json.dumps(value)
