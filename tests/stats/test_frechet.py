"""Frechet distance: closed forms, the textbook's matrix root, and its interval."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from icd_bench.stats.frechet import (
    Gaussian,
    _FewSamples,
    _root,
    frechet_distance,
    frechet_interval,
)


def features(seed: int, count: int = 200, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(count, 5)) @ rng.normal(size=(5, 5)) + shift).astype(np.float32)


def test_one_dimension_has_a_closed_form() -> None:
    a = Gaussian(np.array([1.0]), np.array([[4.0]]))
    b = Gaussian(np.array([3.0]), np.array([[9.0]]))
    assert frechet_distance(a, b) == pytest.approx((1 - 3) ** 2 + (2 - 3) ** 2)


def test_it_agrees_with_the_matrix_root_of_the_product() -> None:
    a, b = Gaussian.of(features(0)), Gaussian.of(features(1, shift=0.3))
    root = sqrtm(a.covariance @ b.covariance).real
    expected = np.square(a.mean - b.mean).sum() + np.trace(a.covariance + b.covariance - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-6)


def test_a_set_has_no_distance_to_itself_whatever_its_order() -> None:
    rows = features(2)
    assert frechet_distance(Gaussian.of(rows), Gaussian.of(rows[::-1])) == pytest.approx(
        0, abs=1e-6
    )


def test_counts_are_repeated_rows() -> None:
    rows, counts = features(3, 4), np.array([2.0, 0.0, 1.0, 3.0])
    repeated = Gaussian.of(np.repeat(rows, counts.astype(int), axis=0))
    counted = Gaussian.of(rows, counts)
    np.testing.assert_allclose(counted.mean, repeated.mean)
    np.testing.assert_allclose(counted.covariance, repeated.covariance)


def test_the_interval_is_around_the_distance_and_narrows_with_samples() -> None:
    reference = Gaussian.of(features(4, 5000))
    few, many = (frechet_interval(features(4, n, shift=1.0), reference) for n in (100, 1600))
    assert few.low < few.value < few.high
    assert many.high - many.low < (few.high - few.low) / 2


def test_few_samples_of_many_features_have_the_same_draws() -> None:
    rng = np.random.default_rng(5)
    rows, others = rng.normal(size=(20, 30)) + 0.2, rng.normal(size=(200, 30))
    reference = Gaussian.of(others)
    root = _root(reference.covariance)
    few = _FewSamples.of(rows, reference, root)
    for counts in (np.ones(20), rng.multinomial(20, np.full(20, 0.05)).astype(float)):
        slow = frechet_distance(Gaussian.of(rows, counts), reference)
        assert few.distance(counts) == pytest.approx(slow, rel=1e-6)
    found = frechet_interval(rows, reference)
    assert found.value == pytest.approx(frechet_distance(Gaussian.of(rows), reference), rel=1e-6)
    assert 0 < found.low < found.value < found.high
