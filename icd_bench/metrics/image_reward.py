"""ImageReward: would people prefer this picture for this prompt? About -2.5 to 2, higher is better.

Xu et al. 2023, arXiv:2304.05977, version 1.0: BLIP whose text encoder looks at the picture, and
five linear layers on its first token, scaled to zero mean and unit deviation on the training
data. The published package needs a transformers of 2023; here its weights, converted to
safetensors, run in the BLIP of today's transformers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from icd_bench.api import MetricInfo, Scored

from .networks import IMAGE_REWARD
from .preprocess import Preprocess
from .signature import sign
from .weights import MODEL_FILE, Network

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

MEAN, DEVIATION = 0.16717362830052426, 1.0333394966054072
"""Of the rewards of the training data."""
HEAD_WIDTH = 64
"""Of each attention head."""
MAX_TOKENS = 35
TEXT, VISION, HEAD = "blip.text_encoder.", "blip.visual_encoder.", "mlp.layers."
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

# Names of the published weights -> names in transformers, in this order.
_VISION_NAMES = (
    (r"^cls_token", "embeddings.class_embedding"),
    (r"^pos_embed", "embeddings.position_embedding"),
    (r"^patch_embed\.proj", "embeddings.patch_embedding"),
    (r"^norm\.", "post_layernorm."),
    (r"^blocks\.", "encoder.layers."),
    (r"\.norm([12])\.", r".layer_norm\1."),
    (r"\.attn\.proj\.", ".self_attn.projection."),
    (r"\.attn\.", ".self_attn."),
)


class RewardNetwork:
    """BLIP with the reward on top.

    Args:
        vision: BLIP's picture encoder.
        text: BLIP's text encoder with cross-attention.
        head: weight and bias of each linear layer.
        tokenizer: maps texts to token ids.
    """

    def __init__(
        self, vision: Any, text: Any, head: Sequence[tuple[Tensor, Tensor]], tokenizer: Any
    ) -> None:
        self.vision, self.text, self.head, self.tokenizer = vision, text, head, tokenizer
        side = int(vision.config.image_size)
        self.preprocess = Preprocess(side, side, CLIP_MEAN, CLIP_STD)

    def rewards(self, images: Tensor, prompts: list[str]) -> Tensor:
        """Return the (N,) rewards of (N, 3, H, W) in [0, 1] for N prompts."""
        import torch
        from torch.nn.functional import linear

        device = self.vision.device
        encoded = self.tokenizer.encode_batch(prompts)
        with torch.inference_mode():
            seen = self.vision(pixel_values=self.preprocess(images).to(device)).last_hidden_state
            hidden = self.text(
                input_ids=torch.tensor([one.ids for one in encoded], device=device),
                attention_mask=torch.tensor([one.attention_mask for one in encoded], device=device),
                encoder_hidden_states=seen,
                encoder_attention_mask=seen.new_ones(seen.shape[:2]),
            ).last_hidden_state[:, 0]
            for weight, bias in self.head:
                hidden = linear(hidden, weight, bias)
        rewards: Tensor = (hidden[:, 0] - MEAN) / DEVIATION
        return rewards


class ImageReward:
    """Reward of the edited picture for the target prompt.

    Args:
        network: which weights (default: version 1.0).
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        name="image_reward",
        title="ImageReward",
        direction="higher",
        unit="",
        citation="Xu et al. 2023, arXiv:2304.05977",
        group="editing",
        on_request=True,
        range=(None, None),
    )

    def __init__(self, network: Network = IMAGE_REWARD) -> None:
        self.network = network

    def load(self, device: str = "cpu") -> None:
        """Bring the network to the device; raises MissingWeights."""
        self.rewards = _load(self.network.require(), device, self.network.fingerprint()).rewards

    def signature(self) -> str:
        """Return how the number is made."""
        weights = self.network.fingerprint()
        return sign("image_reward", 1, net=self.network.name, weights=weights, size="224-bicubic")

    def score(self, batch: Scored) -> NDArray[np.float64]:
        """Return (N,) rewards."""
        prompts = [sample.target_prompt for sample in batch.samples]
        rewards: NDArray[np.float64] = self.rewards(batch.edited, prompts).double().cpu().numpy()
        return rewards


@lru_cache(maxsize=1)
def _load(folder: Path, device: str, digest: str) -> RewardNetwork:
    """Load anew where the device or the files (``digest``) differ."""
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    weights = load_file(folder / MODEL_FILE, device=device)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.enable_padding(length=MAX_TOKENS)
    numbers = sorted({int(name.removeprefix(HEAD).split(".")[0]) for name in _below(weights, HEAD)})
    head = [
        (weights[f"{HEAD}{number}.weight"].float(), weights[f"{HEAD}{number}.bias"].float())
        for number in numbers
    ]
    vision, text = make_vision(_part(weights, VISION)), make_text(_part(weights, TEXT))
    return RewardNetwork(vision.to(device), text.to(device), head, tokenizer)


def make_vision(weights: Mapping[str, Tensor]) -> Any:
    """Return BLIP's picture encoder with published weights; its sizes are theirs."""
    from transformers import BlipVisionConfig, BlipVisionModel

    width, _, patch, _ = weights["patch_embed.proj.weight"].shape
    cells = weights["pos_embed"].shape[1] - 1
    config = BlipVisionConfig(
        hidden_size=width,
        intermediate_size=len(weights["blocks.0.mlp.fc1.weight"]),
        num_hidden_layers=_count(weights, "blocks."),
        num_attention_heads=width // HEAD_WIDTH,
        image_size=round(cells**0.5) * patch,
        patch_size=patch,
        layer_norm_eps=1e-6,
    )
    return _filled(BlipVisionModel(config), {_vision_name(n): w for n, w in weights.items()})


def make_text(weights: Mapping[str, Tensor]) -> Any:
    """Return BLIP's text encoder with published weights; its sizes are theirs."""
    from transformers import BlipTextConfig
    from transformers.models.blip.modeling_blip_text import BlipTextModel

    words, width = weights["embeddings.word_embeddings.weight"].shape
    layer = "encoder.layer.0."
    config = BlipTextConfig(
        vocab_size=words,
        hidden_size=width,
        encoder_hidden_size=weights[f"{layer}crossattention.self.key.weight"].shape[1],
        intermediate_size=len(weights[f"{layer}intermediate.dense.weight"]),
        num_hidden_layers=_count(weights, "encoder.layer."),
        num_attention_heads=width // HEAD_WIDTH,
        max_position_embeddings=len(weights["embeddings.position_embeddings.weight"]),
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        layer_norm_eps=1e-12,
    )
    known = {name: w for name, w in weights.items() if name != "embeddings.position_ids"}
    return _filled(BlipTextModel(config, add_pooling_layer=False), known)


def _filled(model: Any, weights: Mapping[str, Tensor]) -> Any:
    model.load_state_dict({name: weight.float() for name, weight in weights.items()})
    return model.eval().requires_grad_(False)


def _vision_name(name: str) -> str:
    for pattern, replacement in _VISION_NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _below(weights: Mapping[str, Tensor], prefix: str) -> list[str]:
    return [name for name in weights if name.startswith(prefix)]


def _part(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): weights[name] for name in _below(weights, prefix)}


def _count(weights: Mapping[str, Tensor], prefix: str) -> int:
    return 1 + max(int(name[len(prefix) :].split(".")[0]) for name in _below(weights, prefix))
