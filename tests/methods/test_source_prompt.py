"""Inversion without the source prompt, as in PnP Inversion's runs of MasaCtrl."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from test_batches import MASACTRL, make_batch

from icd_bench.api import Batch, Edits
from icd_bench.diffusion.backbone import Backbone
from icd_bench.methods.ddim import DDIM
from icd_bench.methods.direct_inversion import DirectInversion
from icd_bench.methods.npi import NPI

EMPTY = {**MASACTRL, "source_prompt": "empty"}

both = pytest.mark.parametrize("method", [DDIM, DirectInversion])


def edited(backbone: Backbone, method: Any, batch: Batch, **fields: Any) -> Edits:
    setting = method.Setting(**fields)
    edits: Edits = method().edit(
        backbone, batch, method().invert(backbone, batch, setting), [setting]
    )
    return edits


@both
def test_an_empty_source_prompt_is_that_of_inversion_and_source_row(
    method: Any, small: Backbone
) -> None:
    batch = make_batch(small, [0, 1])
    emptied = replace(batch, source_prompts=("", ""))
    found = edited(small, method, batch, **EMPTY)
    torch.testing.assert_close(found.images, edited(small, method, emptied, **MASACTRL).images)
    assert not torch.allclose(
        found.images, edited(small, method, batch, **MASACTRL).images, atol=1e-3
    )


@both
@pytest.mark.parametrize("reads", [{"attention": "p2p"}, {"mutual_masks": True}], ids=str)
def test_what_reads_the_source_prompts_words_needs_them(method: Any, reads: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="source_prompt=empty"):
        method.Setting(**{**EMPTY, **reads})


@both
def test_inversions_with_the_given_prompt_stay_shared(method: Any) -> None:
    given = method.Setting(**MASACTRL).inversion_fields()
    assert given == NPI.Setting(steps=MASACTRL["steps"]).inversion_fields()
    assert method.Setting(**EMPTY).inversion_fields() != given


@both
def test_the_preset_of_masactrls_published_numbers(method: Any) -> None:
    preset = method.info.presets["pie-bench-masactrl"]
    setting = method.Setting(**preset.settings)
    assert (setting.attention, setting.source_prompt) == ("masactrl", "empty")
    assert (setting.steps, setting.guidance_scale, setting.mutual_steps) == (50, 7.5, 4)
