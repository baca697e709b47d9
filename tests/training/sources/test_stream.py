"""The order of rows: seeded, shared, resumable; what cannot be used is counted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tiny_pipelines import SIDE, write_pictures

from icd_bench.errors import BadSample, UsageError
from icd_bench.training.batch import WHOLE, Share
from icd_bench.training.data.fit import fit_picture
from icd_bench.training.data.rows import Columns, LazyRows, Row
from icd_bench.training.data.source import open_source
from icd_bench.training.data.stream import Place, Stream, left_out


class Numbers:
    """Shards of numbered rows that are not pictures; some cannot be read."""

    def __init__(self, sizes: Sequence[int], window: int = 3, bad: Sequence[str] = ()) -> None:
        self.sizes, self.window, self.bad = sizes, window, bad

    @property
    def shards(self) -> int:
        return len(self.sizes)

    def windows(self, shard: int) -> Iterator[Sequence[Row]]:
        for start in range(0, self.sizes[shard], self.window):
            size = min(self.window, self.sizes[shard] - start)
            yield LazyRows(size, partial(self.row, shard, start))

    def row(self, shard: int, start: int, index: int) -> Row:
        name = f"{shard}-{start + index}"

        def load() -> tuple[bytes, list[str]]:
            if name in self.bad:
                raise BadSample(name, "image", "torn")
            return PNG, [name, f"{name} again"]

        return Row(name, load)


PNG = (Path(__file__).parents[2] / "data" / "photos" / "cat.jpg").read_bytes()


def stream(source: Numbers, share: Share = WHOLE, seed: int = 0) -> Stream:
    return Stream(source, 4, "squash", seed, share, workers=1)


def order(source: Numbers, count: int, share: Share = WHOLE, seed: int = 0) -> list[str]:
    """Names of the next rows, without reading them."""
    rows = stream(source, share, seed)._order(Place())
    return [row.where for _, row in islice(rows, count)]


def test_an_epoch_visits_each_row_once_in_an_order_of_its_own() -> None:
    source = Numbers([4, 5])
    first, second = order(source, 18)[:9], order(source, 18)[9:]
    assert sorted(first) == sorted(second)
    assert len(set(first)) == 9
    assert first != second
    assert order(source, 9) == first
    assert order(source, 9, seed=1) != first


@pytest.mark.parametrize("sizes", [[8], [4, 4], [2, 2, 2, 2]])
def test_processes_share_an_epoch(sizes: list[int]) -> None:
    source = Numbers(sizes, window=4)
    shares = [order(source, 4, Share(i, 2)) for i in range(2)]
    assert sorted(shares[0] + shares[1]) == sorted(order(source, 8))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 7), min_size=1, max_size=4), st.integers(1, 4), st.integers(1, 3),
    st.integers(0, 40),
)  # fmt: skip
def test_any_place_is_gone_on_from(sizes: list[int], window: int, of: int, stop: int) -> None:
    assume(len(sizes) >= of or min(window, *sizes) >= of)
    source, share = Numbers(sizes, window), Share(of - 1, of)
    begun = stream(source, share)
    whole = list(islice(begun._order(Place()), stop + 6))
    place = whole[stop - 1][0] if stop else Place()
    rest = [row.where for _, row in islice(begun._order(place), 6)]
    assert rest == [row.where for _, row in whole[stop:]]


def test_state_goes_on_after_the_last_row_given_not_after_those_read_ahead() -> None:
    source = Numbers([6, 6], bad=["0-1", "1-3"])
    begun = stream(source)
    begun.take(7)
    state = json.loads(json.dumps(begun.state()))
    expected = [begun.take(1)[1] for _ in range(15)]
    again = stream(source)
    again.load(state)
    assert [again.take(1)[1] for _ in range(15)] == expected
    assert again.state() == begun.state()


def test_bad_rows_are_left_out_and_counted() -> None:
    source = Numbers([6], bad=["0-1", "0-4"])
    reader = stream(source)
    captions = [reader.take(1)[1][0] for _ in range(8)]
    assert sorted(captions[:4]) == ["0-0", "0-2", "0-3", "0-5"]
    assert all(caption.endswith("again") for caption in captions[4:])
    reader.take(1)
    assert left_out([reader.state()])["image"] >= 4
    assert "torn" in reader.bad["image"]["first"][0]


def test_data_of_which_nothing_can_be_used_are_refused() -> None:
    with pytest.raises(UsageError, match=r"no row of the data can be used; one of them: .*torn"):
        stream(Numbers([2], bad=["0-0", "0-1"])).take(1)
    with pytest.raises(UsageError, match="hold no row for this process"):
        stream(Numbers([1]), Share(1, 2)).take(1)


def test_pictures_come_at_the_models_resolution(tmp_path: Path) -> None:
    source = open_source(str(write_pictures(tmp_path / "data")), Columns())
    pictures, captions = Stream(source, SIDE).take(3)
    assert pictures.shape == (3, 3, SIDE, SIDE)
    assert 0 <= float(pictures.min()) < float(pictures.max()) <= 1
    assert len(captions) == 3


def test_crop_takes_the_middle_and_squash_everything() -> None:
    wide = np.zeros((4, 12, 3), np.uint8)
    wide[:, :4, 0] = wide[:, 4:8, 1] = wide[:, 8:, 2] = 255
    cropped, squashed = (fit_picture(wide, 3, fit).float() for fit in ("crop", "squash"))
    assert torch.equal(cropped.flatten(1).mean(1), torch.tensor([0.0, 255.0, 0.0]))
    assert (squashed.flatten(1).mean(1) > 50).all()
