"""Prompts and words that a method cannot serve as asked: a warning on the row, still an edit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from test_batches import METHODS, make_batch
from torch import Tensor

from icd_bench.api import Batch, BlendWords
from icd_bench.diffusion.backbone import Backbone

PROMPTED = {name: case for name, case in METHODS.items() if name != "identity"}
BLENDING = ("icd", "ddim", "npi", "nti", "proxnpi", "direct_inversion", "aidi", "infedit")


def edit(backbone: Backbone, name: str, batch: Batch, **fields: Any) -> tuple[Tensor, str]:
    """The first row's picture, and its warnings: those of the inversion and those of the edit."""
    method = METHODS[name][0]()
    setting = method.Setting(**{**METHODS[name][1][0], **fields})
    inversion = method.invert(backbone, batch, setting)
    edits = method.edit(backbone, batch, inversion, [setting])
    found = (*(inversion.warnings[0] if inversion.warnings else ()), *edits.warnings[0][0])
    return edits.images[0, 0], "\n".join(found)


@pytest.mark.parametrize("name", PROMPTED)
def test_prompts_that_are_too_long_are_cut_with_a_warning(name: str, small: Backbone) -> None:
    batch = make_batch(small, [0])
    batch = replace(batch, source_prompts=("cats " * 90,), target_prompts=("dogs " * 90,))
    _, warnings = edit(small, name, batch)
    assert '"dogs' in warnings
    assert "tokens" in warnings
    assert name == "sdedit" or '"cats' in warnings  # SDEdit reads no source prompt


@pytest.mark.parametrize("name", PROMPTED)
def test_identical_prompts_are_reported(name: str, small: Backbone) -> None:
    batch = make_batch(small, [0])
    batch = replace(batch, target_prompts=batch.source_prompts)
    assert "prompt are the same" in edit(small, name, batch)[1]


@pytest.mark.parametrize("name", BLENDING)
def test_missing_blend_words_never_turn_the_edit_into_its_source(
    name: str, small: Backbone
) -> None:
    batch = make_batch(small, [0])
    missing = replace(batch, blend_words=(BlendWords(("unicorn",), ("dragon",)),))
    picture, warnings = edit(small, name, missing, blend=True)
    assert '"dragon" is not in' in warnings
    assert "LocalBlend is off" in warnings

    wordless = replace(batch, blend_words=(BlendWords(),))
    torch.testing.assert_close(picture, edit(small, name, wordless, blend=True)[0])


@pytest.mark.parametrize("name", [name for name in BLENDING if name != "infedit"])
def test_word_counts_that_differ_are_refined_instead_of_replaced(
    name: str, small: Backbone
) -> None:
    batch = replace(make_batch(small, [0]), target_prompts=("a very large dog on a mat",))
    assert "refined instead of replaced" in edit(small, name, batch, mapper="replace")[1]


def test_masks_of_masactrl_without_their_words_are_reported(small: Backbone) -> None:
    batch = replace(make_batch(small, [0]), blend_words=(BlendWords(),))
    assert "MasaCtrl has no masks" in edit(small, "icd_masactrl", batch)[1]
