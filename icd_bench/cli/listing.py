"""``icd-bench list``: what there is to run."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icd_bench import registry
from icd_bench.errors import UsageError

from .output import align, check_choice, print_json, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from icd_bench.models import ModelSpec

KINDS = ("methods", "benchmarks", "metrics", "models")
COLUMNS = {
    "methods": ("name", "title", "needs", "presets", "paper"),
    "benchmarks": ("name", "title", "size", "licence"),
    "metrics": ("name", "title", "direction", "unit", "needs"),
    "models": ("name", "title", "family", "resolution", "here"),
}
PRESET_COLUMNS = ("name", "model", "settings", "source")


def list_plugins(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=", ".join(KINDS))],
    preset: Annotated[
        str, typer.Option(metavar="NAME", help="Methods that have this preset, and what it sets.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Everything known, as JSON.")] = False,
) -> None:
    """List methods, benchmarks, metrics or models."""
    check_choice(kind, KINDS, "kind")
    if preset and kind != "methods":
        raise UsageError(f"list {kind} --preset {preset}: only methods have presets")
    cards, broken = CARDS[kind]()
    for message in broken:
        say(message)
    columns = COLUMNS[kind]
    if preset:
        cards, columns = preset_cards(cards, preset), PRESET_COLUMNS
    if as_json:
        print_json(cards)
    elif cards:
        print(align([columns, *([_text(card[column]) for column in columns] for card in cards)]))
    else:
        print(f"no {kind}")


def model_cards() -> tuple[list[dict[str, Any]], list[str]]:
    """Return what is known of every model; models are no plugins, so none is broken."""
    from icd_bench.models import models

    return [
        {
            "name": spec.name,
            "title": spec.title,
            "family": spec.family,
            "resolution": spec.resolution,
            "here": _parts_here(spec),
            "missing": [asdict(part) for part in spec.missing()],
            "commits": spec.commits(),
        }
        for spec in models().values()
    ], []


def _parts_here(spec: ModelSpec) -> str:
    present = sum(spec.has(part.name) for part in spec.parts)
    return "all" if present == len(spec.parts) else f"{present} of {len(spec.parts)} parts"


def preset_cards(methods: list[dict[str, Any]], preset: str) -> list[dict[str, Any]]:
    """Return what a preset sets, for each method that has it and each model that differs.

    Raises:
        UnknownName: no method has it.
    """
    check_choice(preset, sorted({name for card in methods for name in card["presets"]}), "preset")
    return [
        {
            "name": card["name"],
            "model": model,
            "settings": {**found["settings"], **values},
            "source": found["source"],
        }
        for card in methods
        if (found := card["presets"].get(preset))
        for model, values in {"any": {}, **found["by_model"]}.items()
    ]


def plugin_cards(kind: registry.Registry[Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the cards of all plugins of a kind, and a message for each that cannot be loaded."""
    cards, broken = [], []
    for name in kind.names():
        try:
            plugin = kind.load(name)
        except UsageError as error:
            broken.append(str(error))
            continue
        card = asdict(plugin.info)
        schema = getattr(plugin, "Setting", None)
        if schema is not None:
            card["setting"] = schema.model_json_schema()["properties"]
        cards.append(card)
    return cards, broken


CARDS: dict[str, Callable[[], tuple[list[dict[str, Any]], list[str]]]] = {
    "methods": lambda: plugin_cards(registry.methods),
    "benchmarks": lambda: plugin_cards(registry.benchmarks),
    "metrics": lambda: plugin_cards(registry.metrics),
    "models": model_cards,
}


def _text(value: object) -> str:
    if isinstance(value, dict):
        value = [k if isinstance(v, dict) else f"{k}={v}" for k, v in value.items()]
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "-"
    return "-" if value in (None, "") else str(value)
