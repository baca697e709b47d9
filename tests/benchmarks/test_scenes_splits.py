"""Who sees what: held-out combinations, balance, independence."""

from __future__ import annotations

from collections import Counter

import pytest

from icd_bench.benchmarks.scenes.captions import caption
from icd_bench.benchmarks.scenes.edits import pair
from icd_bench.benchmarks.scenes.splits import HELD_OUT, combinations, scene
from icd_bench.benchmarks.scenes.world import BACKGROUNDS, COLOURS, KINDS


@pytest.mark.parametrize("split", ["train", "dev"])
def test_train_and_dev_never_show_a_held_out_combination(split: str) -> None:
    for index in range(5000):
        assert HELD_OUT.isdisjoint(combinations(scene(split, index)))
    for index in range(3000):
        edit = pair(split, index)
        assert HELD_OUT.isdisjoint(combinations(edit.source) + combinations(edit.target))


def test_every_test_source_shows_a_held_out_combination() -> None:
    assert all(combinations(scene("test", i))[0] in HELD_OUT for i in range(2000))
    assert all(combinations(pair("test", i).source)[0] in HELD_OUT for i in range(2000))


def test_held_out_set_is_spread_evenly() -> None:
    total = len(KINDS) * len(COLOURS) * len(BACKGROUNDS)
    assert 0.14 < len(HELD_OUT) / total < 0.16
    for place, values in enumerate((KINDS, COLOURS, BACKGROUNDS)):
        counts = Counter(combination[place] for combination in HELD_OUT)
        shares = [counts[value] * len(values) / total for value in values]
        assert min(shares) > 0.1
        assert max(shares) < 0.21
    for a, b in ((0, 1), (0, 2), (1, 2)):
        pairs = Counter((combination[a], combination[b]) for combination in HELD_OUT)
        assert max(pairs.values()) <= 3


def test_train_shows_every_value_plentifully() -> None:
    shown = [c for i in range(3000) for c in combinations(scene("train", i))]
    for place, values in enumerate((KINDS, COLOURS, BACKGROUNDS)):
        counts = Counter(combination[place] for combination in shown)
        assert min(counts[value] for value in values) > 0.6 * len(shown) / len(values)


def test_scenes_are_not_repeated() -> None:
    drawn = {scene(split, i) for split in ("train", "dev", "test") for i in range(1500)}
    assert len(drawn) > 4490  # chance may repeat one
    assert {caption(scene("train", i)) for i in range(50)} != {
        caption(scene("dev", i)) for i in range(50)
    }


def test_two_things_are_of_two_kinds() -> None:
    for index in range(1000):
        things = scene("train", index).things
        assert len({thing.kind for thing in things}) == len(things)


def test_wrong_split_and_index_say_what_is_right() -> None:
    with pytest.raises(ValueError, match="'train', 'dev', 'test'"):
        scene("val", 0)
    with pytest.raises(ValueError, match="at least 0"):
        scene("dev", -1)
