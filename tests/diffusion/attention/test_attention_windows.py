import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icd_bench.diffusion.attention.alignment import read_prompt
from icd_bench.diffusion.attention.windows import cross_window, self_window
from icd_bench.errors import BadSetting


def nowhere(word):
    return []


def test_golden_cross_windows(golden, tokenizer):
    case = golden("schedules")
    compared = 0
    for n, row in enumerate(case.settings["cross"]):
        if row["raises"]:
            continue
        steps, targets = row["num_steps"], row["prompts"][1:]
        ours = [
            cross_window(
                steps, row["cross_replace_steps"], read_prompt(tokenizer, t, 77).positions, 77
            )
            for t in targets
        ]
        expected = case.tensors[f"alpha_{n:02d}"][:steps]
        assert torch.equal(torch.stack(ours, dim=1), expected), row
        compared += 1
    assert compared == 13


def test_golden_self_windows(golden):
    rows = [row for row in golden("schedules").settings["self"] if not row["raises"]]
    assert len(rows) == 8
    for row in rows:
        assert self_window(row["num_steps"], row["self_replace_steps"]) == range(*row["steps"])


def test_a_whole_number_is_a_number():
    assert self_window(10, 1) == range(10)
    assert cross_window(10, 1, nowhere, 5).equal(torch.ones(10, 5))


@pytest.mark.parametrize("window", [-0.1, 1.5, (0.2, 1.1), float("nan")])
def test_bounds_outside_of_the_steps_are_refused(window):
    with pytest.raises(BadSetting, match="between 0 and 1"):
        self_window(4, window)
    with pytest.raises(BadSetting, match="between 0 and 1"):
        cross_window(4, {"cat": window}, nowhere, 5)


@settings(deadline=None)
@given(steps=st.integers(1, 60), share=st.floats(0, 1))
def test_windows_grow_with_their_share(steps, share):
    assert len(self_window(steps, share)) == int(share * steps)
    active = cross_window(steps, share, nowhere, 3)
    assert active.sum(0).tolist() == [min(int(share * (steps + 1)), steps)] * 3
    assert active.equal(active.sort(dim=0, descending=True).values)
