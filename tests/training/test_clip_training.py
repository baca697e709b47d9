"""The CLIP of the world and the text encoder taken from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from icd_bench.metrics.clip_network import CLIPSpec, load_clip
from icd_bench.training.scenes.clip import (
    AttributeHeads,
    ClipTask,
    attribute_hits,
    build_clip,
    choose_captions,
    embed_images,
    save_clip,
    text_encoder_from,
    tokenize,
)
from icd_bench.training.scenes.data import load_world
from icd_bench.training.scenes.tokenizer import build_tokenizer

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


def test_training_and_the_metrics_see_the_same_pictures(
    clip: open_clip.CLIP, tmp_path: Path
) -> None:
    save_clip(clip, TOKENIZER, tmp_path)
    images = torch.rand(3, 3, 64, 64)
    found = load_clip(CLIPSpec("tiny", tmp_path, "")).images(images)[0]
    torch.testing.assert_close(found, embed_images(clip, images), atol=5e-3, rtol=0)


def test_attribute_heads_learn_the_facts_of_a_caption() -> None:
    heads = AttributeHeads(WORLD, CAPTIONS)
    facts = [WORLD.attributes(caption) for caption in CAPTIONS]
    assert [
        {name: heads.values[name][label] for name, label in zip(heads.names, row, strict=True)}
        for row in heads.labels.tolist()
    ] == [{name: found.get(name, "") for name in heads.names} for found in facts]
    rows, embeddings = torch.arange(6), torch.eye(6, 128)
    optimiser = torch.optim.Adam(heads.parameters(), lr=0.1)
    for _ in range(30):
        optimiser.zero_grad()
        loss = heads(embeddings, rows)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.02


def test_near_captions_differ_in_one_attribute_and_facing_is_not_rare(
    clip: open_clip.CLIP,
) -> None:
    caption = "a small blue wooden duck facing right on the left in the night in neon style"
    task = ClipTask(clip, *[None] * 7, batch_size=1)  # type: ignore[arg-type]
    task.world = WORLD
    rng = np.random.default_rng(0)
    own = WORLD.attributes(caption)
    changed = [
        [name for name, value in WORLD.attributes(text).items() if own.get(name) != value]
        for _ in range(100)
        for text in task.near(caption, rng)
    ]
    assert all(len(names) == 1 for names in changed if names != ["kind"])
    assert 15 <= sum(names == ["facing"] for names in changed) <= 40


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

    monkeypatch.setattr("icd_bench.training.scenes.clip.embed_images", lambda *_: torch.eye(6))
    monkeypatch.setattr("icd_bench.training.scenes.clip.embed_texts", knows_first_four)
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
