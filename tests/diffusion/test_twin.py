"""A backbone's twin: the same weights, for another thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from icd_bench.api import Batch, BlendWords
from icd_bench.diffusion.backbone import Backbone
from icd_bench.registry import methods


def edited(backbone: Backbone, name: str, seed: int) -> tuple[Tensor, Any]:
    """Return the pictures of two settings of a method, and their rows."""
    method = methods.load(name)()
    batch = Batch(
        ids=("a",),
        images=torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(seed)),
        source_prompts=("a cat on a mat",),
        target_prompts=("a dog on a mat",),
        blend_words=(BlendWords(),),
        seeds=(seed,),
    )
    settings = [method.Setting(cross_replace=share) for share in (0.2, 0.8)]
    with torch.no_grad():
        inversion = method.invert(backbone, batch, settings[0])
        edits = method.edit(backbone, batch, inversion, settings)
    return edits.images, (inversion.nfe, edits.nfe_shared, edits.nfe)


def test_twins_share_weights_and_nothing_of_a_call(small: Backbone) -> None:
    twin = small.twin()
    for ours, theirs in [
        (small.network("base").unet, twin.network("base").unet),
        (small.vae, twin.vae),
    ]:
        assert ours is not theirs
        assert {p.data_ptr() for p in ours.parameters()} == {
            p.data_ptr() for p in theirs.parameters()
        }
    for name in ("icd_forward:4a", "icd_reverse:4a"):
        twin.network(name)
        small.network(name).unet.register_forward_hook(lambda *_: 1 / 0)
    edited(twin, "icd", 0)
    assert small.cost["edit"].rows == 0 < twin.cost["edit"].rows


def test_twins_edit_at_the_same_time_as_each_does_alone(small: Backbone) -> None:
    alone = [edited(small, "icd", seed) for seed in range(8)]
    backbones = [small, *(small.twin() for _ in range(3))]

    def work(place: int) -> list[tuple[Tensor, Any]]:
        return [edited(backbones[place], "icd", seed) for seed in (place, place + 4)]

    with ThreadPoolExecutor(4) as pool:
        first, second = zip(*pool.map(work, range(4)), strict=True)
    for (images, rows), (expected, expected_rows) in zip([*first, *second], alone, strict=True):
        assert torch.equal(images, expected)
        assert rows == expected_rows


def test_what_one_twin_encoded_the_other_knows(small: Backbone) -> None:
    twin = small.twin()
    small.encode_prompts(["a red hat"])
    small.text_encoder._encode = None  # type: ignore[assignment, method-assign]
    twin.text_encoder._encode = None  # type: ignore[assignment, method-assign]
    assert twin.encode_prompts(["a red hat"]).shape[0] == 1


def test_loading_is_timed(small: Backbone) -> None:
    assert small.loading_seconds == 0
    small.network("base")
    took = small.loading_seconds
    assert took > 0
    small.network("base")
    assert small.loading_seconds == took
