"""Bars, the model card, and the shipped folder."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import open_clip
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors import safe_open

from icd_bench.diffusion.backbone import Backbone
from icd_bench.diffusion.timestep_sets import timestep_set
from icd_bench.models import find_model
from icd_bench.training.scenes.bars import Measurement, asked, follow, in_parts
from icd_bench.training.scenes.card import StageRecord, card, write_card

FIGURES = {
    "autoencoder_psnr": 31.0,
    "clip_choice_of_32": 0.96,
    "generated_kind": 0.84,
    "generated_colour": 0.86,
    "generated_background": 0.85,
    "ddim50_psnr": 29.0,
    "icd_4a_psnr": 25.9,
    "true_kind": 0.99,
}
STAGE = StageRecord("autoencoder", 1750, 16, 0, 27.0)
SHIPPED = Path(find_model("scenes").folder_of("unet")).parent


def test_bars_compare_each_figure_with_its_own_limit() -> None:
    met = {bar.name: bar.met for bar in Measurement(512, FIGURES).bars}
    assert met == {
        "autoencoder_psnr": True,
        "clip_choice_of_32": True,
        "generated_kind": False,
        "generated_colour": True,
        "generated_background": True,
        "ddim50_psnr": True,
        "icd_4a_psnr": False,
    }


def test_the_card_states_figures_and_what_is_missing(tmp_path: Path) -> None:
    write_card(tmp_path, [STAGE], Measurement(512, FIGURES))
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "25.90 dB | 26.00 dB | **no**" in text
    assert "Not reached yet: generated at guidance 4: kinds right; iCD 4 + 4" in text
    assert "autoencoder | 1,750 | 16 | 0 | 27" in text
    record = json.loads((tmp_path / "bars.json").read_text(encoding="utf-8"))
    assert record["bars"]["icd_4a_psnr"] == {"value": 25.9, "least": 26.0, "met": False}
    assert record["scenes"] == 512


def test_the_card_says_when_nothing_is_missing() -> None:
    better = FIGURES | {"generated_kind": 0.9, "icd_4a_psnr": 28.0}
    assert "Every bar is met." in card([STAGE], Measurement(512, better))


def test_parts_come_back_in_order_and_without_gradients() -> None:
    threads = set()

    def work(rows: slice) -> torch.Tensor:
        threads.add(threading.get_ident())
        assert not torch.is_grad_enabled()
        return torch.arange(rows.start, rows.stop)

    assert in_parts(work, 100).tolist() == list(range(100))
    assert threading.get_ident() not in threads


def test_following_jumps_there_and_back_keeps_the_latents(small: Backbone) -> None:
    latents = torch.randn(2, *small.latent_shape, generator=torch.Generator().manual_seed(0))
    text = small.encode_prompts(["a cat", "a dog"])
    jumps = asked(timestep_set("4a").forward[:1])
    back = [(s, t, told) for t, s, told in jumps]
    up = follow(small, "base", latents, text, jumps)
    assert not torch.allclose(up, latents, atol=0.1)
    again = follow(small, "base", up, text, back)
    assert (again - latents).abs().mean() < (up - latents).abs().mean()


def test_the_shipped_folder_is_small_and_half_precision() -> None:
    files = [file for file in SHIPPED.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 60e6
    weights = [file for file in files if file.suffix == ".safetensors"]
    assert len(weights) >= 8
    for file in weights:
        with safe_open(file, framework="pt") as content:
            kinds = {content.get_slice(key).get_dtype() for key in content.keys()}  # noqa: SIM118
        assert kinds <= {"F16", "I64"}, file
    assert not [file for file in files if file.suffix in {".bin", ".pt", ".ckpt"}]


def test_the_shipped_folder_is_a_diffusers_pipeline() -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(
        SHIPPED, torch_dtype=torch.float32, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    made = pipeline(
        "a small red metal car facing left in the centre at the beach",
        num_inference_steps=4,
        guidance_scale=4.0,
        height=64,
        width=64,
        output_type="np",
        generator=torch.Generator().manual_seed(0),
    ).images
    assert made.shape == (1, 64, 64, 3)
    assert made.std() > 0.05


def test_the_shipped_clip_loads_with_open_clip() -> None:
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{SHIPPED / 'clip'}")
    tokens = open_clip.get_tokenizer(f"local-dir:{SHIPPED / 'clip'}")(["a red car", "a zebra"])
    with torch.no_grad():
        assert model.encode_text(tokens).shape == (2, 128)


def test_the_shipped_card_holds_every_bar() -> None:
    record = json.loads((SHIPPED / "bars.json").read_text(encoding="utf-8"))
    bars = Measurement(record["scenes"], record["figures"]).bars
    assert set(record["bars"]) == {bar.name for bar in bars}
    for bar in bars:
        assert record["bars"][bar.name]["value"] == pytest.approx(bar.value)
        assert record["bars"][bar.name]["met"] == bar.met
