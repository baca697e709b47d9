"""Ways to noise and back on the tiny pipeline."""

from __future__ import annotations

import pytest
import torch

from icd_bench.diffusion.backbone import Backbone
from icd_bench.paper.walks import Decoder, Guidance, Scenes, Walk, draw, encode, take

PROMPTS = ("a red ball", "a blue car", "a cat")


@pytest.fixture
def scenes(small: Backbone) -> Scenes:
    return Scenes.of(small, PROMPTS, (1, 2, 3))


@pytest.mark.parametrize(
    "walk",
    [
        Walk("icd_reverse:4a", 0, Guidance(8.0, 0.7)),
        Walk("cfg_distilled", 4, Guidance(4.0, 0.6)),
        Walk("base", 4, Guidance(4.0, 0.6)),
    ],
    ids=lambda walk: str(walk.network),
)
def test_shared_first_jumps_change_nothing(small: Backbone, scenes: Scenes, walk: Walk) -> None:
    noise = draw(small, scenes)
    alone = noise
    for jump in walk.down(small.schedule):
        alone = take(small, walk, alone, jump, scenes)
    decoder = Decoder(small, noise, scenes)
    decoder(Walk(walk.network, walk.steps))
    torch.testing.assert_close(decoder(walk), alone)
    torch.testing.assert_close(decoder(walk), alone)


def test_unguided_rows_are_walked_once(small: Backbone, scenes: Scenes) -> None:
    decoder = Decoder(small, draw(small, scenes), scenes)
    with small.counting("edit", len(PROMPTS)) as count:
        for tau in (0.0, 0.7, 0.8, 1.0):
            decoder(Walk("icd_reverse:4a", 0, Guidance(8.0, tau)))
    assert count.shared == [4 + 2 + 3 + 4] * len(PROMPTS)


def test_rows_are_those_that_the_backbone_counts(small: Backbone, scenes: Scenes) -> None:
    clean = torch.randn(3, *small.latent_shape, generator=torch.Generator().manual_seed(0))
    for walk in (Walk("icd_forward:4a"), Walk("base", 5), Walk("base", 5, Guidance(2.0, 0.5))):
        with small.counting("inversion", len(PROMPTS)) as count:
            encode(small, walk, clean, scenes)
        assert count.shared == [walk.rows(walk.up(small.schedule))] * len(PROMPTS)


def test_a_scene_s_noise_and_way_do_not_depend_on_the_others(small: Backbone) -> None:
    together, alone = (Scenes.of(small, PROMPTS[:n], (1, 2, 3)[:n]) for n in (3, 1))
    walk = Walk("icd_reverse:4a", 0, Guidance(8.0, 0.8))
    first = Decoder(small, draw(small, together), together)(walk)[:1]
    torch.testing.assert_close(
        Decoder(small, draw(small, alone), alone)(walk), first, rtol=1e-4, atol=1e-4
    )


def test_guidance_is_on_up_to_tau() -> None:
    guidance = Guidance(8.0, 0.7)
    assert [guidance.at(t) for t in (259, 519, 700, 779, 999)] == [8, 8, 8, 1, 1]
    assert Walk("icd_forward:4a-plain").timesteps.endpoints == (259, 519, 779, 999)
