"""The CLIP of the world and the text encoder taken from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from icd_bench.training.clip import (
    attribute_hits,
    build_clip,
    choose_captions,
    save_clip,
    text_encoder_from,
    tokenize,
)
from icd_bench.training.data import load_world
from icd_bench.training.tokenizer import build_tokenizer

WORLD = load_world()
TOKENIZER = build_tokenizer(WORLD.vocabulary)
CAPTIONS = [caption for _, caption in WORLD.pairs("dev", 0, 6)]


@pytest.fixture(scope="module")
def clip() -> open_clip.CLIP:
    torch.manual_seed(0)
    return build_clip(len(TOKENIZER)).eval()


def test_text_encoder_computes_what_the_text_tower_does(clip: open_clip.CLIP) -> None:
    ids = tokenize(TOKENIZER, CAPTIONS)
    with torch.no_grad():
        pooled = text_encoder_from(clip, TOKENIZER).eval()(ids).pooler_output
        expected = clip.encode_text(ids)
    torch.testing.assert_close(pooled @ clip.text_projection, expected, atol=1e-5, rtol=1e-5)


def test_a_saved_clip_loads_with_open_clip(clip: open_clip.CLIP, tmp_path: Path) -> None:
    save_clip(clip, TOKENIZER, tmp_path)
    loaded, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tmp_path}")
    ids = open_clip.get_tokenizer(f"local-dir:{tmp_path}")(CAPTIONS)
    assert ids.equal(tokenize(TOKENIZER, CAPTIONS))
    with torch.no_grad():
        found = loaded.eval().float().encode_text(ids)
        expected = clip.encode_text(ids)
    torch.testing.assert_close(found, expected, atol=2e-2, rtol=2e-2)
    assert preprocess is not None


def test_choices_are_right_exactly_where_the_true_caption_wins(
    clip: open_clip.CLIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.rand(len(CAPTIONS), 3, 64, 64)
    place = {caption: index for index, caption in enumerate(CAPTIONS)}

    def knows_first_four(clip: object, tokenizer: object, texts: list[str]) -> torch.Tensor:
        rows = [place.get(text, -1) for text in texts]
        return torch.stack(
            [torch.eye(6)[row] if 0 <= row < 4 else torch.full((6,), 0.1) for row in rows]
        )

    monkeypatch.setattr("icd_bench.training.clip.embed_images", lambda *_: torch.eye(6))
    monkeypatch.setattr("icd_bench.training.clip.embed_texts", knows_first_four)
    right = choose_captions(clip, TOKENIZER, WORLD, images, CAPTIONS)
    assert right[:4].tolist() == [1, 1, 1, 1]
    hits = attribute_hits(clip, TOKENIZER, WORLD, images[:4], CAPTIONS[:4])
    assert set(hits) >= {"kind", "colour", "background", "style"}
    assert all(bool(found.all()) for found in hits.values())
    assert len(hits["background"]) == 4


def test_near_captions_differ_from_the_true_one() -> None:
    near = WORLD.near(CAPTIONS[0], 31, np.random.default_rng(0))
    assert len(set(near)) == 31
    assert CAPTIONS[0] not in near
