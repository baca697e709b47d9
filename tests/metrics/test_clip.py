"""CLIP metrics on a tiny random CLIP, loaded from the same folder layout as the real one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from metric_batches import make_sample, make_scored, row_of
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from icd_bench.api import Scored
from icd_bench.errors import MissingWeights
from icd_bench.metrics.attributes import AttributeEdited, AttributeKept
from icd_bench.metrics.clip import CLIPImage, CLIPMetric, CLIPTargetImage, CLIPText
from icd_bench.metrics.clip_network import CONFIG, SCENES_CLIP, WEIGHTS, CLIPSpec, fit, is_scene

WORDS = ["a", "red", "blue", "green", "ball", "cube"]
METRICS = [CLIPText, CLIPImage, CLIPTargetImage, AttributeEdited, AttributeKept]


def save_tiny_clip(folder: Path) -> CLIPSpec:
    vocabulary = {word: i for i, word in enumerate(["<pad>", "<unk>", *WORDS, "<start>", "<end>"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(name, vocabulary[name]) for name in ("<start>", "<end>")]
    tokenizer.post_processor = processors.TemplateProcessing("<start> $A <end>", None, ends)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>").save_pretrained(folder)

    vision = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16}
    text = {"context_length": 8, "width": 32, "heads": 2, "layers": 1}
    text |= {"vocab_size": len(vocabulary), "hf_tokenizer_name": "tokenizer"}
    config = {
        "model_cfg": {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text},
        "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3},
    }
    (folder / CONFIG).write_text(json.dumps(config))
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    state = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, folder / WEIGHTS)
    return CLIPSpec("tiny", folder, "train it", meant_for=is_scene)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> CLIPSpec:
    return save_tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def scenes(scored) -> Scored:
    """The shared pictures as scenes that ask two edited attributes and one other."""
    samples = []
    for row, color in enumerate(["red", "blue", "green"] * 2):
        prompt = f"a {color} ball"
        others = [f"a {other} ball" for other in ("red", "blue", "green") if other != color]
        choices = [
            {"attribute": "color", "edited": True, "captions": [prompt, *others]},
            {"attribute": "presence", "edited": True, "captions": [prompt, "a"]},
            {"attribute": "kind", "edited": False, "captions": [prompt, f"a {color} cube"]},
        ]
        samples.append(make_sample(f"s{row}", prompt=prompt, choices=choices))
    return make_scored(scored.source, scored.edited, scored.target, scored.mask, samples)


def loaded(metric: type[CLIPMetric], spec: CLIPSpec) -> CLIPMetric:
    scorer = metric(spec)
    scorer.load()
    return scorer


@torch.no_grad()
def embeddings(
    spec: CLIPSpec, images: torch.Tensor, texts: list[str]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit embeddings by open_clip alone, from 64x64 pictures halved like its own transform."""
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{spec.folder}")
    normalize = transform.transforms[-1]
    small = torch.nn.functional.interpolate(images, 32, mode="bicubic", antialias=True).clamp(0, 1)
    tokens = open_clip.get_tokenizer(f"local-dir:{spec.folder}")(texts)
    model.eval()
    return (
        model.encode_image(normalize(small), normalize=True),
        model.encode_text(tokens, normalize=True),
    )


def test_cosines_agree_with_open_clip(tiny, scenes):
    prompts = [sample.target_prompt for sample in scenes.samples]
    edited, texts = embeddings(tiny, scenes.edited, prompts)
    source, _ = embeddings(tiny, scenes.source, prompts)
    target, _ = embeddings(tiny, scenes.target, prompts)
    for metric, other in [(CLIPText, texts), (CLIPImage, source), (CLIPTargetImage, target)]:
        expected = (edited * other).sum(dim=1)
        np.testing.assert_allclose(loaded(metric, tiny).score(scenes), expected, atol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_many_together_score_as_one_by_one(metric, tiny, scenes):
    together = loaded(metric, tiny).score(scenes)
    apart = [loaded(metric, tiny).score(row_of(scenes, row))[0] for row in range(6)]
    assert np.isfinite(together).all()
    np.testing.assert_allclose(together, apart, atol=1e-5)


def test_a_picture_is_most_similar_to_itself(tiny, scenes):
    copies = make_scored(scenes.source, scenes.source, samples=scenes.samples)
    np.testing.assert_allclose(loaded(CLIPImage, tiny).score(copies), 1, atol=1e-6)


def test_attribute_shares_count_the_questions_that_clip_answers(tiny, scenes):
    edited, texts = embeddings(tiny, scenes.edited, [f"a {c} ball" for c in WORDS[1:4]] + ["a"])
    colors, presence = edited @ texts[:3].T, edited @ texts[3]
    expected = []
    for row in range(6):
        true = colors[row, row % 3]
        expected.append((float(true == colors[row].max()) + float(true > presence[row])) / 2)
    assert len(set(expected)) > 1
    np.testing.assert_array_equal(loaded(AttributeEdited, tiny).score(scenes), expected)


def test_edited_and_kept_attributes_are_asked_apart(tiny, scenes):
    questions = {
        metric.family: metric(tiny).questions(scenes.samples[0])
        for metric in (AttributeEdited, AttributeKept)
    }
    assert [q[1] for q in questions["attribute_edited"]] == ["a blue ball", "a"]
    assert [q[1] for q in questions["attribute_kept"]] == ["a red cube"]


def test_a_tie_is_a_wrong_answer(tiny, scored):
    choice = {"attribute": "color", "edited": True, "captions": ["a red ball", "a red ball"]}
    samples = [make_sample(f"s{row}", choices=[choice]) for row in range(6)]
    batch = make_scored(scored.source, scored.edited, samples=samples)
    assert loaded(AttributeEdited, tiny).score(batch).tolist() == [0] * 6


def test_sample_without_such_attributes_is_not_a_number(tiny, scored):
    samples = [make_sample(f"s{row}", choices=[]) for row in range(6)]
    batch = make_scored(scored.source, scored.edited, samples=samples)
    for metric in (AttributeEdited, AttributeKept):
        assert np.isnan(loaded(metric, tiny).score(batch)).all()


@pytest.mark.parametrize("metric", METRICS)
def test_pictures_from_elsewhere_are_not_a_number(metric, tiny, scenes):
    samples = [make_sample("photo"), *scenes.samples[1:]]
    batch = make_scored(scenes.source, scenes.edited, scenes.target, scenes.mask, samples)
    assert np.isnan(loaded(metric, tiny).score(batch)).tolist() == [True] + [False] * 5


def test_without_true_edit_is_not_a_number(tiny, scenes):
    batch = make_scored(scenes.source, scenes.edited, samples=scenes.samples)
    assert np.isnan(loaded(CLIPTargetImage, tiny).score(batch)).all()


def test_text_and_source_are_encoded_once(tiny, scenes):
    text, image = loaded(CLIPText, tiny), loaded(CLIPImage, tiny)
    first = image.score(scenes)
    text.score(scenes)
    assert text.clip is image.clip
    assert len(image.clip.references) == 6
    # Other pixels under a known digest: the remembered embedding is used.
    other = make_scored(1 - scenes.source, scenes.edited, samples=scenes.samples)
    np.testing.assert_array_equal(image.score(other), first)


def test_pictures_are_fitted_by_their_shorter_side(tiny):
    clip = loaded(CLIPText, tiny).clip
    wide = torch.zeros(1, 3, 32, 80)
    wide[..., 24:56] = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(clip.images(wide)[0], clip.images(wide[..., 24:56])[0])
    assert fit(torch.zeros(1, 3, 131, 97), 32, squash=False).shape == (1, 3, 32, 32)


def test_squashed_pictures_keep_their_edges():
    left_half = torch.zeros(1, 3, 32, 128)
    left_half[..., :64] = 1
    columns = fit(left_half, 32, squash=True)[0, 0].mean(dim=0)
    assert columns[:14].tolist() == pytest.approx([1] * 14, abs=0.01)
    assert columns[18:].tolist() == pytest.approx([0] * 14, abs=0.01)


def test_signature_names_network_and_follows_weights(tmp_path):
    spec = save_tiny_clip(tmp_path)
    before = CLIPText(spec).signature()
    assert before.startswith("clip_text|net:tiny|weights:")
    weights = load_file(tmp_path / WEIGHTS)
    weights["logit_scale"] += 1
    save_file(weights, tmp_path / WEIGHTS)
    after = CLIPText(spec).signature()
    assert after != before
    (tmp_path / "tokenizer.json").write_text("{}")
    assert CLIPText(spec).signature() not in (before, after)


def test_missing_weights_say_how_to_get_them(tmp_path):
    spec = CLIPSpec("tiny", tmp_path, "run the training")
    metric = CLIPText(spec)
    assert "weights:missing" in metric.signature()
    with pytest.raises(
        MissingWeights, match=r"CLIP tiny.*open_clip_config\.json.*run the training"
    ):
        metric.load()


def test_default_is_the_clip_of_the_scenes_world():
    assert CLIPText().spec is SCENES_CLIP
    assert SCENES_CLIP.applies(make_sample("scene", choices=[]))
    assert not SCENES_CLIP.applies(make_sample("photo"))
