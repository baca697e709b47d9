from __future__ import annotations

from icd_bench.diffusion.backbone import Backbone
from icd_bench.diffusion.compiling import BLOCKS
from icd_bench.models import ModelSpec


def compiled(backbone: Backbone) -> set[str]:
    """Return the kinds of modules of the U-Net that torch compiles."""
    modules = backbone.network("base").unet.modules()
    return {type(one).__name__ for one in modules if one._compiled_call_impl is not None}


def test_only_blocks_around_attention_are_compiled_and_only_if_asked_for(
    small_spec: ModelSpec,
) -> None:
    assert compiled(Backbone.load(small_spec)) == set()
    backbone = Backbone.load(small_spec, dtype="float32 compiled")
    assert compiled(backbone) == set(BLOCKS)
    assert compiled(backbone.twin()) == set(BLOCKS)
