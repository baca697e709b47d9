"""The reference pages, made from the code: ``python -m icd_bench.reference docs/reference``.

A test keeps the committed pages equal to what this module writes.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from icd_bench import protocols, registry
from icd_bench.cli.app import PROGRAM, app
from icd_bench.metrics.catalogue import catalogue
from icd_bench.run.storage.columns import SCHEMA_HISTORY, columns_table

MADE = "<!-- Made by `make docs`; do not edit. -->"


def methods_page() -> str:
    """Return every method with its settings."""
    return _page("Methods", _methods())


def metrics_page() -> str:
    """Return every metric, those of one module together, and how it is signed."""
    return _page("Metrics", _metrics())


def protocols_page() -> str:
    """Return every protocol, and what its fields decide."""
    return _page("Protocols", _protocols())


def benchmarks_page() -> str:
    """Return every benchmark with its card."""
    return _page("Benchmarks", _benchmarks())


def results_page() -> str:
    """Return the columns of ``results.parquet`` and the history of its schema."""
    history = [(f"{version}", change) for version, change in SCHEMA_HISTORY.items()]
    parts = [
        "One row a cell: one method with one setting and one seed on one sample. "
        "[What else a run folder holds](../results.md).",
        columns_table().strip(),
        "After these follow the metrics, one `double` column each, named like the metric: null "
        "where the picture has no score, NaN where the metric does not apply to the sample.",
        "## History of the schema",
        _table(("version", "change"), history),
    ]
    return _page("Columns of results.parquet", parts)


def commands_page() -> str:
    """Return every command with its options."""
    return _page("Commands", _commands(typer.main.get_command(app), PROGRAM))


PAGES: dict[str, Callable[[], str]] = {
    "methods.md": methods_page,
    "metrics.md": metrics_page,
    "protocols.md": protocols_page,
    "benchmarks.md": benchmarks_page,
    "results.md": results_page,
    "commands.md": commands_page,
}


def write_pages(folder: Path) -> None:
    """Write every reference page into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")


def _methods() -> Iterator[str]:
    yield (
        "A setting's field belongs to the *inversion*, which is computed once for all settings "
        "that share its fields, or to the *edit*."
    )
    for name in registry.methods.names():
        method = registry.methods.load(name)
        info = method.info
        yield f"## `{name}`"
        needs = f" Needs {', '.join(f'`{part}`' for part in info.needs)}." if info.needs else ""
        yield f"{info.title}. {info.paper}. Version {info.version}.{needs}"
        yield _prose(inspect.getmodule(method).__doc__)
        schema = method.Setting.model_json_schema()
        rows = [
            (f"`{field}`", card["stage"], _code(card.get("default")), _limits(card), card["title_"])
            for field, card in _described(schema)
        ]
        if rows:
            yield _table(("field", "stage", "default", "range", "meaning"), rows)
        for model, values in sorted(info.defaults.items()):
            yield f"With `{model}`: {_fields(values)}."
        for preset, card in info.presets.items():
            yield f"`--preset {preset}` ({card.source}): {_fields(card.settings)}."
            for model, values in card.by_model.items():
                yield f"`--preset {preset}` with `{model}` besides: {_fields(values)}."
        if info.sweep:
            grid = ", ".join(
                f"`{field}={','.join(map(_plain, values))}`" for field, values in info.sweep.items()
            )
            yield f"Default sweep: {grid}."


def _fields(values: Mapping[str, Any]) -> str:
    return ", ".join(f"`{field}={_plain(value)}`" for field, value in values.items())


def _described(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for field, card in schema["properties"].items():
        yield field, {**card, "stage": card.get("stage", "edit"), "title_": card["description"]}


def _limits(card: dict[str, Any]) -> str:
    kinds = [card, *card.get("anyOf", ())]
    choices = [choice for kind in kinds for choice in kind.get("enum", ())]
    if choices:
        return ", ".join(map(_code, choices))
    words = {
        "minimum": "≥ {}",
        "exclusiveMinimum": "> {}",
        "maximum": "≤ {}",
        "exclusiveMaximum": "< {}",
    }
    found = [
        form.format(f"{kind[limit]:g}")
        for kind in kinds
        for limit, form in words.items()
        if limit in kind
    ]
    return ", ".join(found) or ", ".join(kind["type"] for kind in kinds if "type" in kind)


def _metrics() -> Iterator[str]:
    yield (
        "Numbers with unlike signatures never share a column. `weights` stands for a digest of "
        "the network's weights; under a protocol other than `native` its name is added."
    )
    families = defaultdict(list)
    for entry in catalogue():
        if entry.info is not None:
            families[inspect.getmodule(registry.metrics.load(entry.name))].append(entry)
    for module, entries in sorted(families.items(), key=lambda family: family[1][0].name):
        title, text = _title_and_text(module)
        yield f"## {title}"
        if text:
            yield text
        rows = [
            (
                f"`{entry.name}`",
                f"{entry.info.title}{', on request' if entry.info.on_request else ''}",
                f"{entry.info.direction} is better",
                f"{entry.range} {entry.info.unit}".strip(),
                entry.info.group,
                ", ".join(entry.info.needs),
                entry.info.citation,
            )
            for entry in entries
            if entry.info is not None
        ]
        yield _table(("metric", "what", "", "range", "says", "needs", "source"), rows)
        yield "\n".join(f"- `{_without_digest(entry.signature)}`" for entry in entries)


def _without_digest(signature: str) -> str:
    """Leave out what depends on which weights are on this machine."""
    return re.sub(r"weights:[^|]*", "weights", signature)


def _protocols() -> Iterator[str]:
    yield _prose(protocols.__doc__)
    known = protocols.protocols().values()
    yield "\n".join(f"- `{protocol.name}`: {protocol.title}." for protocol in known)
    meanings = _field_meanings(protocols.Protocol)
    yield _table(
        ("field", *(f"`{protocol.name}`" for protocol in known), "meaning"),
        [
            (f"`{field}`", *(_code(getattr(protocol, field)) for protocol in known), meaning)
            for field, meaning in meanings.items()
        ],
    )


def _field_meanings(owner: type) -> dict[str, str]:
    """Return the strings below a class's fields."""
    (node,) = ast.parse(inspect.getsource(owner)).body
    assert isinstance(node, ast.ClassDef)
    meanings = {}
    for field, text in zip(node.body, node.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            name, meaning = ast.unparse(field.target), ast.literal_eval(text.value)
            meanings[name] = " ".join(str(meaning).split())
    return meanings


def _benchmarks() -> Iterator[str]:
    for name in registry.benchmarks.names():
        benchmark = registry.benchmarks.load(name)
        info = benchmark.info
        yield f"## `{name}`"
        yield _prose(f"{info.title}.\n\n{inspect.getmodule(benchmark).__doc__}")
        facts = [
            ("size", info.size),
            ("pictures", f"{info.resolution} pixels square" if info.resolution else "of any size"),
            ("licence", info.licence),
            ("source", info.source),
            ("how to get it", info.how_to_get),
            ("default model", f"`{info.default_model}`"),
            ("default metrics", ", ".join(f"`{m}`" for m in info.metrics) or "all that apply"),
        ]
        yield _table(("", ""), facts)


def _commands(command: Any, path: str) -> Iterator[str]:
    children = getattr(command, "commands", {})
    if path != PROGRAM:
        yield f"## `{path}`"
    yield " ".join(str(command.help).split())
    rows = [
        (_option(parameter), " ".join((parameter.help or "").split()))
        for parameter in command.params
        if parameter.name != "help"
    ]
    if rows:
        yield _table(("", ""), rows)
    for name, child in children.items():
        yield from _commands(child, f"{path} {name}")


def _option(parameter: Any) -> str:
    metavar = parameter.metavar or ""
    if parameter.param_type_name == "argument":
        return f"`{metavar}`"
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    needed = " (required)" if parameter.required else ""
    return f"`{f'{names} {metavar}'.strip()}`{needed}"


def _page(title: str, parts: Iterable[str]) -> str:
    return "\n\n".join([f"# {title}", MADE, *(part for part in parts if part)]) + "\n"


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *([_cell(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _code(value: Any) -> str:
    if value in ("", None) or value == () or value == {}:
        return "none"
    if isinstance(value, str | int | float | bool):
        return f"`{_plain(value)}`"
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def _title_and_text(module: Any) -> tuple[str, str]:
    """Return the first sentence of a module's docstring, and the rest."""
    text = _prose(module.__doc__)
    first, _, rest = text.partition("\n\n")
    head, colon, tail = first.partition(": ")
    if colon and len(head) < 60:
        return head, f"{tail[:1].upper()}{tail[1:]}\n\n{rest}".strip()
    return first.rstrip("."), rest


def _prose(docstring: str | None) -> str:
    """Return a docstring as Markdown: paragraphs joined, markup of code turned."""
    text = inspect.cleandoc(docstring or "")
    text = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"`\1`", text).replace("``", "`")
    paragraphs = text.split("\n\n")
    return "\n\n".join(
        part if re.match(r"\s|[-*] ", part) else " ".join(part.split()) for part in paragraphs
    )


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
