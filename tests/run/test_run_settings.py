from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Literal

import pytest

from icd_bench import registry
from icd_bench.api import MethodInfo, Preset, Setting, edit_field, inversion_field
from icd_bench.errors import BadSetting, UnknownName, UsageError
from icd_bench.run.planning.settings import (
    check_assignments,
    parse_set,
    parse_sweep,
    resolve_settings,
)

INFO = MethodInfo(
    name="m",
    version="1",
    title="",
    paper="",
    defaults={"small": {"steps": 3}, "sdxl": {"steps": 7, "tau": 0.1}},
    presets={
        "paper": Preset("table 1", {"tau": 0.3, "kind": "b"}, by_model={"sdxl": {"tau": 0.4}})
    },
    sweep={"tau": [0.6, 0.9]},
)


class Fields(Setting):
    steps: int = inversion_field(4, "number of steps", ge=1)
    tau: float = edit_field(0.8, "threshold", ge=0, le=1)
    words: tuple[str, ...] = edit_field((), "words")
    limit: float | None = edit_field(1.0, "upper limit")
    kind: Literal["a", "b"] = edit_field("a", "kind")
    blend: bool = edit_field(True, "local blend")


def resolve(*sets: str, sweeps: tuple[str, ...] = (), model: str = "any") -> tuple[Fields, ...]:
    chosen, grid = [parse_set(text) for text in sets], [parse_sweep(text) for text in sweeps]
    check_assignments([*chosen, *grid], {"m": Fields, "other": Fields})
    return resolve_settings(INFO, Fields, model, chosen, grid)


def test_defaults_come_from_the_method_for_the_model() -> None:
    assert resolve()[0] == Fields()
    assert resolve(model="small")[0] == Fields(steps=3)
    assert resolve("steps=9", model="small")[0] == Fields(steps=9)


def test_a_models_name_goes_before_its_family() -> None:
    assert resolve_settings(INFO, Fields, "any", family="sdxl")[0] == Fields(steps=7, tau=0.1)
    assert resolve_settings(INFO, Fields, "small", family="sdxl")[0] == Fields(steps=3, tau=0.1)


def test_a_preset_replaces_the_models_defaults_and_sets_go_on_top() -> None:
    paper = partial(resolve_settings, INFO, Fields, preset="paper")
    assert paper("small")[0] == Fields(tau=0.3, kind="b")
    assert paper("small", family="sdxl")[0] == Fields(tau=0.4, kind="b")
    assert paper("small", [parse_set("tau=1")])[0] == Fields(tau=1, kind="b")


def test_an_unknown_preset_names_what_there_is() -> None:
    with pytest.raises(UnknownName, match=r'no preset "papers"\. Did you mean "paper"\? It has: p'):
        resolve_settings(INFO, Fields, "any", preset="papers")
    with pytest.raises(UnknownName, match="It has none"):
        resolve_settings(replace(INFO, presets={}), Fields, "any", preset="paper")
    anchor = replace(INFO, presets={}, anchor=True)
    assert resolve_settings(anchor, Fields, "any", preset="paper")[0] == Fields()


@pytest.mark.parametrize("name", registry.methods.names())
def test_every_preset_of_every_method_is_a_setting(name: str) -> None:
    method = registry.methods.load(name)
    for preset, card in method.info.presets.items():
        for model in ("scenes", *card.by_model):
            resolve = partial(resolve_settings, method.info, method.Setting, family=model)
            assert resolve(model, preset=preset)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tau=1", {"tau": 1.0}),
        ("m.tau=0.25", {"tau": 0.25}),
        ("words=[cat, dog]", {"words": ("cat", "dog")}),
        ("limit=none", {"limit": None}),
        ("limit=2", {"limit": 2.0}),
        ("blend=false", {"blend": False}),
        ("kind=b", {"kind": "b"}),
    ],
)
def test_values_take_the_type_of_the_field(text: str, expected: dict[str, object]) -> None:
    assert resolve(text)[0] == Fields(**expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tua=1", r'm, other: there is no setting "tua".* Did you mean "tau"\? Known: steps, tau'),
        ("m.tua=1", 'Did you mean "tau"'),
        ("tau=1.5", "m: tau=1.5: Input should be less than or equal to 1"),
        ("steps=many", 'm: steps="many": Input should be a valid integer.*number of steps'),
        ("steps=2.5", "steps"),
        ("kind=c", "kind"),
        ("words=[cat", "words"),
        ("tau=nan", "tau"),
    ],
)
def test_bad_settings_are_named_with_method_and_field(text: str, message: str) -> None:
    with pytest.raises(BadSetting, match=message):
        resolve(text)


@pytest.mark.parametrize("text", ["tau", "=1", ".tau=1", "tau=", ""])
def test_malformed_texts_are_explained(text: str) -> None:
    with pytest.raises(UsageError, match="--set"):
        parse_set(text)


def test_unknown_method_gets_a_suggestion() -> None:
    with pytest.raises(UnknownName, match='Did you mean "icd"'):
        check_assignments([parse_set("icc.tau=1")], {"icd": Fields, "npi": Fields})


def test_assignments_reach_only_their_method() -> None:
    assert resolve("other.tau=0.1")[0] == Fields()


def test_unprefixed_field_need_not_exist_in_every_method() -> None:
    class Other(Setting):
        depth: int = edit_field(1, "depth")

    depth = parse_set("depth=3")
    check_assignments([depth], {"m": Fields, "o": Other})
    assert resolve_settings(INFO, Fields, "any", [depth])[0] == Fields()


def test_sweeps_are_a_grid_without_duplicates() -> None:
    settings = resolve(sweeps=("steps=2,3", "tau=0.5,0.5,1"))
    assert [(s.steps, s.tau) for s in settings] == [(2, 0.5), (2, 1.0), (3, 0.5), (3, 1.0)]


def test_commas_in_brackets_belong_to_the_value() -> None:
    settings = resolve(sweeps=("words=[a,b],[c]",))
    assert [s.words for s in settings] == [("a", "b"), ("c",)]


def test_default_sweep_is_the_methods_own() -> None:
    settings = resolve_settings(INFO, Fields, "any", default_sweep=True)
    assert [s.tau for s in settings] == [0.6, 0.9]
