from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from gate_runs import write_run

from icd_bench.cli.app import main
from icd_bench.errors import SignatureMismatch
from icd_bench.gate.decision import clusters_needed, detectable_difference
from icd_bench.gate.measure import measure
from icd_bench.gate.noise import noise_of, variance_components


def drawn(
    samples: float, seeds: float, repeats: float, shape: tuple[int, int, int]
) -> dict[tuple[str, int], list[float]]:
    """Draw scores with these standard deviations."""
    rng = np.random.default_rng(3)
    values = (
        20
        + samples * rng.normal(size=(shape[0], 1, 1))
        + seeds * rng.normal(size=(*shape[:2], 1))
        + repeats * rng.normal(size=shape)
    )
    return {
        (f"s{sample}", seed): list(values[sample, seed])
        for sample in range(shape[0])
        for seed in range(shape[1])
    }


def test_components_are_found() -> None:
    found = variance_components(drawn(3.0, 1.0, 0.5, (2000, 3, 2)))
    assert found.samples == pytest.approx(9.0, rel=0.1)
    assert found.seeds == pytest.approx(1.0, rel=0.1)
    assert found.repeats == pytest.approx(0.25, rel=0.1)


def test_components_are_found_where_seeds_are_uneven() -> None:
    scores = drawn(3.0, 1.0, 0.5, (4000, 3, 2))
    uneven = {
        (sample, seed): values[: 1 + int(sample[1:]) % 2]
        for (sample, seed), values in scores.items()
        if seed == 0 or int(sample[1:]) % 3
    }
    found = variance_components(uneven)
    assert found.samples == pytest.approx(9.0, rel=0.1)
    assert found.seeds == pytest.approx(1.0, rel=0.1)
    assert found.repeats == pytest.approx(0.25, rel=0.1)


def test_what_was_not_varied_is_unknown() -> None:
    found = variance_components(drawn(3.0, 1.0, 0.0, (50, 1, 1)))
    assert (found.seeds, found.repeats) == (None, None)
    assert found.samples is not None
    one = variance_components(drawn(3.0, 1.0, 0.0, (1, 1, 1)))
    assert (one.samples, one.seeds, one.repeats) == (None, None, None)


def test_sizes_and_differences_belong_together() -> None:
    for sd, difference, checks in ((1.0, 0.6, 12), (3.0, 0.5, 1), (0.1, 0.01, 40)):
        needed = clusters_needed(sd, difference, checks)
        assert detectable_difference(sd, needed, checks) <= difference
        assert detectable_difference(sd, needed - 1, checks) > difference
    assert clusters_needed(0.0, 0.1, 1) == 10


def noisy(method: str, seed: int, index: int) -> Sequence[float]:
    rng = np.random.default_rng([seed, index])
    return np.random.default_rng(index).normal(25, 3) + rng.normal(), 0.2


def test_seeds_of_several_runs_come_together(tmp_path: Path) -> None:
    runs = [
        measure(write_run(tmp_path / str(seed), seeds=(seed,), scores=noisy, samples=60))
        for seed in (0, 1)
    ]
    (psnr,) = noise_of(runs, ["psnr"])
    assert (psnr.samples, psnr.sources, psnr.seeds, psnr.measurements) == (60, 60, 2, 1)
    assert psnr.components.seeds == pytest.approx(1.0, rel=0.5)
    smallest = psnr.smallest_difference()
    assert smallest == pytest.approx(detectable_difference(psnr.difference_sd or 0, 60, 1))
    assert psnr.seeds_needed(smallest / 2) == 8
    assert (psnr.samples_needed(smallest / 2) or 0) > 200
    (alone,) = noise_of(runs[:1], ["psnr"])
    assert alone.smallest_difference() is None
    assert alone.seeds_needed(0.1) is None


def test_the_same_cells_measured_twice(tmp_path: Path) -> None:
    def elsewhere(method: str, seed: int, index: int) -> Sequence[float]:
        rng = np.random.default_rng([9, index])
        return noisy(method, seed, index)[0] + 0.1 * rng.normal(), 0.2

    runs = [
        measure(write_run(tmp_path / name, scores=scores, samples=60))
        for name, scores in (("a", noisy), ("b", elsewhere))
    ]
    (psnr,) = noise_of(runs, ["psnr"])
    assert psnr.measurements == 2
    assert psnr.components.repeats == pytest.approx(0.005, rel=0.5)


def test_other_protocols_are_not_noise(tmp_path: Path) -> None:
    runs = [
        measure(write_run(tmp_path / name, protocol=name, samples=5))
        for name in ("native", "other")
    ]
    with pytest.raises(SignatureMismatch, match="protocol"):
        noise_of(runs)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [str(write_run(tmp_path / str(seed), seeds=(seed,), scores=noisy)) for seed in (0, 1)]
    assert main(["noise", *runs, "--difference", "psnr=0.1", "--json"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert facts["wanted"] == 0.1
    assert facts["samples_needed"] > 30
    assert facts["seeds_needed"] > 2
    assert main(["noise", runs[0]]) == 0
    shown = capsys.readouterr()
    assert "unknown" in shown.out
    assert "--seed 1" in shown.err
    assert main(["noise", *runs, "--difference", "psnr=-1"]) == 2
    assert main(["noise", *runs, "--metric", "psnrr"]) == 2
    assert main(["noise", *runs, "--checks", "0"]) == 2
