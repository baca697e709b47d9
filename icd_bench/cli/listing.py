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

KINDS = ("methods", "benchmarks", "metrics", "models")
COLUMNS = {
    "methods": ("name", "title", "needs", "paper"),
    "benchmarks": ("name", "title", "size", "licence"),
    "metrics": ("name", "title", "direction", "unit", "needs"),
    "models": ("name", "title", "family", "resolution"),
}


def list_plugins(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=", ".join(KINDS))],
    as_json: Annotated[bool, typer.Option("--json", help="Everything known, as JSON.")] = False,
) -> None:
    """List methods, benchmarks, metrics or models."""
    check_choice(kind, KINDS, "kind")
    cards, broken = CARDS[kind]()
    for message in broken:
        say(message)
    if as_json:
        print_json(cards)
    elif cards:
        columns = COLUMNS[kind]
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
        }
        for spec in models().values()
    ], []


def plugin_cards(kind: registry.Registry[Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the cards of all plugins of a kind, and a message for each that cannot be loaded."""
    cards, broken = [], []
    for name in kind.names():
        try:
            plugin = kind.load(name)
            card = asdict(plugin.info)
        except UsageError as error:
            broken.append(str(error))
            continue
        except (AttributeError, TypeError) as error:
            broken.append(f'{kind.kind} "{name}" has no usable info: {error}')
            continue
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
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "-"
    return "-" if value in (None, "") else str(value)
