"""A YAML file that names methods, models, benchmarks and sweeps: one run for each of their pairs.

Every pair of a model and a benchmark has a run folder of its own, because that is what is resumed,
locked, tabulated and reported as one: pictures of one resolution and samples that can be paired.
``docs/running.md`` describes the file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError

from icd_bench import registry
from icd_bench.api import Method
from icd_bench.errors import UsageError
from icd_bench.file_names import file_name
from icd_bench.protocols import NATIVE, find_protocol
from icd_bench.registry import suggest
from icd_bench.run.planning.request import RunRequest
from icd_bench.run.planning.resolve import load_methods, plan_methods
from icd_bench.run.planning.rows import open_benchmark
from icd_bench.run.planning.settings import DEFAULT_SWEEP
from icd_bench.run.planning.sources import InstalledModels, Model, ModelSource
from icd_bench.run.planning.subsets import choose_subset
from icd_bench.run.storage.results import check_metric_name

MOST_BYTES = 2**20
"""Larger files are no suites."""
SUFFIXES = (".yaml", ".yml")

_OWN_WORDS = {
    "invalid-json-value": "write text, a number, true, false, null or a list; quotes make text"
}
"""Kind of error of pydantic -> what is said instead."""

P = ParamSpec("P")
T = TypeVar("T")
Location = tuple[str | int, ...]


def _as_entry(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _as_sweep(value: Any) -> Any:
    """Return a sweep with lists alone: an empty one where the method's own sweep is wanted."""
    if value == DEFAULT_SWEEP:
        return {DEFAULT_SWEEP: []}
    if isinstance(value, dict) and DEFAULT_SWEEP in value:
        wanted = value[DEFAULT_SWEEP]
        return {**value, DEFAULT_SWEEP: [] if wanted is True else [wanted]}
    return value


class SuiteMethod(BaseModel):
    """One method of a suite, with its settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(min_length=1, description="name, or ./file.py:Class")
    preset: str = Field("", description="settings of a publication")
    set: dict[str, JsonValue] = Field({}, description="field: value")
    sweep: Annotated[dict[str, list[JsonValue]], BeforeValidator(_as_sweep)] = Field(
        {}, description="field: [values], every combination; default, or default: true beside them"
    )
    zip: bool = Field(False, description="swept fields vary together")

    def sets(self, method: str) -> list[str]:
        """Return what ``--set`` would be told."""
        return [f"{method}.{field}={_text(value)}" for field, value in self.set.items()]

    def sweeps(self, method: str) -> list[str]:
        """Return what ``--sweep`` would be told."""
        return [
            f"{method}.{DEFAULT_SWEEP}"
            if field == DEFAULT_SWEEP
            else f"{method}.{field}={','.join(map(_text, values))}"
            for field, values in self.sweep.items()
        ]

    def parts(self) -> Iterator[tuple[Location, SuiteMethod]]:
        """Yield where the preset, each set field and each swept one stand, and it alone."""
        bare = self.model_copy(update={"preset": "", "set": {}, "sweep": {}, "zip": False})
        yield ("preset",), bare.model_copy(update={"preset": self.preset})
        for field, value in self.set.items():
            yield ("set", field), bare.model_copy(update={"set": {field: value}})
        for field, values in self.sweep.items():
            yield ("sweep", field), bare.model_copy(update={"sweep": {field: values}})


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


@dataclass(frozen=True)
class _File:
    """A suite file, whose lines errors tell."""

    path: Path
    root: yaml.Node

    def at(self, place: Location, read: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """Return what a function returns; its errors are those of a place of the file.

        Raises:
            UsageError: the function raised one; the message has file and line.
        """
        try:
            return read(*given, **named)
        except UsageError as error:
            raise UsageError(f"{self.path}:{line_of(self.root, place)}: {error}") from error


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
    file, models = _File(path, root), models or InstalledModels()
    _check_names(file, suite)
    methods = [
        file.at(("methods", number), load_methods, [entry.name])[0]
        for number, entry in enumerate(suite.methods)
    ]
    file.at(("methods",), load_methods, [entry.name for entry in suite.methods])
    chosen = [
        file.at(("models", number), models.find, name) for number, name in enumerate(suite.models)
    ]
    _check_models(file, chosen)
    request = _request(suite, base, methods, anchors)
    requests: dict[Path, RunRequest] = {}
    for number, reference in enumerate(suite.benchmarks):
        place: Location = ("benchmarks", number)
        benchmark, split = file.at(place, open_benchmark, reference)
        default = benchmark.info.default_model
        own = chosen or [file.at(place, models.find, default)]
        words = [suite.name, benchmark.info.name, split, _location(reference)]
        for model, name in zip(own, suite.models or [default], strict=True):
            _check_settings(file, suite, methods, model)
            folder = file_name("-".join(filter(None, [*words, model.name])))
            out = (base.out or base.root) / folder
            new = replace(request, benchmark=reference, model=name, out=out)
            file.at(place, _check_free, new, requests.get(out))
            requests[out] = new
    return tuple(requests.values())


def _check_names(file: _File, suite: Suite) -> None:
    """Check what else a run would refuse, by the file's lines.

    Raises:
        UsageError: a name is unknown, or the suite contradicts itself.
    """
    for number, name in enumerate(suite.metrics or ()):
        file.at(("metrics", number), _check_metric, name)
    file.at(("protocol",), find_protocol, suite.protocol)
    if suite.subset:
        file.at(("subset",), _check_subset, suite)


def _check_metric(name: str) -> None:
    check_metric_name(registry.metrics.load(name).info.name)


def _check_subset(suite: Suite) -> None:
    choose_subset((), suite.subset)
    if suite.limit is not None:
        raise UsageError("limit and subset: give one of them")


def _location(reference: str) -> str:
    """Return the name of the folder of a benchmark's data; empty where none is named.

    Two folders of one benchmark must not share a run folder: the later run would drop the samples
    of the earlier one as outdated.
    """
    if ".py:" in reference:
        return ""
    chosen, _, location = reference.partition("=")
    if chosen.partition(":")[0] not in registry.benchmarks.names():
        location = reference
    return os.path.basename(os.path.abspath(os.path.expanduser(location))) if location else ""


def _check_models(file: _File, chosen: Sequence[Model]) -> None:
    """Check that models have run folders of their own.

    Raises:
        UsageError: two of them have one name.
    """
    for number, model in enumerate(chosen):
        if model.name in [one.name for one in chosen[:number]]:
            file.at(("models", number), _refuse, f'two of the models are named "{model.name}"')


def _check_free(new: RunRequest, before: RunRequest | None) -> None:
    """Check that no request before has the run folder of a new one.

    Raises:
        UsageError: one has.
    """
    if before is not None:
        raise UsageError(
            f'"{new.benchmark}" would share the run folder {new.out} with "{before.benchmark}", '
            "and each would drop the other's edits; rename one, or write two suites"
        )


def _check_settings(file: _File, suite: Suite, methods: Sequence[Method], model: Model) -> None:
    """Check the settings of all entries for a model.

    Raises:
        UsageError: those of one are wrong; the line is that of the one preset or field which alone
            is wrong in the same way, else of the entry.
    """
    for number, (entry, method) in enumerate(zip(suite.methods, methods, strict=True)):
        error = _settings_error(entry, method, model)
        if error is None:
            continue
        places = (
            place
            for place, part in entry.parts()
            if str(_settings_error(part, method, model)) == str(error)
        )
        file.at(("methods", number, *next(places, ())), _refuse, str(error))


def _settings_error(entry: SuiteMethod, method: Method, model: Model) -> UsageError | None:
    """Return what is wrong with an entry's settings for a model."""
    name = method.info.name
    zipped = ("*",) if entry.zip else ()
    try:
        if entry.sweep.get(DEFAULT_SWEEP):
            raise UsageError(
                f"{name}: {DEFAULT_SWEEP} is the method's own sweep: write {DEFAULT_SWEEP}: true, "
                "or leave it out"
            )
        plan_methods([method], model, entry.sets(name), entry.sweeps(name), entry.preset, zipped)
    except UsageError as error:
        return error
    return None


def _refuse(message: str) -> None:
    raise UsageError(message)


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
        sweeps=tuple(text for entry, name in pairs for text in entry.sweeps(name)),
        zipped=tuple(name for entry, name in pairs if entry.zip),
        metrics=None if suite.metrics is None else tuple(suite.metrics),
        protocol=suite.protocol,
    )


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
        own = _OWN_WORDS.get(first["type"], first["msg"])
        told = _unknown_key(place) if first["type"] == "extra_forbidden" else own
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
