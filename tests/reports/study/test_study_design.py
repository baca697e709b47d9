from __future__ import annotations

import base64
import re
import zlib
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from study_runs import METHODS, SIDE, STRENGTHS, leaks, make_study, secrets_of, write_run

from icd_bench.errors import UnknownName, UsageError
from icd_bench.reports.study.bundle import damage, picture_path
from icd_bench.reports.study.commands import export_study
from icd_bench.reports.study.design import DesignRequest, Study, design_study, read_study
from icd_bench.reports.study.edits import Match, choose_settings, read_edits
from icd_bench.reports.study.formats import formats
from icd_bench.reports.study.key import CROWD
from icd_bench.reports.study.schedule import balanced_samples, make_schedule, planned_pairs
from icd_bench.reports.study.sides import balance_sides


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return make_study(tmp_path_factory.mktemp("design"), questions=("overall", "follows"))


# ------------------------------------------------------------------------------- sides


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_sides_are_even_for_all_each_pair_and_each_rater(data: st.DataObject) -> None:
    pairs = [f"p{number}" for number in range(data.draw(st.integers(1, 12)))]
    raters = [f"r{number}" for number in range(data.draw(st.integers(1, 6)))]
    shown = [(p, r) for p in pairs for r in raters if data.draw(st.booleans())]
    lefts = balance_sides([p for p, _ in shown], [r for _, r in shown], seed=3)
    groups: dict[str, list[bool]] = defaultdict(list)
    for (pair, rater), left in zip(shown, lefts, strict=True):
        for group in ("all", pair, rater):
            groups[group].append(left)
    assert all(abs(2 * sum(group) - len(group)) <= 1 for group in groups.values())


# ---------------------------------------------------------------------------- schedule


@pytest.mark.parametrize(("samples", "raters", "votes"), [(60, 12, 5), (41, 7, 3), (20, 5, 5)])
def test_lists_are_even_spaced_and_checked(samples: int, raters: int, votes: int) -> None:
    categories = {f"s{n}": f"k{n % 4}" for n in range(samples)}
    pairs = planned_pairs(categories, ("a", "b", "c"))
    names = [f"r{n}" for n in range(raters)]
    schedule = make_schedule(pairs, names, votes_per_pair=votes, spacing=5, seed=1)
    planned = {pair.pair_id for pair in pairs}
    ordinary = {
        rater: [item for item in items if item.pair.pair_id in planned and not item.repeat]
        for rater, items in schedule.lists.items()
    }
    loads = [len(items) for items in ordinary.values()]
    assert max(loads) - min(loads) <= 1
    everything = [(rater, item) for rater, items in ordinary.items() for item in items]
    assert set(Counter(item.pair.pair_id for _, item in everything).values()) == {votes}
    for keys in (
        lambda rater, item: item.pair.pair_id,
        lambda rater, item: item.pair.methods,
        lambda rater, item: (rater, item.pair.methods),
    ):
        groups: dict[object, list[bool]] = defaultdict(list)
        for rater, item in everything:
            groups[keys(rater, item)].append(item.flipped)
        assert all(abs(2 * sum(group) - len(group)) <= 1 for group in groups.values())

    shown = sum(map(len, schedule.lists.values()))
    assert 0.08 <= 1 - len(everything) / shown <= 0.10
    kinds = Counter(
        "repeat" if item.repeat else item.pair.methods[1] == "corrupted"
        for items in schedule.lists.values()
        for item in items
        if item.repeat or item.pair.pair_id not in planned
    )
    assert max(kinds.values()) - min(kinds.values()) <= raters / 3 + 1
    for items in schedule.lists.values():
        places: dict[str, list[int]] = defaultdict(list)
        for place, item in enumerate(items):
            places[item.pair.sample].append(place)
            if item.repeat:
                (first,) = [n for n, i in enumerate(items) if i.pair is item.pair and not i.repeat]
                assert place - first >= len(items) // 3
                assert item.flipped != items[first].flipped
        if samples >= 41:
            ordinary_places = [
                place for place, item in enumerate(items) if item.pair.pair_id in planned
            ]
            close = [
                b - a
                for own in places.values()
                for a, b in pairwise(own)
                if b - a <= 5 and {a, b} <= set(ordinary_places)
            ]
            assert not close


def test_more_votes_than_raters_are_refused() -> None:
    pairs = planned_pairs({"s": ""}, ("a", "b"))
    with pytest.raises(UsageError, match="at least 3 raters"):
        make_schedule(pairs, ["r"], votes_per_pair=3)


def test_samples_come_evenly_from_categories() -> None:
    categories = {f"s{n}": "rare" if n < 3 else "common" for n in range(50)}
    chosen = Counter(categories[s] for s in balanced_samples(categories, 8, seed=2))
    assert chosen == {"rare": 3, "common": 5}
    assert balanced_samples(categories, None) == list(categories)
    with pytest.raises(UsageError, match="51 samples wanted"):
        balanced_samples(categories, 51)


# ---------------------------------------------------------------------------- settings


def test_settings_are_the_defaults_given_or_matched(tmp_path: Path) -> None:
    edits = read_edits(write_run(tmp_path / "run"))
    low, high = STRENGTHS
    at = lambda strength: f'{{"strength":{strength}}}'  # noqa: E731
    assert set(choose_settings(edits, METHODS).values()) == {at(low)}
    given = choose_settings(edits, METHODS, {"yonderly": {"strength": high}})
    assert given["yonderly"] == at(high)
    # closeness rises with the strength, distance too: the best distance is at the low strength
    best = choose_settings(edits, METHODS, match=Match("closeness", "distance"))
    assert best == {"zebrafish": at(high), "yonderly": at(low), "xylophone": at(low)}
    with pytest.raises(UsageError, match="as good as 9"):
        choose_settings(edits, METHODS, match=Match("closeness", "distance", 9.0))
    with pytest.raises(UnknownName, match='no metric "closenes"'):
        choose_settings(edits, METHODS, match=Match("closenes", "distance"))
    with pytest.raises(UsageError, match="--set zebrafish"):
        choose_settings(edits, METHODS, {"zebrafish": {"strength": 0.5}})
    with pytest.raises(UnknownName, match='no field "strenth"'):
        choose_settings(edits, METHODS, {"zebrafish": {"strenth": 0.5}})
    with pytest.raises(UnknownName, match="zebrafsh"):
        choose_settings(edits, ["zebrafsh", "yonderly"])


# ------------------------------------------------------------------------------ bundle


def test_nothing_that_leaves_the_study_names_a_method(study: Study, tmp_path: Path) -> None:
    for form in formats.names():
        if form != "server":
            export_study(study.folder, form, tmp_path / form, "https://pictures.example/")
    files = [p for root in (study.bundle_folder, tmp_path) for p in root.rglob("*") if p.is_file()]
    secrets = secrets_of(study)
    assert len(files) > 100
    assert {path.suffix for path in files} >= {".pdf", ".png", ".html", ".csv", ".tsv", ".json"}
    for path in files:
        assert not leaks(path.name.encode() + path.read_bytes(), secrets), path
        if path.suffix == ".png":
            assert chunks_of(path.read_bytes()) == {b"IHDR", b"IDAT", b"IEND"}, path


def chunks_of(png: bytes) -> set[bytes]:
    """Return the kinds of chunks of a PNG."""
    found, place = set(), 8
    while place < len(png):
        length = int.from_bytes(png[place : place + 4], "big")
        found.add(png[place + 4 : place + 8])
        place += length + 12
    return found


def test_the_leak_test_sees_through_compression(study: Study, tmp_path: Path) -> None:
    info = PngInfo()
    info.add_text("Comment", f"made by {METHODS[0]}", zip=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "told.png", pnginfo=info)
    page = base64.b64encode((tmp_path / "told.png").read_bytes())
    secrets = secrets_of(study)
    assert leaks((tmp_path / "told.png").read_bytes(), secrets) == [METHODS[0]]
    assert leaks(b"<img src=data:image/png;base64," + page + b">", secrets) == [METHODS[0]]
    stream = b"stream\n" + zlib.compress(METHODS[2].upper().encode()) + b"\nendstream"
    assert leaks(stream, secrets) == [METHODS[2]]


def test_pictures_are_alike_in_all_but_pixels(study: Study) -> None:
    files = list((study.bundle_folder / "images").iterdir())
    assert len({path.stat().st_mode for path in files}) == 1
    for path in files:
        assert re.fullmatch("[0-9a-f]{20}.png", path.name)
        with Image.open(path) as image:
            assert (image.size, image.mode, image.info) == ((SIDE, SIDE), "RGB", {})


def test_tasks_show_what_the_key_says(study: Study) -> None:
    pairs = {pair.pair_id: pair for pair in study.plan.pairs}
    run = Path(study.key.run)
    for showing in study.key.showings:
        task, pair = study.bundle.tasks[showing.task], pairs[showing.pair_id]
        left, right = reversed(pair.methods) if showing.flipped else pair.methods
        for name, method in ((task.left, left), (task.right, right)):
            shown = np.asarray(Image.open(picture_path(study.bundle_folder, name)))
            other = pair.methods[0] if method == "corrupted" else method
            cell = study.key.methods[other].cells[pair.sample]
            edit = np.asarray(Image.open(run / f"images/{cell[:2]}/{cell}.png"))
            assert (shown == edit).all() == (method != "corrupted")


def test_damage_is_gross() -> None:
    ramp = np.tile(np.linspace(0, 255, 64, dtype=np.uint8)[:, None], (64, 1, 3)).reshape(64, 64, 3)
    assert np.abs(damage(ramp, 0).astype(int) - ramp).mean() > 50


def test_a_study_reads_back_and_is_never_overwritten(study: Study) -> None:
    assert read_study(study.folder) == study
    request = DesignRequest(Path(study.key.run), METHODS, raters=5)
    with pytest.raises(UsageError, match="not empty"):
        design_study(request, study.folder)
    assert (study.folder / "key.json").stat().st_mode & 0o077 == 0


def test_names_change_with_the_secret_but_the_plan_does_not(study: Study, tmp_path: Path) -> None:
    again = make_study(tmp_path, questions=("overall", "follows"))
    assert again.plan == study.plan
    assert not set(again.bundle.tasks) & set(study.bundle.tasks)
    assert [s.flipped for s in again.key.showings] == [s.flipped for s in study.key.showings]


def test_crowd_tasks_have_each_pair_once(study: Study) -> None:
    shown = [s for s in study.key.showings if s.rater == CROWD and not s.repeat]
    assert len({s.pair_id for s in shown}) == len(shown)
    sides: dict[str, list[bool]] = defaultdict(list)
    for showing in shown:
        if not showing.pair_id.startswith("check/"):
            sides[showing.pair_id.partition("/")[2]].append(showing.flipped)
    assert all(abs(2 * sum(group) - len(group)) <= 1 for group in sides.values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"questions": ("overall", "beauty")}, "no question 'beauty'"),
        ({"questions": ("overall", "overall")}, "each once"),
        ({"methods": ("zebrafish",)}, "at least two"),
        ({"samples": 500, "votes_per_pair": 1}, "500 samples"),
        ({"raters": 2}, "at least 3 raters"),
    ],
)
def test_impossible_studies_are_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        make_study(tmp_path, **changes)
