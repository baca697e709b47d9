"""Settings too weak to change the picture: the row says so."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_batches import PROMPTS, make_batch

from icd_bench.api import Edits
from icd_bench.diffusion.backbone import Backbone
from icd_bench.diffusion.p2p_edit import NO_STEP
from icd_bench.methods.edict import EDICT
from icd_bench.methods.proxnpi import NOTHING_LEFT, ProxNPI
from icd_bench.methods.sdedit import SDEdit

UNBLENDED = [i for i, (_, _, words) in enumerate(PROMPTS) if words is None][:2]


def edited(backbone: Backbone, method: Any, settings: list[dict[str, Any]]) -> Edits:
    """Edit two samples with settings that share their inversion."""
    batch = make_batch(backbone, UNBLENDED)
    made = [method.Setting(**fields) for fields in settings]
    inversion = method().invert(backbone, batch, made[0])
    edits: Edits = method().edit(backbone, batch, inversion, made)
    return edits


@pytest.mark.parametrize("attention", ["none", "p2p"])
@pytest.mark.parametrize(
    "weak", [{"strength": 0.01}, {"steps": 1}, {"steps": 2, "strength": 0.5}], ids=str
)
def test_edict_without_a_step_that_moves(
    weak: dict[str, Any], attention: str, small: Backbone
) -> None:
    edits = edited(small, EDICT, [{**weak, "attention": attention}])
    assert edits.nfe == ((0,), (0,))
    assert_source(small, edits.images[:, 0])
    assert edits.warnings == (((NO_STEP,),),) * 2


def test_edict_with_a_step_that_moves(small: Backbone) -> None:
    edits = edited(small, EDICT, [{"steps": 2, "strength": 1.0}])
    assert edits.warnings == (((),),) * 2


def test_sdedit_without_a_step(small: Backbone) -> None:
    strengths = (0.0, 0.24, 0.25)
    edits = edited(small, SDEdit, [{"steps": 4, "strength": x} for x in strengths])
    assert edits.nfe == ((0, 0, 2),) * 2
    assert_source(small, edits.images[:, 0])
    assert_source(small, edits.images[:, 1])
    assert edits.warnings == (((NO_STEP,), (NO_STEP,), ()),) * 2


@pytest.mark.parametrize("proximal", ["soft", "hard", "twice"])
@pytest.mark.parametrize("weak", [{"quantile": 1.0}, {"threshold": 10.0}], ids=str)
def test_proxnpi_whose_threshold_leaves_nothing(
    weak: dict[str, Any], proximal: str, small: Backbone
) -> None:
    common = {"steps": 2, "proximal": proximal}
    edits = edited(small, ProxNPI, [{**common, **weak}, common, {**common, "proximal": "none"}])
    # Guidance of any strength would do the same.
    again = edited(small, ProxNPI, [{**common, **weak, "guidance_scale": 3.0}])
    assert torch.equal(edits.images[:, 0], again.images[:, 0])
    assert edits.warnings == (((NOTHING_LEFT,), (), ()),) * 2


def assert_source(backbone: Backbone, images: torch.Tensor) -> None:
    """Compare with the pictures as the autoencoder has them."""
    latents = backbone.encode_images(make_batch(backbone, UNBLENDED).images)
    torch.testing.assert_close(images, backbone.decode_latents(latents), atol=1e-4, rtol=0)
