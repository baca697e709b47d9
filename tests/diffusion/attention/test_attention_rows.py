import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icd_bench.diffusion.attention import Row, edit_rows, split_rows


def test_rows_are_sample_major_with_the_source_first():
    assert edit_rows(2, 2) == [
        Row(0),
        Row(0, 0),
        Row(0, 1),
        Row(1),
        Row(1, 0),
        Row(1, 1),
    ]


def test_a_batch_that_fits_is_not_split():
    assert split_rows(edit_rows(2, 2), 6) == [[0, 1, 2, 3, 4, 5]]


def test_a_split_between_samples_is_preferred():
    assert split_rows(edit_rows(3, 2), 7) == [[0, 1, 2, 3, 4, 5], [6, 7, 8]]


def test_the_source_heads_every_part_of_a_sample_that_does_not_fit():
    assert split_rows(edit_rows(1, 5), 3) == [[0, 1, 2], [0, 3, 4], [0, 5]]


def test_no_room_for_a_target_is_an_error():
    with pytest.raises(ValueError, match="at least 2"):
        split_rows(edit_rows(1, 2), 1)


@settings(deadline=None)
@given(
    samples=st.integers(1, 4),
    settings=st.integers(0, 6),
    max_rows=st.integers(2, 12),
    guided=st.booleans(),
)
def test_every_target_meets_its_source_and_no_row_is_lost(samples, settings, max_rows, guided):
    rows = edit_rows(samples, settings)
    if guided:
        rows += [Row(r.sample, r.setting, False) for r in rows if r.setting is not None]
    batches = split_rows(rows, max_rows)
    assert {p for batch in batches for p in batch} == set(range(len(rows)))
    for batch in batches:
        assert len(batch) <= max_rows
        assert len(set(batch)) == len(batch)
        present = {rows[p] for p in batch}
        for row in present:
            if row.conditional and row.setting is not None:
                assert Row(row.sample) in present
    targets = [p for batch in batches for p in batch if rows[p].setting is not None]
    assert len(targets) == len(set(targets))
