import pytest
import torch

from icd_bench.diffusion.attention import Blend
from icd_bench.diffusion.attention.alignment import read_prompt
from icd_bench.diffusion.attention.local_blend import (
    BlendedRow,
    LocalBlend,
    LocatedBlend,
    word_places,
)
from icd_bench.errors import UsageError

CASES = ("two_rows", "substruct", "three_rows_multi_token", "word_absent")


def golden_blend(case, name, tokenizer):
    """The golden case's rows as this package states them, with its maps recorded."""
    setting = case.settings["cases"][name]
    prompts = [read_prompt(tokenizer, text, 77) for text in setting["prompts"]]
    thresholds = setting["thresholds"]
    excluded = setting["substruct_words"] or [[]] * len(prompts)
    rows = []
    for n in range(1, len(prompts)):
        blend = Blend(
            source_words=tuple(setting["words"][0]),
            target_words=tuple(setting["words"][n]),
            threshold=thresholds[0],
            start=0.2,
            source_excluded=tuple(excluded[0]),
            target_excluded=tuple(excluded[n]),
            excluded_threshold=thresholds[1],
        )
        located = LocatedBlend.locate(blend, prompts[0], prompts[n], setting["num_steps"], 77)
        rows.append(BlendedRow(row=n, source=0, blend=located))
    local_blend = LocalBlend(rows, (16, 16))
    local_blend.record("layer", range(len(prompts)), case.tensors[f"maps_{len(prompts)}_rows"])
    return local_blend, case.tensors[f"x_{len(prompts)}_rows"], setting


@pytest.mark.parametrize("name", CASES)
def test_golden_masks_and_latents(golden, tokenizer, name):
    case = golden("local_blend")
    local_blend, x, setting = golden_blend(case, name, tokenizer)
    expected = case.tensors[f"{name}.mask_words"].bool()
    if f"{name}.mask_substruct" in case.tensors:
        expected &= ~case.tensors[f"{name}.mask_substruct"].bool()

    blended, empty = local_blend.blend(setting["first_active_call"], x)

    masks = local_blend.masks(local_blend.rows).repeat_interleave(4, 1).repeat_interleave(4, 2)
    assert torch.equal(masks, expected[1:])
    torch.testing.assert_close(blended[1:], torch.where(expected[1:, None], x[1:], x[:1]))
    assert torch.equal(blended[0], x[0])
    assert empty == []
    if f"{name}.out" in case.tensors:
        torch.testing.assert_close(blended, case.tensors[f"{name}.out"], atol=1e-6, rtol=0)


def test_golden_first_blending_step(golden, tokenizer):
    local_blend, x, setting = golden_blend(golden("local_blend"), "two_rows", tokenizer)
    for step in range(setting["first_active_call"]):
        assert torch.equal(local_blend.blend(step, x)[0], x)
    assert not torch.equal(local_blend.blend(setting["first_active_call"], x)[0], x)


def located(first_step=0, threshold=0.3, words=(1.0, 0.0), excluded=(0.0, 0.0)):
    words, excluded = torch.tensor(words), torch.tensor(excluded)
    return LocatedBlend(first_step, threshold, words, words, 0.3, excluded, excluded)


def test_maps_are_summed_over_layers_and_steps():
    local_blend = LocalBlend([BlendedRow(1, 0, located(threshold=0.5))], (2, 2))
    corner = torch.zeros(2, 4, 2)
    corner[:, 0, 0] = 1.0
    opposite = torch.zeros(2, 4, 2)
    opposite[:, 3, 0] = 0.4
    pooled = word_places(
        corner + opposite, torch.tensor([[1.0, 0.0]] * 2), torch.tensor([0.5] * 2), (2, 2), False
    )
    assert pooled[0].tolist() == [[True, False], [False, False]]

    local_blend.record("first", [0, 1], corner)
    local_blend.record("second", [0, 1], opposite)
    local_blend.end_step()
    local_blend.record("first", [0, 1], opposite)
    local_blend.end_step()
    torch.testing.assert_close(local_blend._maps, corner + 2 * opposite)


def test_recording_a_row_again_in_a_step_changes_nothing():
    local_blend = LocalBlend([BlendedRow(1, 0, located())], (2, 2))
    maps = torch.rand(2, 4, 2)
    local_blend.record("layer", [0], torch.rand(1, 4, 2))
    local_blend.record("layer", [0, 1], maps)
    local_blend.record("layer", [0], maps[:1])
    local_blend.end_step()
    assert torch.equal(local_blend._maps, maps)


def test_an_empty_mask_is_reported():
    words = (1.0, 0.0)
    local_blend = LocalBlend([BlendedRow(1, 0, located(words=words, excluded=words))], (2, 2))
    local_blend.record("layer", [0, 1], torch.ones(2, 4, 2))
    latents = torch.rand(2, 4, 2, 2)
    blended, empty = local_blend.blend(0, latents)
    assert empty == [1]
    assert torch.equal(blended[1], latents[0])


def test_a_network_without_layers_of_the_size_is_an_error():
    local_blend = LocalBlend([BlendedRow(1, 0, located())], (16, 16))
    with pytest.raises(UsageError, match=r"16x16 tokens.*AttentionSizes\.blend"):
        local_blend.blend(0, torch.zeros(2, 4, 64, 64))


def test_rectangular_maps_enlarge_to_rectangular_latents():
    local_blend = LocalBlend([BlendedRow(1, 0, located(threshold=0.5))], (2, 4))
    maps = torch.zeros(2, 8, 2)
    maps[:, 3, 0] = 1  # top right: pooling reaches the two right columns
    local_blend.record("layer", [0, 1], maps)
    latents = torch.stack([torch.zeros(1, 4, 8), torch.ones(1, 4, 8)])
    blended, _ = local_blend.blend(0, latents)
    assert blended[1, 0].tolist() == [[0.0] * 4 + [1.0] * 4] * 4
