"""Networks that are told more than words."""

from __future__ import annotations

from types import SimpleNamespace

import diffusers
import pytest
import torch
from golden_cases import assert_close
from torch import Tensor

from icd_bench.diffusion.attention import Row
from icd_bench.diffusion.backbone import Backbone
from icd_bench.diffusion.text_conditions import pack_text, unpack_text

R, L, D, P = 3, 6, 16, 10


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))


def xl_unet() -> diffusers.UNet2DConditionModel:
    torch.manual_seed(0)
    return diffusers.UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(8, 8),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=D,
        attention_head_dim=2,
        norm_num_groups=4,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=P + 6 * 4,
    ).eval()


def test_networks_of_sdxl_get_pooled_text_and_sizes(
    small: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    unet = xl_unet()
    monkeypatch.setattr(small, "networks", lambda _: unet)
    latents, states, pooled = noise(R, 4, 16, 16), noise(R, L, D), noise(R, P)

    rows = [Row(sample) for sample in range(R)]
    prediction = small.network("base")(latents, 500, pack_text(states, pooled), rows)

    side = float(small.resolution)
    times = torch.tensor([[side, side, 0.0, 0.0, side, side]] * R)
    with torch.no_grad():
        expected = unet(
            latents, 500, states, added_cond_kwargs={"text_embeds": pooled, "time_ids": times}
        ).sample
        other = unet(
            latents, 500, states, added_cond_kwargs={"text_embeds": pooled * 2, "time_ids": times}
        ).sample
    assert_close(prediction, expected, 1e-6)
    assert (prediction - other).abs().max() > 1e-4


def test_other_networks_get_the_text_as_it_is() -> None:
    text = noise(R, L, D)
    assert unpack_text(SimpleNamespace(addition_embed_type=None), text, 64) == (text, None)
