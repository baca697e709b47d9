"""ImageReward in today's transformers gives what the published package gives.

``PUBLISHED`` are the rewards that the networks of the package image-reward 1.5 gave under
transformers 4.30.2, with the same small random weights, pictures and token ids.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from agreement_table import agree
from metric_batches import make_sample, make_scored
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from icd_bench.errors import MissingWeights
from icd_bench.metrics.image_reward import ImageReward
from icd_bench.metrics.weights import HOME_VARIABLE

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "red", "ball", "green", "cube", "on"]
PROMPTS = ["red ball", "green cube ball on", "a"]
PUBLISHED = [-0.3089822829, -0.4341742098, -0.4887079000]


def layer(name: str, width: int, inputs: int = 0) -> dict[str, tuple[int, ...]]:
    """Shapes of a linear layer; without inputs those of a normalisation."""
    return {f"{name}.weight": (width, inputs) if inputs else (width,), f"{name}.bias": (width,)}


def shapes() -> dict[str, tuple[int, ...]]:
    """Shapes of a small ImageReward under the published names."""
    found: dict[str, tuple[int, ...]] = {
        "blip.visual_encoder.cls_token": (1, 1, 128),
        "blip.visual_encoder.pos_embed": (1, 17, 128),
        "blip.visual_encoder.patch_embed.proj.weight": (128, 3, 8, 8),
        "blip.visual_encoder.patch_embed.proj.bias": (128,),
        **layer("blip.visual_encoder.norm", 128),
        "blip.text_encoder.embeddings.word_embeddings.weight": (12, 64),
        "blip.text_encoder.embeddings.position_embeddings.weight": (40, 64),
        **layer("blip.text_encoder.embeddings.LayerNorm", 64),
    }
    for number in range(2):
        block = f"blip.visual_encoder.blocks.{number}"
        found |= layer(f"{block}.norm1", 128) | layer(f"{block}.norm2", 128)
        found |= layer(f"{block}.attn.qkv", 384, 128) | layer(f"{block}.attn.proj", 128, 128)
        found |= layer(f"{block}.mlp.fc1", 512, 128) | layer(f"{block}.mlp.fc2", 128, 512)
        block = f"blip.text_encoder.encoder.layer.{number}"
        for attention, width in (("attention", 64), ("crossattention", 128)):
            found |= layer(f"{block}.{attention}.self.query", 64, 64)
            found |= layer(f"{block}.{attention}.self.key", 64, width)
            found |= layer(f"{block}.{attention}.self.value", 64, width)
            found |= layer(f"{block}.{attention}.output.dense", 64, 64)
            found |= layer(f"{block}.{attention}.output.LayerNorm", 64)
        found |= layer(f"{block}.intermediate.dense", 96, 64)
        found |= layer(f"{block}.output.dense", 64, 96)
        found |= layer(f"{block}.output.LayerNorm", 64)
    for number, (inputs, width) in zip(
        (0, 2, 4, 6, 7), pairwise((64, 32, 16, 8, 4, 1)), strict=True
    ):
        found |= layer(f"mlp.layers.{number}", width, inputs)
    return found


def small_weights() -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Return weights and three pictures, from one seed."""
    generator = torch.Generator().manual_seed(11)
    state = {}
    for name, shape in sorted(shapes().items()):
        size = 0.25 if len(shape) > 1 else 0.1
        around = 1 if "norm" in name.lower() and name.endswith("weight") else 0
        state[name] = torch.randn(shape, generator=generator) * size + around
    images = torch.rand(3, 3, 32, 32, generator=generator)
    return state, (images * 255).round() / 255


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    folder = tmp_path / "image-reward"
    folder.mkdir()
    unused = {"blip.text_encoder.embeddings.position_ids": torch.arange(40)[None]}
    save_file({**small_weights()[0], **unused}, folder / "model.safetensors")
    vocabulary = {word: i for i, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, ends)
    tokenizer.save(str(folder / "tokenizer.json"))
    return tmp_path


def test_rewards_agree_with_the_published_package(home):
    metric = ImageReward()
    metric.load()
    images = small_weights()[1]
    samples = [make_sample(f"s{i}", prompt=prompt) for i, prompt in enumerate(PROMPTS)]
    batch = make_scored(torch.zeros_like(images), images, samples=samples)
    agree("image_reward", "image-reward 1.5", metric.score(batch), PUBLISHED, 1e-5)
    assert np.ptp(PUBLISHED) > 0.1


def test_missing_weights_say_how_to_convert_them(home):
    (home / "image-reward" / "tokenizer.json").unlink()
    with pytest.raises(MissingWeights, match=r"weights convert image-reward .* tokenizer\.json"):
        ImageReward().load()
