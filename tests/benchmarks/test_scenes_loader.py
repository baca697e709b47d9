"""The scenes as a benchmark."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np
import pytest

from icd_bench.api import Benchmark, Sample
from icd_bench.benchmarks.scenes.captions import parse
from icd_bench.benchmarks.scenes.loader import SAMPLES, Scenes
from icd_bench.benchmarks.scenes.samples import training_pairs
from icd_bench.errors import UsageError


def first(split: str | None, count: int) -> list[Sample]:
    found = list(islice(Scenes(split=split).samples(), count))
    samples = [sample for sample in found if isinstance(sample, Sample)]
    assert len(samples) == len(found)
    return samples


def test_it_is_a_benchmark() -> None:
    assert isinstance(Scenes(), Benchmark)
    assert Scenes.info.resolution == 64


def test_samples_are_complete() -> None:
    samples = first(None, SAMPLES + 1)
    assert len(samples) == SAMPLES
    assert samples[42].id == "scenes-1-test-000042"
    assert len({sample.id for sample in samples}) == SAMPLES
    assert len({sample.digest for sample in samples}) == SAMPLES
    assert len({sample.category for sample in samples[:10]}) == 10


def test_a_sample_holds_together() -> None:
    for sample in first("dev", 20):
        assert sample.read_mask is not None
        assert sample.read_target is not None
        image, target, mask = sample.read_image(), sample.read_target(), sample.read_mask()
        assert image.shape == target.shape == (64, 64, 3)
        assert image.dtype == target.dtype == np.uint8
        assert (image == target)[~mask].all()
        assert (image != target).any()
        assert len(sample.digest) == 64
        assert "[" not in sample.source_prompt + sample.target_prompt
        assert "[" in sample.metadata["source_bracketed"] + sample.metadata["target_bracketed"]
        assert json.loads(json.dumps(dict(sample.metadata))) == sample.metadata
        assert (
            parse(sample.source_prompt).background
            == (sample.metadata["source_attributes"]["background"])
        )


def test_digests_and_pictures_are_the_same_every_time() -> None:
    for one, two in zip(first("test", 12), first("test", 12), strict=True):
        assert one.digest == two.digest
        assert (one.read_image() == two.read_image()).all()


def test_training_pairs() -> None:
    whole = list(training_pairs("train", 0, 6))
    part = list(training_pairs("train", 4, 6))
    assert [text for _, text in whole[4:]] == [text for _, text in part]
    assert (whole[5][0] == part[1][0]).all()


def test_wrong_arguments_say_what_is_right() -> None:
    with pytest.raises(UsageError, match="train, dev, test"):
        Scenes(split="validation")
    with pytest.raises(UsageError, match="leave it out"):
        Scenes("somewhere")
