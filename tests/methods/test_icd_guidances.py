"""One set of adapters serves every guidance scale and every tau."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from icd_bench.api import Batch
from icd_bench.diffusion.backbone import Backbone
from icd_bench.methods.icd import ICD, ICDSetting
from icd_bench.models import find_model
from icd_bench.paper.material import scenes
from icd_bench.run.reading.prepare import to_tensor

SCALES, TAUS = (1.0, 2.0, 4.0, 8.0, 20.0), (0.0, 0.3, 0.6, 0.8, 1.0)
SCENES = 3


@pytest.fixture(scope="module")
def edits() -> dict[tuple[float, float], Tensor]:
    """Edited pictures (B, 3, 64, 64) by guidance scale and tau: the first thing turns red."""
    backbone = Backbone.load(find_model("scenes"))
    samples = list(scenes(SCENES))
    prompts = [sample.source_prompt.split() for sample in samples]
    batch = Batch(
        ids=tuple(sample.id for sample in samples),
        images=to_tensor([sample.read_image() for sample in samples]),
        source_prompts=tuple(" ".join(words) for words in prompts),
        target_prompts=tuple(" ".join([*words[:2], "red", *words[3:]]) for words in prompts),
        blend_words=tuple(sample.blend_words for sample in samples),
        seeds=tuple(range(SCENES)),
    )
    settings = [
        ICDSetting(guidance_scale=scale, tau1=tau, amplify=1.0, cross_replace=0.2)
        for scale, tau in product(SCALES, TAUS)
    ]
    with torch.no_grad():
        inversion = ICD().invert(backbone, batch, settings[0])
        pictures = ICD().edit(backbone, batch, inversion, settings).images
    return dict(zip(product(SCALES, TAUS), pictures.unbind(1), strict=True))


def test_all_are_pictures(edits: dict[tuple[float, float], Tensor]) -> None:
    for pictures in edits.values():
        assert pictures.isfinite().all()
        assert float(pictures.flatten(1).std(1).min()) > 0.02


def test_guidance_1_and_tau_0_are_the_unguided_edit(
    edits: dict[tuple[float, float], Tensor],
) -> None:
    for scale, tau in (*product(SCALES, (0.0,)), *product((1.0,), TAUS)):
        torch.testing.assert_close(edits[scale, tau], edits[1.0, 0.0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("tau", TAUS[1:])
def test_more_guidance_changes_more(edits: dict[tuple[float, float], Tensor], tau: float) -> None:
    change = [float((edits[scale, tau] - edits[1.0, 0.0]).square().mean()) for scale in SCALES]
    assert change == sorted(change)
    assert change[-1] > 0


@pytest.mark.parametrize("scale", SCALES[1:])
def test_guidance_at_more_timesteps_changes_more(
    edits: dict[tuple[float, float], Tensor], scale: float
) -> None:
    change = [float((edits[scale, tau] - edits[1.0, 0.0]).square().mean()) for tau in TAUS]
    assert change == sorted(change)
