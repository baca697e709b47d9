"""Networks that are not shipped: random ones, loaded as the real ones, against their libraries."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import lpips
import numpy as np
import piq
import pytest
import torch
import torchvision
from agreement_table import agree
from metric_batches import make_sample, make_scored
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BitImageProcessor,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    PreTrainedTokenizerFast,
    ViTConfig,
    ViTModel,
)

from icd_bench import registry
from icd_bench.api import Scored
from icd_bench.errors import MissingWeights, UsageError
from icd_bench.metrics.convert import convert
from icd_bench.metrics.networks import NETWORKS, SQUEEZENET
from icd_bench.metrics.weights import HOME_VARIABLE, PACKAGED

WORDS = ["a", "red", "blue", "green", "ball"]


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    """An empty folder of weights, and a hub cache that has nothing."""
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(folder))
        patch.setattr("huggingface_hub.try_to_load_from_cache", lambda *names: None)
        yield folder


def loaded(name: str):
    metric = registry.metrics.load(name)()
    metric.load()
    return metric


def value_of(name: str, batch: Scored) -> np.ndarray:
    return loaded(name).score(batch)


@pytest.fixture(scope="module")
def pair() -> Scored:
    """Three pictures of 96x80 in 8-bit levels, edits of them, and masks."""
    generator = torch.Generator().manual_seed(2)
    coarse = torch.rand(3, 3, 8, 8, generator=generator)
    source = torch.nn.functional.interpolate(coarse, (96, 80), mode="bilinear")
    noise = torch.randn(3, 3, 96, 80, generator=generator)
    edited = (source + 0.2 * noise).clamp(0, 1)
    mask = torch.zeros(3, 1, 96, 80)
    mask[:, :, 20:60, 10:50] = 1
    samples = [make_sample(f"s{i}", prompt=f"a {WORDS[1 + i]} ball") for i in range(3)]
    levels = [(images * 255).round() / 255 for images in (source, edited)]
    return make_scored(levels[0], levels[1], mask=mask, samples=samples)


def pictures(images: torch.Tensor) -> list[Image.Image]:
    levels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(one) for one in levels]


# -------------------------------------------------------------------------------- LPIPS


@pytest.fixture(scope="module")
def vgg(home: Path) -> torch.nn.Sequential:
    torch.manual_seed(0)
    layers = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"])
    state = {f"features.{name}": tensor for name, tensor in layers.state_dict().items()}
    (home / "vgg16").mkdir()
    save_file({**state, "head.fc.weight": torch.zeros(1)}, home / "vgg16" / "model.safetensors")
    return layers


@pytest.fixture(scope="module")
def squeezenet(home: Path) -> torch.nn.Module:
    torch.manual_seed(1)
    network = torchvision.models.squeezenet1_1()
    (home / "squeezenet1_1").mkdir()
    save_file(network.state_dict(), home / "squeezenet1_1" / "model.safetensors")
    return network


@pytest.mark.filterwarnings("ignore:.*weight.*:UserWarning")
@torch.no_grad()
def test_lpips_vgg_agrees_with_the_package(vgg, pair, monkeypatch):
    found = SimpleNamespace(features=vgg)
    monkeypatch.setattr(lpips.pretrained_networks.tv, "vgg16", lambda **options: found)
    reference = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False)
    expected = reference(pair.source, pair.edited, normalize=True).flatten()
    assert expected.min() > 1e-3
    agree("lpips_vgg", "lpips 0.1.4", value_of("lpips_vgg", pair), expected, 1e-6)


@pytest.mark.filterwarnings("ignore:.*weight.*:UserWarning")
@torch.no_grad()
def test_lpips_squeeze_agrees_with_the_package(squeezenet, pair, monkeypatch):
    monkeypatch.setattr(lpips.pretrained_networks.tv, "squeezenet1_1", lambda **options: squeezenet)
    reference = lpips.LPIPS(net="squeeze", pnet_rand=True, verbose=False)
    expected = reference(pair.source, pair.edited, normalize=True).flatten()
    agree("lpips_squeeze", "lpips 0.1.4", value_of("lpips_squeeze", pair), expected, 1e-6)
    zeroed = [(1 - pair.mask) * images for images in (pair.source, pair.edited)]
    expected = reference(*zeroed, normalize=True).flatten()
    values = value_of("zeroed_lpips_squeeze", pair)
    agree("zeroed_lpips_squeeze", "lpips 0.1.4", values, expected, 1e-6)


@torch.no_grad()
def test_lpips_on_224_agrees_with_piq(vgg, pair):
    heads = load_file(PACKAGED / "lpips" / "vgg_heads.safetensors")
    reference = piq.ContentLoss(
        feature_extractor=vgg,
        layers=["3", "8", "15", "22", "29"],
        weights=[heads[f"lin{i}.weight"].view(1, -1, 1, 1) for i in range(5)],
        normalize_features=True,
        reduction="none",
    )
    small = [
        torch.stack(
            [
                torch.from_numpy(np.array(one.resize((224, 224)))).permute(2, 0, 1) / 255
                for one in pictures(images)
            ]
        )
        for images in (pair.source, pair.edited)
    ]
    expected = reference(*small)
    agree("lpips_vgg_224", "piq 0.8", value_of("lpips_vgg_224", pair), expected, 1e-4)


def test_ms_ssim_agrees_with_piq():
    generator = torch.Generator().manual_seed(4)
    a = torch.rand(3, 3, 176, 192, generator=generator)
    strength = torch.tensor([0.01, 0.2, 2.0]).view(3, 1, 1, 1)
    b = (a + strength * torch.randn(a.shape, generator=generator)).clamp(0, 1)
    expected = piq.multi_scale_ssim(a.double(), b.double(), reduction="none")
    values = value_of("ms_ssim", make_scored(a, b))
    agree("ms_ssim", "piq 0.8", values, expected, 1e-9)
    assert value_of("ms_ssim", make_scored(a, a)) == pytest.approx(1)


def test_ms_ssim_names_the_size_that_is_too_small(pair):
    with pytest.raises(UsageError, match="80x96 are too small"):
        value_of("ms_ssim", pair)


# --------------------------------------------------------------------------------- CLIP


@pytest.fixture(scope="module")
def clip(home: Path) -> CLIPModel:
    folder = home / "clip-vit-large-patch14"
    names = ["<pad>", *WORDS, "<start>", "<end>"]
    vocabulary = {word: i for i, word in enumerate(names)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(name, vocabulary[name]) for name in ("<start>", "<end>")]
    tokenizer.post_processor = processors.TemplateProcessing("<start> $A <end>", None, ends)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>").save_pretrained(folder)
    CLIPImageProcessor(
        size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(folder)
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    small |= {"num_attention_heads": 2, "projection_dim": 16}
    config = CLIPConfig(
        text_config={
            **small,
            "vocab_size": len(vocabulary),
            "max_position_embeddings": 8,
            "eos_token_id": vocabulary["<end>"],
            "bos_token_id": vocabulary["<start>"],
        },
        vision_config={**small, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    torch.manual_seed(3)
    model = CLIPModel(config).eval()
    # Random layers are nearly deaf to their input.
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data *= 3
    model.save_pretrained(folder)
    return model


@torch.no_grad()
def embeddings(model: CLIPModel, folder: Path, images: torch.Tensor, texts: list[str]):
    """Unit embeddings by transformers alone."""
    processor = CLIPImageProcessor.from_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    pixels = processor(images=pictures(images), return_tensors="pt")["pixel_values"]
    tokens = tokenizer(texts, padding=True, return_tensors="pt")
    found = (
        model.get_image_features(pixel_values=pixels).pooler_output,
        model.get_text_features(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        ).pooler_output,
    )
    return [(one / one.norm(dim=-1, keepdim=True)).numpy() for one in found]


def test_clip_scores_agree_with_transformers(clip, home, pair):
    folder = home / "clip-vit-large-patch14"
    prompts = [sample.target_prompt for sample in pair.samples]
    edited, target = embeddings(clip, folder, pair.edited, prompts)
    source, before = embeddings(clip, folder, pair.source, ["a red ball"] * 3)
    region, _ = embeddings(clip, folder, pair.edited * pair.mask, prompts)
    cosines = (edited * target).sum(axis=1)
    moved, said = edited - source, target - before
    # The first sample's prompts are equal: they say nothing.
    lengths = np.linalg.norm(moved[1:], axis=1) * np.linalg.norm(said[1:], axis=1)
    expected = {
        "clip_text_l14": cosines,
        "clip_image_l14": (edited * source).sum(axis=1),
        "clip_score_l14": 100 * np.maximum(cosines, 0),
        "clip_score_l14_source": 100 * np.maximum((source * before).sum(axis=1), 0),
        "clip_score_l14_edited": 100 * np.maximum((region * target).sum(axis=1), 0),
        "clip_direction_l14": [np.nan, *((moved * said)[1:].sum(axis=1) / lengths)],
    }
    for name, values in expected.items():
        tolerance = 1e-2 if name.startswith("clip_score") else 1e-4
        agree(name, "transformers", value_of(name, pair), values, tolerance)
    assert np.ptp(cosines) > 0.02
    # Scores of random networks are often below 0, where they are cut.
    found = loaded("clip_score_l14_edited").embed_edited(pair, [0, 1, 2])
    np.testing.assert_allclose(found, region, atol=1e-4)


def test_clip_encodes_a_batch_once_for_all_its_metrics(clip, pair, monkeypatch):
    metrics = [loaded(f"clip_{name}_l14") for name in ("text", "image", "direction", "score")]
    network = metrics[0].clip
    assert all(metric.clip is network for metric in metrics)
    counted = []
    whole = network.images
    monkeypatch.setattr(
        network, "images", lambda images: counted.append(len(images)) or whole(images)
    )
    network.forget_pictures()
    for metric in metrics:
        metric.score(pair)
    assert counted == [3, 3]


def test_the_edited_region_needs_a_mask_with_something_in_it(clip, pair):
    mask = pair.mask.clone()
    mask[1] = 0
    batch = make_scored(pair.source, pair.edited, mask=mask, samples=pair.samples)
    assert np.isnan(value_of("clip_score_l14_edited", batch)).tolist() == [False, True, False]
    batch = make_scored(pair.source, pair.edited, samples=pair.samples)
    assert np.isnan(value_of("clip_score_l14_edited", batch)).all()


def test_a_picture_that_does_not_change_moves_in_no_direction(clip, pair):
    batch = make_scored(pair.source, pair.source, samples=pair.samples)
    assert value_of("clip_direction_l14", batch)[1:].tolist() == [0, 0]


# --------------------------------------------------------------------------------- DINO


@pytest.fixture(scope="module")
def dino_v2(home: Path) -> Dinov2Model:
    folder = home / "dinov2-base"
    torch.manual_seed(5)
    config = Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
    )
    model = Dinov2Model(config).eval()
    model.save_pretrained(folder)
    BitImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 28, "width": 28}
    ).save_pretrained(folder)
    return model


@torch.no_grad()
def test_dino_v2_agrees_with_transformers(dino_v2, home, pair):
    processor = BitImageProcessor.from_pretrained(home / "dinov2-base")
    pooled = [
        dino_v2(**processor(images=pictures(images), return_tensors="pt")).pooler_output
        for images in (pair.source, pair.edited)
    ]
    expected = torch.cosine_similarity(*pooled)
    agree("dino_v2", "transformers", value_of("dino_v2", pair), expected, 1e-4)


@pytest.fixture(scope="module")
def dino(home: Path) -> ViTModel:
    torch.manual_seed(6)
    config = ViTConfig(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        image_size=32,
        patch_size=8,
    )
    model = ViTModel(config).eval()
    model.save_pretrained(home / "dino-vitb8")
    return model


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "levels"), [("structure_distance", 1), ("structure_distance_255", 255)]
)
def test_structure_distance_is_that_of_the_last_keys(dino, pair, name, levels):
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    similarities = []
    for images in (pair.source, pair.edited):
        small = torch.nn.functional.interpolate(levels * images, (32, 32), mode="bilinear")
        before = dino((small - mean) / std, output_hidden_states=True).hidden_states[-2]
        last = dino.layers[-1]
        keys = last.attention.k_proj(last.layernorm_before(before))
        assert keys.shape == (3, 17, 32)
        similarities.append(torch.cosine_similarity(keys[:, :, None], keys[:, None], dim=-1))
    expected = (similarities[0] - similarities[1]).square().mean(dim=(1, 2))
    assert expected.min() > 1e-6
    values = value_of(name, pair)
    agree(name, "transformers, keys by hand", values, expected, 1e-6)


# ------------------------------------------------------------------------------ weights


def test_missing_weights_are_told_with_their_command(tmp_path, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    with pytest.raises(MissingWeights, match=r"get it with: hf download openai/clip-vit-large"):
        loaded("clip_text_l14")
    with pytest.raises(MissingWeights, match=r"curl -LO https://.* && icd-bench weights convert"):
        loaded("lpips_squeeze")
    assert "weights:missing" in registry.metrics.load("lpips_vgg")().signature()


def test_every_network_says_how_to_get_it():
    for network in NETWORKS.values():
        assert re.match(r"hf download \S+/\S+ |curl -LO https://", network.command())
        assert network.size


@pytest.fixture
def checkpoint(tmp_path, monkeypatch) -> Path:
    """A checkpoint under the name that the network's own has, without the digest in it."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    file = tmp_path / "checkpoint.pth"
    shared = torch.arange(6.0)
    torch.save({"a": shared, "b": shared[:3]}, file)
    return file


def test_a_checkpoint_of_tensors_is_converted(checkpoint, monkeypatch):
    network = NETWORKS["image-reward"]
    written = convert(network, checkpoint)
    assert written == network.home / "model.safetensors"
    assert load_file(written)["b"].tolist() == [0, 1, 2]


def test_a_checkpoint_with_code_in_it_is_refused(checkpoint):
    torch.save({"a": torch.zeros(1), "b": Path}, checkpoint)
    with pytest.raises(UsageError, match="not a checkpoint of tensors alone"):
        convert(NETWORKS["image-reward"], checkpoint)
    checkpoint.write_bytes(b"rubbish")
    with pytest.raises(UsageError, match="not a checkpoint of tensors alone"):
        convert(NETWORKS["image-reward"], checkpoint)
    torch.save([1], checkpoint)
    with pytest.raises(UsageError, match="not a table of tensors"):
        convert(NETWORKS["image-reward"], checkpoint)


def test_another_file_than_the_published_one_is_refused(checkpoint):
    with pytest.raises(UsageError, match="not b8a52dc0"):
        convert(SQUEEZENET, checkpoint)
    with pytest.raises(UsageError, match="there is no such file"):
        convert(SQUEEZENET, checkpoint.with_name("other.pth"))


def test_preprocessing_follows_the_configuration(clip, home):
    config = json.loads((home / "clip-vit-large-patch14" / "preprocessor_config.json").read_text())
    preprocess = loaded("clip_text_l14").clip.preprocess
    assert (preprocess.shorter, preprocess.crop) == (40, 32)
    assert list(preprocess.mean) == config["image_mean"]
