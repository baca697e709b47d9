from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from run_fakes import FakeModel, FakeModels, here

from icd_bench.errors import MissingWeights, UsageError
from icd_bench.run import Plan, RunRequest, make_plan

RequestOf = Callable[..., RunRequest]


@pytest.fixture
def plan_of(request_of: RequestOf) -> Callable[..., Plan]:
    def make(model: FakeModel | None = None, **changes: object) -> Plan:
        return make_plan(request_of(**changes), FakeModels(model or FakeModel()))

    return make


def ids(plan: Plan) -> set[str]:
    return {cell.id for cell in plan.cells}


def test_cells_are_methods_times_settings_times_rows(plan_of: Callable[..., Plan]) -> None:
    plan = plan_of(methods=here("Tint", "Copy"), sweeps=("strength=0.1,0.2",), limit=3)
    assert len(plan.cells) == len(ids(plan)) == (2 + 1) * 3


def test_settings_with_equal_inversion_fields_are_one_group(plan_of: Callable[..., Plan]) -> None:
    plan = plan_of(sweeps=("strength=0.1,0.2", "steps=2,3"))
    assert [len(group.settings) for group in plan.groups] == [2, 2]
    first, second = plan.groups
    row = plan.rows[0]
    assert plan.inversion_id(first, row) != plan.inversion_id(second, row)


def test_cells_do_not_depend_on_order_or_company(plan_of: Callable[..., Plan]) -> None:
    alone = plan_of(limit=4)
    company = plan_of(methods=here("Copy", "Tint"), sweeps=("strength=0.9,0.5",))
    assert ids(alone) <= ids(company)
    assert ids(alone) == ids(plan_of(limit=4, batch_size=1, metrics=(), dtype="float16"))


@pytest.mark.parametrize(
    "change",
    [
        {"methods": here("Tint2")},
        {"model": FakeModel(weights="v2")},
        {"sets": ("strength=0.51",)},
        {"seed": 1},
        {"benchmark": here("Repaired")[0], "sets": ("steps=6",)},
    ],
)
def test_whatever_changes_a_picture_changes_every_cell(
    plan_of: Callable[..., Plan], change: dict[str, object]
) -> None:
    assert not ids(plan_of()) & ids(plan_of(**change))


def test_unusable_rows_and_duplicates_stay_in_the_plan(plan_of: Callable[..., Plan]) -> None:
    plan = plan_of(benchmark=here("Troubled")[0])
    assert (len(plan.rows), plan.coverage, len(plan.cells)) == (9, 11, 11)
    assert [row.index for row in plan.unusable] == [1, 8]
    assert '"s0" is taken by row 1' in str(plan.unusable[1].error)


def test_the_name_says_what_is_run_and_is_stable(plan_of: Callable[..., Plan]) -> None:
    name = plan_of(methods=here("Tint", "Copy"), limit=3).name()
    assert name.startswith("tint-ten-fake-n3-")
    assert name == plan_of(methods=here("Tint", "Copy"), limit=3).name()
    assert name != plan_of(methods=here("Tint", "Copy"), limit=3, seed=1).name()


def test_the_name_of_many_methods_is_short_and_keeps_its_digest(
    plan_of: Callable[..., Plan],
) -> None:
    plan = plan_of(methods=here("Tint"), limit=3)

    def named(*names: str) -> Plan:
        cards = [replace(plan.methods[0].info, name=name) for name in names]
        methods = [replace(plan.methods[0], method=SimpleNamespace(info=card)) for card in cards]
        return replace(plan, methods=tuple(methods))

    many = [f"method{number}" for number in range(9)]
    assert named(*many).name().startswith("method0+method1+method2+6-more-ten-fake-n3-")
    long = [name * 20 for name in many]
    assert named(*long).name() != named(*long[:-1], "other").name()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ()}, "no method"),
        ({"methods": here("Tint", "Tint2")}, 'two of the methods are named "tint"'),
        ({"methods": here("Tnt")}, 'Did you mean "Tint"'),
        ({"methods": ("no_such_method",)}, 'unknown method "no_such_method"'),
        ({"benchmark": "no_such_bench"}, 'unknown benchmark "no_such_bench"'),
        ({"benchmark": here("Nothing")[0]}, "has no samples"),
        ({"limit": 0}, "--limit 0"),
        ({"batch_size": 0}, "--batch-size 0"),
        ({"sets": ("strenght=1",)}, 'Did you mean "strength"'),
        ({"sets": ("tnt.strength=1",)}, 'no method "tnt"'),
    ],
)
def test_impossible_requests_are_explained(
    plan_of: Callable[..., Plan], changes: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        plan_of(**changes)


def test_missing_weights_are_found_before_anything_is_done(plan_of: Callable[..., Plan]) -> None:
    with pytest.raises(MissingWeights, match="get it with"):
        plan_of(methods=here("Moonlit"))


def test_planning_loads_neither_torch_nor_pandas(tmp_path: Path) -> None:
    script = """
import sys
from icd_bench.run import RunRequest, make_plan

class Model:
    name, family, resolution = "stub", "sd", 64
    def digest(self, needs=None): return "d"

class Models:
    def find(self, reference): return Model()
    def require(self, model, needs): pass

plan = make_plan(RunRequest(methods=("identity", "icd"), benchmark="scenes", limit=2), Models())
assert len(plan.cells) == 4
heavy = {"torch", "diffusers", "transformers", "pandas", "pyarrow", "matplotlib"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
