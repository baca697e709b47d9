"""The backbone: what it encodes, predicts, counts and restores."""

from __future__ import annotations

import pytest
import torch
from golden_cases import GOLDEN, assert_close, read_case
from safetensors.torch import load_file

from icd_bench.diffusion.attention import AttentionControl, Row
from icd_bench.diffusion.backbone import Backbone
from icd_bench.errors import MissingWeights, UsageError
from icd_bench.models import ModelSpec

STORED = load_file(GOLDEN / "models_check" / "tiny-sd-icd.safetensors")


@pytest.mark.parametrize("t", [19, 499, 999])
def test_predictions(t: int, tiny_sd_icd: Backbone) -> None:
    text = STORED["embeds"][:1]
    eps = tiny_sd_icd.network("cfg_distilled")(STORED["x"], t, text, [Row(0)])
    assert_close(eps, STORED[f"eps_t{t}"], 1e-5)


def test_text_embeddings_are_those_of_the_reference(tiny_sd: Backbone) -> None:
    case = read_case("sdedit/edit")
    embedding = tiny_sd.encode_prompts([case.info["target_prompt"]])
    assert_close(embedding, case.tensors["embedding_target"], 1e-5)


def test_sizes(tiny_sd: Backbone, small: Backbone) -> None:
    assert (tiny_sd.resolution, tiny_sd.latent_shape) == (512, (4, 64, 64))
    assert (small.resolution, small.latent_shape) == (128, (4, 16, 16))
    sizes = tiny_sd.attention_sizes
    assert (sizes.self_tokens, sizes.blend) == (32 * 32, (16, 16))
    assert small.attention_sizes.self_tokens == 8 * 8


def test_pictures_become_the_posterior_mean(tiny_sd_icd: Backbone) -> None:
    """The stored 64-pixel picture, shown eight times in a row and column, as the VAE sees it."""
    vae = tiny_sd_icd.vae
    moments = vae.encode(STORED["image"]).latent_dist
    assert_close(moments.mean, STORED["vae_mean"], 1e-5)

    images = STORED["image"].repeat(1, 1, 8, 8) / 2 + 0.5
    latents = tiny_sd_icd.encode_images(images.clamp(0, 1))
    direct = vae.encode(images.clamp(0, 1) * 2 - 1).latent_dist.mean * 0.18215
    assert_close(latents, direct, 1e-6)


def test_decoded_pictures_lie_between_0_and_1(small: Backbone) -> None:
    latents = 20 * torch.randn(3, *small.latent_shape, generator=torch.Generator().manual_seed(0))
    images = small.decode_latents(latents)
    assert images.shape == (3, 3, 128, 128)
    assert images.min() == 0
    assert images.max() == 1


def test_pictures_of_another_size_are_refused(small: Backbone) -> None:
    with pytest.raises(UsageError, match="128"):
        small.encode_images(torch.zeros(1, 3, 64, 64))


def test_a_prompt_is_encoded_once(small: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    tokenize = small.text_encoder.tokenizer

    def spy(texts, **options):
        calls.extend(texts)
        return tokenize(texts, **options)

    monkeypatch.setattr(small.text_encoder, "tokenizer", spy)
    spy.model_max_length = tokenize.model_max_length
    first = small.encode_prompts(["a cat", "a dog", "a cat"])
    second = small.encode_prompts(["a dog", "a fox", "a cat"])
    assert calls == ["a cat", "a dog", "a fox"]
    assert first.shape == (3, 77, 32)
    assert second[2].equal(first[0])


def test_long_prompts_are_cut_with_a_warning(small: Backbone) -> None:
    long = "a cat " * 60
    assert small.encode_prompts([long]).shape == (1, 77, 32)
    (warning,) = small.prompt_warnings(long)
    assert "120 tokens" in warning
    assert "first 75" in warning
    assert small.prompt_warnings("a cat") == ()


def predict(backbone: Backbone, rows: list[Row], **options: object) -> torch.Tensor:
    network = backbone.network("cfg_distilled")
    generator = torch.Generator().manual_seed(len(rows))
    latents = torch.randn(len(rows), *backbone.latent_shape, generator=generator)
    return network(latents, 499, backbone.encode_prompts(["a cat"] * len(rows)), rows, **options)


def test_rows_are_counted_by_stage_and_owner(small: Backbone) -> None:
    with small.counting("inversion", samples=2) as inversion:
        predict(small, [Row(0), Row(1)])
    with small.counting("edit", samples=2, settings=3) as edit:
        predict(small, [Row(0), Row(0, 2), Row(0, 2, conditional=False), Row(1, 0)])
        predict(small, [Row(1)])
    assert inversion.shared == [1, 1]
    assert (edit.shared, edit.own) == ([1, 1], [[0, 0, 2], [1, 0, 0]])
    spent = {stage: (cost.calls, cost.rows) for stage, cost in small.cost.items()}
    assert spent == {"inversion": (1, 2), "edit": (2, 5)}


def test_guidance_scale_is_per_row_and_none_is_not_1(small: Backbone) -> None:
    rows = [Row(0), Row(1)]
    both = predict(small, rows, guidance_scale=torch.tensor([1.0, 8.0]))
    assert_close(both[:1], predict(small, rows, guidance_scale=1.0)[:1], 1e-5)
    assert_close(both[1:], predict(small, rows, guidance_scale=8.0)[1:], 1e-5)
    assert (predict(small, rows) - predict(small, rows, guidance_scale=1.0)).abs().max() > 0.01


def test_times_are_per_row(small: Backbone) -> None:
    network = small.network("base")
    latents = torch.ones(2, *small.latent_shape)
    text = small.encode_prompts(["a cat", "a cat"])
    rows = [Row(0), Row(1)]
    both = network(latents, torch.tensor([19, 999]), text, rows)
    assert_close(both[0], network(latents, 19, text, rows)[0], 1e-5)
    assert_close(both[1], network(latents, 999, text, rows)[1], 1e-5)


def test_guided_prediction_evaluates_unguided_rows_once(small: Backbone) -> None:
    network = small.network("base")
    latents = torch.ones(2, *small.latent_shape)
    text, null = small.encode_prompts(["a cat"] * 2), small.encode_prompts([""] * 2)
    rows = [Row(0), Row(0, 0)]
    scale = torch.tensor([1.0, 5.0])
    with small.counting("edit", samples=1, settings=1) as count:
        guided = network.guided(latents, 499, text, null, rows, guidance_scale=scale)
    conditional = network(latents, 499, text, rows)
    unconditional = network(latents, 499, null, rows)
    assert (count.shared, count.own) == ([1], [[2]])
    assert_close(guided[0], conditional[0], 1e-5)
    assert_close(guided[1], (5 * conditional - 4 * unconditional)[1], 1e-5)


class Negated(AttentionControl):
    """Turns every self-attention upside down."""

    def self_attention(self, layer, q, k, v):
        return -super().self_attention(layer, q, k, v)


def test_control_acts_inside_its_block_only(small: Backbone) -> None:
    before = predict(small, [Row(0)])
    with small.controlled(Negated()):
        inside = predict(small, [Row(0)])
        with small.controlled(AttentionControl()):
            assert_close(predict(small, [Row(0)]), before, 1e-5)
        assert_close(predict(small, [Row(0)]), inside, 1e-5)
    assert (inside - before).abs().max() > 0.01
    assert predict(small, [Row(0)]).equal(before)


def test_control_ends_with_an_error(small: Backbone) -> None:
    before = predict(small, [Row(0)])
    with pytest.raises(RuntimeError), small.controlled(Negated()):
        raise RuntimeError
    assert predict(small, [Row(0)]).equal(before)


def test_gradients_reach_inputs_but_no_weights(small: Backbone) -> None:
    network = small.network("base")
    text = small.encode_prompts([""]).requires_grad_()
    network(torch.ones(1, *small.latent_shape), 499, text, [Row(0)]).sum().backward()
    assert text.grad is not None
    assert all(weight.grad is None for weight in network.unet.parameters())


def test_a_network_without_weights_names_the_way_to_get_them(small: Backbone) -> None:
    with pytest.raises(MissingWeights, match="icd_forward:4b"):
        small.network("icd_forward:4b")
    with pytest.raises(MissingWeights, match="icd_reverse:3"):
        small.network("icd_reverse:3")


def test_half_precision_networks_take_and_return_float32(small_spec: ModelSpec) -> None:
    half = Backbone.load(small_spec, dtype="bfloat16")
    assert predict(half, [Row(0)]).dtype == torch.float32
    latents = half.encode_images(torch.rand(1, 3, 128, 128))
    assert latents.dtype == half.decode_latents(latents).dtype == torch.float32


@pytest.mark.parametrize("options", [{"device": "gpu"}, {"dtype": "float8"}])
def test_unknown_devices_and_dtypes_are_refused(
    options: dict[str, str], small_spec: ModelSpec
) -> None:
    with pytest.raises(UsageError, match="unknown"):
        Backbone.load(small_spec, **options)
