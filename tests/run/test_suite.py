"""Suite files: what they ask for, and what is wrong with them, by line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from run_fakes import FakeModel, FakeModels, here

from icd_bench.errors import UsageError
from icd_bench.run import RunRequest, make_plan
from icd_bench.run.planning.suite import MOST_BYTES, read_suite

TINT, TEN = here("Tint")[0], here("Ten")[0]
GOOD = f"""\
name: first
benchmarks: ["{TEN}"]
methods:
  - name: {TINT}
    set: {{steps: 6}}
    sweep: {{strength: [0.25, 0.5]}}
  - {here("Copy")[0]}
limit: 3
seed: 7
"""


class NamedModels(FakeModels):
    """Models of every name."""

    def find(self, reference: str) -> FakeModel:
        return replace(self.model, name=reference)


def photos(folder: Path) -> Path:
    """Make a folder that may be a benchmark of its own, or PIE-Bench."""
    folder.mkdir(parents=True)
    (folder / "prompts.csv").write_text("image,source,target\na.png,a cat,a dog\n")
    (folder / "mapping_file.json").write_text("{}")
    return folder


@pytest.fixture
def read(tmp_path: Path) -> Any:
    """Return a function that reads a suite of a text."""

    def do(text: str, anchors: tuple[str, ...] = (), **base: Any) -> tuple[RunRequest, ...]:
        path = tmp_path / "suite.yaml"
        path.write_text(text, encoding="utf-8")
        request = RunRequest(methods=(), benchmark="", root=tmp_path / "runs", **base)
        return read_suite(path, request, anchors, NamedModels())

    return do


def test_a_suite_is_a_request_for_each_benchmark_and_model(read: Any, tmp_path: Path) -> None:
    own = photos(tmp_path / "own")
    text = GOOD.replace(f'["{TEN}"]', f'["{TEN}", "{own}"]')
    requests = read(f"{text}models: [a, b]\n", device="cpu", batch_size=2)
    assert [(request.benchmark, request.model) for request in requests] == [
        (TEN, "a"),
        (TEN, "b"),
        (str(own), "a"),
        (str(own), "b"),
    ]
    assert {(request.seed, request.limit, request.batch_size) for request in requests} == {
        (7, 3, 2)
    }
    assert requests[0].out == tmp_path / "runs" / "first-ten-a"


def test_every_folder_of_data_has_a_run_folder(read: Any, tmp_path: Path) -> None:
    one, two, _ = (photos(tmp_path / name) for name in ("one", "two", "three"))
    own = [f"{one}", f"{two}/", f"folder={two}/../three"]
    named = json.dumps([*own, f"piebench={one}", f"piebench:icd-420={two}", "scenes"])
    requests = read(GOOD.replace(f'["{TEN}"]', named) + "models: [a]\n")
    assert [request.out.name for request in requests] == [
        "first-folder-one-a",
        "first-folder-two-a",
        "first-folder-three-a",
        "first-piebench-one-a",
        "first-piebench-icd-420-two-a",
        "first-scenes-a",
    ]


@pytest.mark.parametrize(
    ("benchmarks", "models", "line", "message"),
    [
        ([TEN, TEN], ["a"], 4, "would share the run folder"),
        ([TEN, here("Troubled")[0]], ["a"], 4, "would share the run folder"),
        (["scenes", "scenes:test", "scenes"], ["a"], 5, "would share the run folder"),
        (["{tmp}/x/own", "scenes", "{tmp}/y/own"], ["a"], 5, '"{tmp}/x/own"'),
        ([TEN], ["a", "b", "a"], 7, 'two of the models are named "a"'),
    ],
)
def test_runs_that_would_share_a_folder_are_refused(
    read: Any, tmp_path: Path, benchmarks: list[str], models: list[str], line: int, message: str
) -> None:
    for parent in "xy":
        photos(tmp_path / parent / "own")
    lines = ["name: first", "benchmarks:", *(f"  - {one}" for one in benchmarks)]
    lines += ["models:", *(f"  - {one}" for one in models), f"methods: ['{TINT}']"]
    with pytest.raises(UsageError) as raised:
        read("\n".join(lines).replace("{tmp}", str(tmp_path)))
    assert str(raised.value).startswith(f"{tmp_path / 'suite.yaml'}:{line}: ")
    assert message.replace("{tmp}", str(tmp_path)) in str(raised.value)


def test_settings_reach_their_method(read: Any) -> None:
    (request,) = read(GOOD, anchors=("identity",))
    assert request.methods == (TINT, here("Copy")[0], "identity")
    tint, copy, _ = make_plan(request, FakeModels()).methods
    told = [setting.model_dump() for setting in tint.settings]
    assert told == [{"steps": 6, "strength": 0.25}, {"steps": 6, "strength": 0.5}]
    assert len(copy.settings) == 1


def test_fields_vary_together_where_they_are_zipped(read: Any) -> None:
    swept = "sweep: {steps: [1, 2], strength: [0.25, 0.5]}\n    zip: true"
    (request,) = read(GOOD.replace("sweep: {strength: [0.25, 0.5]}", swept))
    (tint, _) = make_plan(request, FakeModels()).methods
    told = [(s.steps, s.strength) for s in tint.settings]  # type: ignore[attr-defined]
    assert told == [(1, 0.25), (2, 0.5)]


def test_a_method_may_want_its_own_sweep(read: Any) -> None:
    (request,) = read(GOOD.replace("sweep: {strength: [0.25, 0.5]}", "sweep: default"))
    (tint, _) = make_plan(request, FakeModels()).methods
    assert [s.strength for s in tint.settings] == [0.25, 0.75]  # type: ignore[attr-defined]


def test_fields_go_on_top_of_a_methods_own_sweep(read: Any) -> None:
    swept = "sweep: {default: true, steps: [1, 2]}"
    (request,) = read(GOOD.replace("sweep: {strength: [0.25, 0.5]}", swept))
    (tint, _) = make_plan(request, FakeModels()).methods
    told = [(s.strength, s.steps) for s in tint.settings]  # type: ignore[attr-defined]
    assert told == [(0.25, 1), (0.25, 2), (0.75, 1), (0.75, 2)]


def test_a_limit_may_be_as_large_as_one_likes(read: Any) -> None:
    (request,) = read(GOOD.replace("limit: 3", f"limit: {10**30}"))
    assert len(make_plan(request, FakeModels()).rows) == 10


def test_the_command_line_can_cut_a_suite_short(read: Any, tmp_path: Path) -> None:
    (request,) = read(GOOD, limit=1, out=tmp_path / "there")
    assert request.limit == 1
    assert request.out == tmp_path / "there" / "first-ten-fake"


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("limit: 3", "limt: 3", 8, 'limt: there is no such key. Did you mean "limit"?'),
        ("sweep:", "swep:", 6, 'methods.0.swep: there is no such key. Did you mean "sweep"?'),
        ("limit: 3", 'limit: "3"', 8, "limit: Input should be a valid integer"),
        ("limit: 3", "limit: 0", 8, "limit: Input should be greater than or equal to 1"),
        ("name: first", "name: ../up", 1, "name: String should match pattern"),
        ("steps: 6", "stps: 6", 5, 'there is no setting "stps". Did you mean "steps"?'),
        ("steps: 6", "steps: 99", 5, "tint: steps=99"),
        ("[0.25, 0.5]", "[0.25, many]", 6, 'tint: strength="many"'),
        ("[0.25, 0.5]", "0.25", 6, "methods.0.sweep.strength: Input should be a valid list"),
        ("[0.25, 0.5]", "[]", 6, "a value is empty"),
        ("{strength: [0.25, 0.5]}", "{steps: [1],\n      stps: [2]}", 7, 'no setting "stps"'),
        ("{strength: [0.25, 0.5]}", "{steps: [1],\n      default: [2]}", 7, "default: true"),
        ("{strength: [0.25, 0.5]}", "{steps: [1],\n      default: false}", 7, "default: true"),
        ("steps: 6", "steps: 2020-01-01", 5, "methods.0.set.steps: write text, a number"),
        ("steps: 6", "steps: !!binary aGVsbG8=", 5, "methods.0.set.steps: write text, a number"),
        ("[0.25, 0.5]", "[0.25,\n 2020-01-01]", 7, "methods.0.sweep.strength.1: write text"),
        ("set: {steps: 6}", "preset: pper", 5, 'tint: there is no preset "pper"'),
        ("seed: 7", "metrics:\n  - psnr\n  - psnrr", 11, 'Did you mean "psnr"?'),
        ("seed: 7", "protocol: nativ", 9, 'unknown protocol "nativ"'),
        ("seed: 7", "subset: cii", 9, 'unknown subset "cii"'),
        ("seed: 7", "subset: ci", 9, "limit and subset: give one of them"),
        (here("Copy")[0], "tnit", 7, 'unknown method "tnit"'),
        (here("Copy")[0], TINT, 3, 'two of the methods are named "tint"'),
        (f'["{TEN}"]', "[\n  scnes]", 3, 'unknown benchmark "scnes". Did you mean "scenes"?'),
        (f'["{TEN}"]', "[]", 2, "benchmarks: List should have at least 1 item"),
        ("seed: 7", "seed: 7\nseed: 8", 10, 'the key "seed" is there twice'),
        ("seed: 7", "seed: [7", 10, "not YAML"),
        ("seed: 7", "seed: &a 7\nlimit2: *a", 9, "a suite has no aliases"),
        ("seed: 7", "seed: !!python/object:os.system 7", 9, "not YAML"),
        ("seed: 7", "1: 7", 9, "Keys should be strings"),
    ],
)
def test_mistakes_are_named_with_their_line(
    read: Any, tmp_path: Path, old: str, new: str, line: int, message: str
) -> None:
    assert old in GOOD
    with pytest.raises(UsageError) as raised:
        read(GOOD.replace(old, new))
    assert str(raised.value).startswith(f"{tmp_path / 'suite.yaml'}:{line}: ")
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("- a\n- b\n", "suite: Input should be a valid dictionary"),
        ("[" * 5000, "not YAML"),
        ("a: " + "b" * MOST_BYTES, "are no suite"),
        ("a: \0", "not YAML"),
    ],
)
def test_other_files_are_refused(read: Any, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(text)


def test_a_suite_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such suite file"):
        read_suite(tmp_path / "none.yaml", RunRequest(methods=(), benchmark=""))


def test_the_example_is_a_suite(tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "docs" / "examples" / "scenes-sweep.yaml"
    (request,) = read_suite(example, RunRequest(methods=(), benchmark="", root=tmp_path))
    plan = make_plan(request)
    assert request.out == tmp_path / "scenes-sweep-scenes-scenes"
    assert {m.info.name: len(m.settings) for m in plan.methods} == {"icd": 8, "sdedit": 2}
    assert len(plan.cells) == 8 * (8 + 2)
