from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from icd_bench.gate.baseline import read_baseline
from icd_bench.gate.decision import decide, overall_verdicts, weigh, worst_of
from icd_bench.gate.simulate import SHAPES, SHIPPED_CHECKS, scores_of, simulate, simulation_table
from icd_bench.run.planning.subsets import SUBSETS

EACH = list(range(40))


def test_a_known_case() -> None:
    changes = np.tile([-1.0, 0.0, 1.0, 0.0], 10)
    found = weigh(changes, 0.5, EACH)
    error = changes.std(ddof=1) / np.sqrt(40)
    assert found.change == 0
    assert found.low == pytest.approx(-1.684875 * error, rel=1e-5)
    assert found.high == pytest.approx(1.684875 * error, rel=1e-5)
    assert found.score == pytest.approx(0.5 / error)


@pytest.mark.parametrize(
    ("mean", "verdict"), [(0.0, "pass"), (-0.5, "inconclusive"), (-1.2, "fail")]
)
def test_verdicts(mean: float, verdict: str) -> None:
    changes = np.tile([-1.0, 0.0, 1.0, 0.0], 10) + mean
    assert decide([weigh(changes, 0.5, EACH)])[0] == [verdict]


def test_more_checks_need_more_to_fail_but_not_to_pass() -> None:
    worse = weigh(np.tile([-1.0, 0.0, 1.0, 0.0], 10) - 0.75, 0.5, EACH)
    fine = weigh(np.tile([-1.0, 0.0, 1.0, 0.0], 10), 0.5, EACH)
    assert decide([worse])[0] == ["fail"]
    verdicts, p_values = decide([worse, *[fine] * 11])
    assert verdicts[0] == "inconclusive"
    assert verdicts[1:] == ["pass"] * 11
    assert p_values[0] == pytest.approx(12 * decide([worse])[1][0])


def test_few_pictures_claim_nothing_unless_nothing_changed() -> None:
    assert decide([weigh([0.0] * 3, 0.5, EACH[:3])])[0] == ["pass"]
    assert decide([weigh([9.0] * 3, 0.5, EACH[:3])])[0] == ["inconclusive"]
    assert decide([weigh([-9.0] * 9, 0.5, EACH[:9])])[0] == ["inconclusive"]
    assert decide([weigh([-9.0] * 10, 0.5, EACH[:10])])[0] == ["fail"]
    assert decide([weigh([], 0.5, [])])[0] == ["inconclusive"]


def test_infinite_losses_fail_and_infinite_gains_do_not_hide_losses() -> None:
    assert decide([weigh([0.0] * 39 + [-np.inf], 0.5, EACH)])[0] == ["fail"]
    assert decide([weigh([-2.0] * 39 + [np.inf], 0.5, EACH)])[0] == ["fail"]


def test_many_trials_at_once_are_decided_like_one() -> None:
    rng = np.random.default_rng(0)
    changes = rng.normal(-0.25, 1, size=(60, 3, 40))
    at_once = overall_verdicts(scores_of(changes, 0.5), 39)
    singly = [
        worst_of(decide([weigh(check, 0.5, EACH) for check in trial])[0]) for trial in changes
    ]
    assert list(at_once) == singly
    assert len(set(singly)) > 1


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_have_mean_0_and_variance_1(shape: str) -> None:
    rng = np.random.default_rng(1)
    drawn = SHAPES[shape](rng.standard_normal(200_000), rng)
    assert drawn.mean() == pytest.approx(0, abs=0.02)
    assert drawn.var() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_shipped_subset_is_large_enough(shape: str) -> None:
    unchanged = simulate(shape, SUBSETS["ci"], 0.0, trials=500)
    assert unchanged.failed <= 0.05
    assert unchanged.passed >= 0.92
    lost = simulate(shape, SUBSETS["ci"], 2.0, trials=500)
    assert lost.failed >= 0.9
    assert lost.passed == 0


def test_the_table_covers_the_shipped_baseline() -> None:
    shipped = read_baseline(Path(__file__).parents[2] / "baselines" / "scenes-ci.json")
    assert len({task.source for task in shipped.samples.values()}) == SUBSETS["ci"]
    assert len(shipped.checked) * len(shipped.arms) == SHIPPED_CHECKS


def test_a_loss_of_the_margin_is_rarely_failed_or_passed() -> None:
    found = simulate("normal", 50, 1.0, trials=500)
    assert found.failed <= 0.05
    assert found.passed <= 0.09


def test_the_table_has_a_line_for_each_case() -> None:
    lines = list(simulation_table(((20, 12),), trials=20))
    assert len(lines) == 2 + len(SHAPES) * 3
    assert len({line.count("|") for line in lines}) == 1
