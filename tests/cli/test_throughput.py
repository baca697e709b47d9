"""The command on the embedded model and on a random one that is shrunk to nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from icd_bench.cli.app import main
from icd_bench.throughput import random_models
from icd_bench.throughput.measure import flops_per_row, measure, seconds_per_row
from icd_bench.throughput.random_models import random_backbone

TINY_UNET = {"block_out_channels": (32, 32, 32, 32), "norm_num_groups": 8, "attention_head_dim": 4}
TINY_XL = {
    "block_out_channels": (32, 32, 32),
    "norm_num_groups": 8,
    "transformer_layers_per_block": (1, 1, 1),
    "attention_head_dim": 4,
}
TINY_VAE = {"block_out_channels": (8, 8, 8, 8), "norm_num_groups": 4}
TINY_TEXT = {"num_hidden_layers": 1, "intermediate_size": 8}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, changes in (
        ("_SD15_UNET", TINY_UNET),
        ("_SDXL_UNET", TINY_XL),
        ("_VAE", TINY_VAE),
        ("_CLIP_L", TINY_TEXT),
        ("_CLIP_BIG_G", TINY_TEXT),
    ):
        monkeypatch.setattr(random_models, name, getattr(random_models, name) | changes)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("name", ["sd15-random", "sdxl-random"])
def test_a_random_model_edits_at_any_resolution(name: str) -> None:
    backbone = random_backbone(name, "cpu", torch.float32, resolution=64)
    assert backbone.latent_shape == (4, 8, 8)
    found = measure(backbone, samples=2, settings=3, seconds=0)
    sources = 0 if backbone.family == "sdxl" else 4
    assert (found.edits, found.rows) == (6, 2 * (4 + sources + 4 * 3))
    assert 0 < found.unet_share < 1
    assert found.flops == flops_per_row(backbone) * found.rows > 0
    assert found.peak_memory > 0
    assert seconds_per_row(backbone, "icd_forward:4a", 2, times=1) > 0


def ask(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main(["throughput", "--device", "cpu", "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_command_measures_each_batch_size(capsys: pytest.CaptureFixture[str]) -> None:
    found = ask(capsys, "--model", "scenes", "--batch-sizes", "1,2", "--seconds", "0")
    assert found["dtype"] == "float32"
    assert [one["samples"] for one in found["measured"]] == [1, 2]
    assert [one["rows"] for one in found["measured"]] == [12, 24]
    for one in found["measured"]:
        assert one["edits_per_second"] == pytest.approx(one["edits"] / one["seconds"])
        assert 0 < one["matrix_share"] < 1.5


@pytest.mark.usefixtures("tiny")
def test_what_does_not_fit_ends_the_list(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def limited(backbone: Any, samples: int, settings: int, seconds: float) -> Any:
        if samples > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return measure(backbone, samples, settings, seconds)

    monkeypatch.setattr("icd_bench.throughput.measure.measure", limited)
    words = ("--model", "sd15-random", "--resolution", "64", "--seconds", "0")
    found = ask(capsys, *words, "--batch-sizes", "1,2,4")
    assert [one["samples"] for one in found["measured"]] == [1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--model", "sd15"), "sd15-random"),
        (("--batch-sizes", "1,x"), "give numbers"),
        (("--batch-sizes", "0"), "at least 1"),
        (("--resolution", "128"), "embedded model"),
        (("--model", "sd15-random", "--resolution", "100"), "multiple of 64"),
    ],
)
def test_wrong_words_are_refused(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["throughput", *words]) == 2
    assert message in capsys.readouterr().err
