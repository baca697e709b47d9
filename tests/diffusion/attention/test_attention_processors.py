import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor

from icd_bench.diffusion.attention import AttentionControl, Layer, controlled
from icd_bench.diffusion.attention.processors import attention_layers
from icd_bench.errors import UsageError


def forward(unet, tokens=7):
    torch.manual_seed(1)
    with torch.no_grad():
        return unet(
            torch.randn(2, 4, 8, 8).double(), 500, torch.randn(2, tokens, 16).double()
        ).sample


class Diary(AttentionControl):
    def __init__(self):
        self.entries = []

    def self_attention(self, layer, q, k, v):
        self.entries.append((layer, q.shape[-2], k.shape[-2]))
        return super().self_attention(layer, q, k, v)

    def cross_attention(self, layer, q, k, v):
        self.entries.append((layer, q.shape[-2], k.shape[-2]))
        return super().cross_attention(layer, q, k, v)


def test_the_neutral_control_changes_nothing(unet):
    plain = forward(unet)
    with controlled(unet, AttentionControl()):
        torch.testing.assert_close(forward(unet), plain, atol=1e-5, rtol=1e-5)


def test_layers_come_in_the_order_of_execution(unet):
    diary = Diary()
    with controlled(unet, diary):
        forward(unet)
    assert [layer for layer, _, _ in diary.entries] == attention_layers(unet)
    parts = [layer.part for layer in attention_layers(unet)]
    assert parts == ["down"] * 4 + ["mid"] * 2 + ["up"] * 8
    blocks = [layer.block for layer in attention_layers(unet)]
    assert blocks == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    sizes = [queries for _, queries, _ in diary.entries]
    assert sizes == [64, 64, 16, 16, 16, 16, 16, 16, 16, 16, 64, 64, 64, 64]
    keys = [keys for _, _, keys in diary.entries]
    assert keys == [64, 7, 16, 7, 16, 7, 16, 7, 16, 7, 64, 7, 64, 7]


def test_processors_are_put_back(unet):
    before = unet.attn_processors
    with controlled(unet, AttentionControl()):
        assert unet.attn_processors != before
    assert unet.attn_processors == before


def test_processors_of_others_are_put_back(unet):
    before = unet.attn_processors
    mine = AttnProcessor()
    unet.set_attn_processor(mine)
    try:
        with controlled(unet, AttentionControl()):
            forward(unet)
        assert set(unet.attn_processors.values()) == {mine}
    finally:
        unet.set_attn_processor(before)


def test_processors_are_put_back_after_an_error(unet):
    class Failing(AttentionControl):
        def cross_attention(self, layer: Layer, q, k, v):
            raise ZeroDivisionError(layer.name)

    before, plain = unet.attn_processors, forward(unet)
    with pytest.raises(ZeroDivisionError), controlled(unet, Failing()):
        forward(unet)
    assert unet.attn_processors == before
    assert torch.equal(forward(unet), plain)


def test_a_mask_is_refused(unet):
    with controlled(unet, AttentionControl()), pytest.raises(UsageError, match="attention mask"):
        unet(
            torch.zeros(1, 4, 8, 8).double(),
            500,
            torch.zeros(1, 7, 16).double(),
            encoder_attention_mask=torch.ones(1, 7),
        )


def test_layers_that_normalise_are_refused(unet):
    attn = unet.get_submodule(attention_layers(unet)[0].name)
    attn.norm_q = torch.nn.Identity()
    try:
        before = unet.attn_processors
        with (
            pytest.raises(UsageError, match=r"attn1.*normalises"),
            controlled(unet, AttentionControl()),
        ):
            pass
        assert unet.attn_processors == before
    finally:
        attn.norm_q = None


def test_sdxl_shaped_networks_are_controlled():
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        transformer_layers_per_block=(1, 2),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=64,
        cross_attention_dim=16,
        attention_head_dim=(2, 4),
        norm_num_groups=8,
    ).eval()
    added = {"text_embeds": torch.randn(2, 16), "time_ids": torch.ones(2, 6)}
    x, text, diary = torch.randn(2, 4, 8, 8), torch.randn(2, 7, 16), Diary()
    with torch.no_grad():
        plain = unet(x, 500, text, added_cond_kwargs=added).sample
        with controlled(unet, diary):
            edited = unet(x, 500, text, added_cond_kwargs=added).sample
    torch.testing.assert_close(edited, plain, atol=1e-5, rtol=1e-5)
    assert [layer for layer, _, _ in diary.entries] == attention_layers(unet)
    assert max(layer.block for layer in attention_layers(unet)) == 2 + 2 + 4 - 1
