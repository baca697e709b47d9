"""Every method: no U-Net row is evaluated that its algorithm does without.

Of one sample: the rows of the inversion, those that serve all settings (the source branch), and
those of each setting.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from test_batches import ANCESTRAL, CONSISTENT, MASACTRL, RENOISED, N, make_batch

from icd_bench import registry
from icd_bench.api import Method
from icd_bench.diffusion.backbone import Backbone

NOISE = {"steps": 12, "skip": 2, "source_guidance_scale": 3.5}
NULL_TEXT = {"steps": N, "inner_steps": 4}
COUPLED = {"steps": 4, "strength": 0.8}
SOLVED = {"steps": N, "iterations": 3}
PROXIMAL = {"steps": N, "inversion_guidance": True}


class Case(NamedTuple):
    method: str
    settings: list[dict[str, Any]]
    inversion: int
    source: int
    each: tuple[int, ...]


def vary(field: str, *values: Any, **common: Any) -> list[dict[str, Any]]:
    return [{**common, field: value} for value in values]


CASES = {
    "icd: 4 + 4, and 4 a setting": Case(
        "icd", vary("cross_replace", 0.2, 0.4, 0.6, 0.8, 1.0), 4, 4, (4,) * 5
    ),
    "icd: MasaCtrl costs nothing": Case("icd", [{"attention": "masactrl"}], 4, 4, (4,)),
    "ddim: settings of one scale share a guided source": Case(
        "ddim", vary("cross_replace", 0.2, 0.8, steps=N), N, 2 * N, (2 * N,) * 2
    ),
    "ddim: a guided source for each scale": Case(
        "ddim", vary("guidance_scale", 3.0, 7.5, steps=N), N, 4 * N, (2 * N,) * 2
    ),
    "ddim: an unguided source once a step": Case(
        "ddim",
        vary("guidance_scale", 3.0, 7.5, steps=N, guide_source=False),
        N,
        N,
        (2 * N,) * 2,
    ),
    "ddim: a source for each limit of self-attention": Case(
        "ddim", vary("self_downscale", 2, 4, steps=N), N, 4 * N, (2 * N,) * 2
    ),
    "ddim: an empty source prompt is not guided": Case(
        "ddim",
        vary("guidance_scale", 3.0, 7.5, **MASACTRL, source_prompt="empty"),
        N,
        2 * N - 1,
        (2 * N,) * 2,
    ),
    "npi: the source's two predictions are one": Case(
        "npi", vary("guidance_scale", 3.0, 7.5, steps=N), N, N, (2 * N,) * 2
    ),
    "npi: unguided without negative rows": Case(
        "npi", [{"steps": N, "guidance_scale": 1.0}], N, N, (N,)
    ),
    "nti: per step the prompt, the updates and the result": Case(
        "nti", vary("cross_replace", 0.2, 0.8, **NULL_TEXT, early_stop=0.0), 7 * N, N, (2 * N,) * 2
    ),
    "nti: updates end when they are good enough": Case(
        "nti", vary("cross_replace", 0.2, 0.8, **NULL_TEXT, early_stop=1e9), 4 * N, N, (2 * N,) * 2
    ),
    "proxnpi: as npi": Case("proxnpi", vary("quantile", 0.6, 0.8, steps=N), N, N, (2 * N,) * 2),
    "proxnpi: one guided source for all quantiles": Case(
        "proxnpi", vary("quantile", 0.6, 0.8, **PROXIMAL), N, N, (2 * N,) * 2
    ),
    "proxnpi: a source for each strength of its guidance": Case(
        "proxnpi", vary("recon_lr", 0.6, 0.8, **PROXIMAL), N, 2 * N, (2 * N,) * 2
    ),
    "direct_inversion: the source is unguided": Case(
        "direct_inversion", vary("guidance_scale", 3.0, 7.5, steps=N), N, N, (2 * N,) * 2
    ),
    "direct_inversion: MasaCtrl reads the source's null rows where it acts": Case(
        "direct_inversion",
        [MASACTRL, {**MASACTRL, "guidance_scale": 3.0}],
        N,
        2 * N - 1,
        (2 * N,) * 2,
    ),
    "edit_friendly: no source without P2P": Case(
        "edit_friendly", [{**NOISE, "p2p": False}], 20, 0, (20,)
    ),
    "edit_friendly: an unguided source beside P2P": Case(
        "edit_friendly", [{**NOISE, "p2p": True}], 20, 10, (20,)
    ),
    "edit_friendly: with and without P2P": Case(
        "edit_friendly", vary("p2p", False, True, **NOISE), 20, 10, (20, 20)
    ),
    "edit_friendly: only the steps that are run, without null rows": Case(
        "edit_friendly", [{"steps": 5, "skip": 1, "source_guidance_scale": 1.0}], 4, 4, (8,)
    ),
    # The target twice a step; its mutual branch from when it has its own layout (steps 0, 1 and 3)
    # to the end of the cross window (step 3). The source, and its null row for the first 3 steps.
    "infedit: a mutual branch only where it differs and matters": Case(
        "infedit",
        vary("self_replace", 0.0, 0.5, 1.0, **CONSISTENT, blend=False),
        0,
        4 + 3,
        (8 + 3, 8 + 2, 8),
    ),
    "infedit: three rows a step without attention control": Case(
        "infedit", [{"steps": 4, "attention": False}], 0, 4, (8,)
    ),
    "infedit: two rows a step unguided": Case(
        "infedit",
        [{**CONSISTENT, "guidance_scale": 1.0, "self_replace": 1.0, "blend": False}],
        0,
        4,
        (4,),
    ),
    # At t = 999 and 499 rounds 1 and 2 of 0 .. 2 are averaged, against one reference.
    "renoise: a row a round and one for the reference": Case(
        "renoise", vary("guidance_scale", 1.0, 2.0, **RENOISED), 2 * (3 + 1), 0, (2, 4)
    ),
    "renoise: no reference without regularisation": Case(
        "renoise",
        vary("guidance_scale", 1.0, 2.0, **{**RENOISED, "regularisation_steps": 0}),
        2 * 3,
        0,
        (2, 4),
    ),
    # At t = 501 the noise is corrected; at t = 1 rounds 0 and 1 are all.
    "renoise: a row for a correction": Case(
        "renoise",
        vary("guidance_scale", 1.0, 2.0, **ANCESTRAL),
        (3 + 1) + 1 + (2 + 1),
        0,
        (2, 4),
    ),
    "renoise: twice as many where inversion is guided": Case(
        "renoise",
        [{**ANCESTRAL, "inversion_guidance_scale": 2.0}],
        2 * ((3 + 1) + 1 + (2 + 1)),
        0,
        (2,),
    ),
    "renoise: no correction where there is none": Case(
        "renoise",
        vary("guidance_scale", 1.0, 2.0, **ANCESTRAL, noise_correction=False),
        (3 + 1) + (2 + 1),
        0,
        (2, 4),
    ),
    "sdedit: only the steps it runs": Case(
        "sdedit", vary("strength", 0.0, 0.5, 0.8, steps=4), 0, 0, (0, 4, 6)
    ),
    "edict: two latents in each step that moves them": Case(
        "edict", [COUPLED, {**COUPLED, "attention": "p2p"}], 8, 0, (8, 12)
    ),
    "aidi: every iteration where none is good enough": Case(
        "aidi", [{**SOLVED, "tolerance": 0}], 3 * N, N, (2 * N,)
    ),
    "aidi: one iteration where it is": Case("aidi", [{**SOLVED, "tolerance": 100}], N, N, (2 * N,)),
    "instruct_pix2pix: three rows a step, no inversion": Case(
        "instruct_pix2pix", vary("guidance_scale", 3.0, 7.5, steps=N), 0, 0, (3 * N,) * 2
    ),
    "identity": Case("identity", [{}], 0, 0, (0,)),
    "jpeg": Case("jpeg", [{}], 0, 0, (0,)),
    "vae-roundtrip": Case("vae-roundtrip", [{}], 0, 0, (0,)),
}


def test_every_method_is_counted() -> None:
    assert {case.method for case in CASES.values()} == set(registry.methods.names())


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_rows_are_the_least_that_the_method_needs(
    case: Case, request: pytest.FixtureRequest
) -> None:
    model = "instructed" if case.method == "instruct_pix2pix" else "small"
    backbone: Backbone = request.getfixturevalue(model)
    assert rows_of(backbone, case) == (case.inversion, case.source, case.each)


APART = {
    "ddim: guided and unguided sources": Case(
        "ddim", [{"guide_source": False}, {"guidance_scale": 1.0}, {}], 0, 0, ()
    ),
    "direct_inversion: with and without MasaCtrl": Case(
        "direct_inversion", [MASACTRL, {**MASACTRL, "attention": "p2p"}], 0, 0, ()
    ),
    "icd: with and without MasaCtrl": Case("icd", [{"attention": "masactrl"}, {}], 0, 0, ()),
    "infedit: with and without attention control": Case(
        "infedit", [CONSISTENT, {**CONSISTENT, "attention": False}], 0, 0, ()
    ),
    "infedit: guided and not, in the source's layout and not": Case(
        "infedit",
        [
            {**CONSISTENT, "guidance_scale": 1.0, "self_replace": 1.0},
            {**CONSISTENT, "self_replace": 0.5},
            {**CONSISTENT, "self_replace": 0.0, "blend": False},
        ],
        0,
        0,
        (),
    ),
}
"""Settings that need different parts of a source branch."""


@pytest.mark.parametrize("case", (MIXED := CASES | APART).values(), ids=MIXED)
def test_rows_of_an_edit_do_not_depend_on_the_settings_beside_it(
    case: Case, request: pytest.FixtureRequest
) -> None:
    backbone: Backbone = request.getfixturevalue(
        "instructed" if case.method == "instruct_pix2pix" else "small"
    )
    method: Method = registry.methods.load(case.method)()
    batch = make_batch(backbone, [1, 2])
    settings = [method.Setting(**fields) for fields in case.settings]
    inversion = method.invert(backbone, batch, settings[0])
    together = method.edit(backbone, batch, inversion, settings)
    for place, setting in enumerate(settings):
        alone = method.edit(backbone, batch, inversion, [setting])
        assert alone.nfe_shared == tuple(
            together.source_rows(sample, place) for sample in range(len(batch))
        )
        assert [rows for (rows,) in alone.nfe] == [rows[place] for rows in together.nfe]


def rows_of(backbone: Backbone, case: Case) -> tuple[int, int, tuple[int, ...]]:
    """Rows of one sample: inversion, shared, and each setting's own; all rows have an owner."""
    method: Method = registry.methods.load(case.method)()
    batch = make_batch(backbone, [1, 2])
    settings = [method.Setting(**fields) for fields in case.settings]
    inversion = method.invert(backbone, batch, settings[0])
    edits = method.edit(backbone, batch, inversion, settings)
    invert = inversion.nfe or (0,) * len(batch)
    assert len(set(invert)) == len(set(edits.nfe_shared)) == len(set(edits.nfe)) == 1
    spent = sum(invert) + sum(edits.nfe_shared) + sum(map(sum, edits.nfe))
    assert spent == backbone.cost["inversion"].rows + backbone.cost["edit"].rows
    return invert[0], edits.nfe_shared[0], edits.nfe[0]
