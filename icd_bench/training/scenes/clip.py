"""Stage 2: a CLIP of the world, which scores generated and edited pictures.

It also gives the denoiser's text encoder its start, as CLIP's text tower does in Stable Diffusion.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from icd_bench.metrics.clip_network import fit
from icd_bench.training.latents import Latents
from icd_bench.training.loop import Update
from icd_bench.training.networks import channels_last, mixed_precision

from .data import Pictures, World, draw_rows
from .tokenizer import MAX_LENGTH

WIDTH, HEADS, LAYERS = 128, 4, 3
IMAGE_SIZE = 128
"""Pictures are enlarged: the stem of a ResNet divides by four, and the things are small."""
NEAR_CAPTIONS = 2
ATTRIBUTE_WEIGHT = 1.0
MOST_NOISE, LEAST_SIDE = 0.4, 20
"""How worn training pictures are: noise of unit latents, and pixels when resampled."""
MEAN = STD = (0.5, 0.5, 0.5)


def clip_config(vocabulary: int) -> dict[str, Any]:
    """open_clip's model configuration: a small ResNet and a 3-layer text transformer."""
    return {
        "embed_dim": 128,
        "vision_cfg": {"image_size": IMAGE_SIZE, "layers": [1, 1, 2, 1], "width": 16},
        "text_cfg": {
            "context_length": MAX_LENGTH,
            "vocab_size": vocabulary,
            "width": WIDTH,
            "heads": HEADS,
            "layers": LAYERS,
            "hf_tokenizer_name": "tokenizer",
            "tokenizer_kwargs": {"clean": "whitespace"},
        },
    }


def build_clip(vocabulary: int) -> open_clip.CLIP:
    """Return an untrained CLIP for a vocabulary of that size."""
    return open_clip.CLIP(**clip_config(vocabulary))


def tokenize(tokenizer: CLIPTokenizer, texts: Sequence[str]) -> Tensor:
    """Texts -> token ids (N, 32), padded with the end token."""
    ids: Tensor = tokenizer(
        list(texts), padding="max_length", max_length=MAX_LENGTH, truncation=True,
        return_tensors="pt",
    ).input_ids  # fmt: skip
    return ids


class AttributeHeads(nn.Module):
    """Linear classifiers of every attribute, shared by pictures and captions.

    They exist in training only: contrast alone takes long to find out that a caption is a list
    of independent facts. That one set of classifiers reads both towers also aligns them.
    """

    def __init__(self, world: World, captions: Sequence[str]) -> None:
        super().__init__()
        facts = [world.attributes(caption) for caption in captions]
        self.names = sorted({name for found in facts for name in found})
        self.values = {
            name: sorted({found.get(name, "") for found in facts}) for name in self.names
        }
        self.linear = nn.Linear(WIDTH, sum(map(len, self.values.values())))
        places = {
            name: {value: place for place, value in enumerate(values)}
            for name, values in self.values.items()
        }
        self.labels = torch.tensor(
            [[places[name][found.get(name, "")] for name in self.names] for found in facts]
        )
        """(N, A) class of every attribute of every caption; an absent attribute is a class."""

    def forward(self, embeddings: Tensor, rows: Tensor) -> Tensor:
        """Mean cross entropy of unit embeddings (B, D) of the captions ``rows`` (B,)."""
        logits = self.linear(embeddings * WIDTH**0.5).split(
            [len(v) for v in self.values.values()], 1
        )
        losses = [
            nn.functional.cross_entropy(found, labels)
            for found, labels in zip(logits, self.labels[rows].unbind(1), strict=True)
        ]
        return torch.stack(losses).mean()


@dataclass
class ClipTask:
    """Contrast over the batch, and over captions one attribute away from the true one."""

    clip: open_clip.CLIP
    heads: AttributeHeads
    tokenizer: CLIPTokenizer
    world: World
    train: Pictures
    dev: Pictures
    latents: Latents
    """Of the training pictures."""
    decode: Callable[[Tensor], Tensor]
    """Latents -> pictures (B, 3, H, W) in [0, 1]."""
    batch_size: int

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """The whole CLIP, and the classifiers that are dropped after training."""
        return {"clip": self.clip, "heads": self.heads}

    def updates(self, step: int, generator: torch.Generator) -> Iterator[Update]:
        """One batch: symmetric contrastive loss plus the choice among near captions."""
        rows = draw_rows(len(self.train), self.batch_size, generator)
        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        captions = [self.train.captions[int(row)] for row in rows]
        near = [text for caption in captions for text in self.near(caption, rng)]
        images = prepare(self.worn(rows, generator))
        ids = tokenize(self.tokenizer, captions + near)
        labels = torch.arange(len(rows))

        def part() -> Tensor:
            with mixed_precision():
                seen = self.clip.encode_image(images, normalize=True).float()
                said = self.clip.encode_text(ids, normalize=True).float()
            scale = self.clip.logit_scale.exp().clamp(max=100)
            true, close = said[: len(rows)], said[len(rows) :].view(len(rows), NEAR_CAPTIONS, -1)
            batch = scale * seen @ true.T
            nearby = scale * torch.einsum("bd,bkd->bk", seen, close)
            to_text = nn.functional.cross_entropy(torch.cat([batch, nearby], 1), labels)
            to_image = nn.functional.cross_entropy(batch.T, labels)
            attributes: Tensor = self.heads(seen, rows) + self.heads(true, rows)
            return to_text + 0.5 * to_image + ATTRIBUTE_WEIGHT * attributes

        yield Update("loss", [part], ("clip", "heads"))

    def worn(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Training pictures (B, 3, H, W) of which two thirds are worn.

        What a CLIP is asked about later was generated or edited: it is a little soft, and went
        through the autoencoder. A third is decoded from noisy latents, a third is resampled.
        """
        images = self.train.batch(rows)
        wear = torch.randint(3, (len(rows),), generator=generator)
        decoded, resampled = wear == 1, wear == 2
        x0 = self.latents.x0[rows[decoded]].float()
        level = MOST_NOISE * torch.rand(len(x0), 1, 1, 1, generator=generator)
        noisy = x0 + level * torch.randn(x0.shape, generator=generator)
        side = int(torch.randint(LEAST_SIDE, images.shape[-1], (1,), generator=generator))
        soft = fit(fit(images[resampled], side, squash=True), images.shape[-1], squash=True)
        with torch.no_grad():
            images[decoded] = self.decode(noisy)
        images[resampled] = soft
        return images

    def near(self, caption: str, rng: np.random.Generator) -> list[str]:
        """Captions one attribute away. Attributes with few values come as often as the others."""
        variants = [self.world.variants(caption, name) for name in self.world.attributes(caption)]
        variants = [found for found in variants if found]
        chosen = rng.permutation(len(variants))[:NEAR_CAPTIONS]
        return [variants[int(i)][int(rng.integers(len(variants[int(i)])))] for i in chosen]

    @torch.no_grad()
    def validate(self, step: int, folder: Path) -> dict[str, float]:
        """How often the true caption wins among 32, and by attribute, on dev pictures."""
        images = self.dev.batch(torch.arange(min(256, len(self.dev))))
        judged = self.clip, self.tokenizer, self.world, images, self.dev.captions
        hits = {name: float(found.mean()) for name, found in attribute_hits(*judged).items()}
        return {"choice_32": float(choose_captions(*judged).mean())} | hits


def prepare(images: Tensor) -> Tensor:
    """Pictures (N, 3, H, W) in [0, 1] -> what the vision tower takes (N, 3, 128, 128)."""
    return channels_last(fit(images, IMAGE_SIZE, squash=True) * 2 - 1)


@torch.no_grad()
def embed_images(clip: open_clip.CLIP, images: Tensor) -> Tensor:
    """Pictures (N, 3, H, W) in [0, 1] -> unit embeddings (N, 128)."""
    parts = [clip.encode_image(prepare(part), normalize=True) for part in images.split(128)]
    return torch.cat(parts).float()


@torch.no_grad()
def embed_texts(clip: open_clip.CLIP, tokenizer: CLIPTokenizer, texts: Sequence[str]) -> Tensor:
    """Texts -> unit embeddings (N, 128); each distinct text is computed once."""
    distinct = sorted(set(texts))
    ids = tokenize(tokenizer, distinct)
    found = torch.cat([clip.encode_text(part, normalize=True) for part in ids.split(512)]).float()
    place = {text: index for index, text in enumerate(distinct)}
    return found[torch.tensor([place[text] for text in texts])]


def choose_captions(
    clip: open_clip.CLIP,
    tokenizer: CLIPTokenizer,
    world: World,
    images: Tensor,
    captions: Sequence[str],
    among: int = 32,
) -> Tensor:
    """Whether the true caption beats ``among - 1`` near ones: (N,) of 0 or 1."""
    rng = np.random.default_rng(0)
    texts = [[c, *world.near(c, among - 1, rng)] for c in captions[: len(images)]]
    said = embed_texts(clip, tokenizer, [t for group in texts for t in group])
    scores = torch.einsum(
        "nd,nkd->nk", embed_images(clip, images), said.view(len(images), among, -1)
    )
    return (scores.argmax(1) == 0).float()


def attribute_hits(
    clip: open_clip.CLIP,
    tokenizer: CLIPTokenizer,
    world: World,
    images: Tensor,
    captions: Sequence[str],
) -> dict[str, Tensor]:
    """Attribute -> whether the caption beats all captions that differ in it alone (n,) of 0 or 1.

    Both things of a scene count: ``kind`` holds first and second things. Pictures whose scene
    lacks an attribute or has no other value for it do not count there.
    """
    seen = embed_images(clip, images)
    questions = [
        (row, name, [caption, *others])
        for row, caption in enumerate(captions[: len(images)])
        for name in world.attributes(caption)
        if (others := world.variants(caption, name))
    ]
    texts = [text for *_, group in questions for text in group]
    said = embed_texts(clip, tokenizer, texts)
    hits: dict[str, list[Tensor]] = {}
    start = 0
    for row, name, group in questions:
        scores = said[start : start + len(group)] @ seen[row]
        hits.setdefault(name.removesuffix("2"), []).append((scores.argmax() == 0).float())
        start += len(group)
    return {name: torch.stack(found) for name, found in hits.items()}


def text_encoder_from(clip: open_clip.CLIP, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Return transformers' CLIPTextModel with the weights of the text tower."""
    encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            projection_dim=WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            max_position_embeddings=MAX_LENGTH,
            hidden_act="gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    tower = clip.state_dict()
    found = {
        "embeddings.token_embedding.weight": tower["token_embedding.weight"],
        "embeddings.position_embedding.weight": tower["positional_embedding"],
        "final_layer_norm.weight": tower["ln_final.weight"],
        "final_layer_norm.bias": tower["ln_final.bias"],
    }
    names = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1",
             "mlp.c_proj": "mlp.fc2", "attn.out_proj": "self_attn.out_proj"}  # fmt: skip
    for layer in range(LAYERS):
        ours, theirs = f"encoder.layers.{layer}", f"transformer.resblocks.{layer}"
        for part in ("weight", "bias"):
            for old, new in names.items():
                found[f"{ours}.{new}.{part}"] = tower[f"{theirs}.{old}.{part}"]
            joined = tower[f"{theirs}.attn.in_proj_{part}"].chunk(3)
            for name, tensor in zip("qkv", joined, strict=True):
                found[f"{ours}.self_attn.{name}_proj.{part}"] = tensor
    prefix = "text_model." if any(k.startswith("text_model.") for k in encoder.state_dict()) else ""
    missing, unexpected = encoder.load_state_dict(
        {prefix + key: value for key, value in found.items()}, strict=False
    )
    if unexpected or [key for key in missing if not key.endswith("position_ids")]:
        raise RuntimeError(f"text towers differ: missing {missing}, unexpected {unexpected}")
    return encoder


def save_clip(clip: open_clip.CLIP, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write an open_clip folder (``open_clip.create_model("local-dir:...")``), fp16."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_cfg": clip_config(len(tokenizer)),
        "preprocess_cfg": {
            "size": IMAGE_SIZE, "mean": list(MEAN), "std": list(STD),
            "interpolation": "bicubic", "resize_mode": "squash",
        },
    }  # fmt: skip
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    state = {
        key: value.detach().half().contiguous() if value.is_floating_point() else value.clone()
        for key, value in clip.state_dict().items()
    }
    save_file(state, folder / "open_clip_model.safetensors")
    tokenizer.save_pretrained(folder)
