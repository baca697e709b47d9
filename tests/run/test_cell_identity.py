from __future__ import annotations

import dataclasses
from hashlib import sha256

import pytest

from icd_bench.run.cells import CellIdentity, canonical_json, inversion_id
from icd_bench.run.planning.seeds import sample_seed

IDENTITY = CellIdentity(
    method="icd",
    version="1",
    model="aa",
    setting={"tau": 0.8, "steps": 4, "words": ["é", None]},
    sample="bb",
    seed=7,
    protocol="native",
)


def test_cell_id_is_pinned() -> None:
    text = (
        '{"method":"icd","model":"aa","protocol":"native","sample":"bb","seed":7,'
        '"setting":{"steps":4,"tau":0.8,"words":["é",null]},"version":"1"}'
    )
    assert sha256(text.encode()).hexdigest()[:20] == "c6fcd3d20b0a36607b63"
    assert IDENTITY.cell_id() == "c6fcd3d20b0a36607b63"


@pytest.mark.parametrize(
    "change",
    [
        {"method": "npi"},
        {"version": "2"},
        {"model": "ab"},
        {"setting": {"tau": 0.81, "steps": 4, "words": ["é", None]}},
        {"setting": {"tau": 0.8, "steps": 4}},
        {"sample": "bc"},
        {"seed": 8},
        {"protocol": "other"},
    ],
)
def test_cell_id_changes_with_every_component(change: dict[str, object]) -> None:
    assert dataclasses.replace(IDENTITY, **change).cell_id() != IDENTITY.cell_id()


def test_cell_id_ignores_the_order_of_fields() -> None:
    setting = dict(reversed(IDENTITY.setting.items()))
    assert dataclasses.replace(IDENTITY, setting=setting).cell_id() == IDENTITY.cell_id()


def test_canonical_json_refuses_what_has_no_one_text() -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"x": float("nan")})


def test_inversion_id_depends_on_inversion_fields_only() -> None:
    common = {
        "method": "icd",
        "version": "1",
        "model": "aa",
        "sample": "bb",
        "seed": 7,
        "protocol": "native",
    }
    first = inversion_id(inversion_fields={"steps": 4}, **common)
    assert first == inversion_id(inversion_fields={"steps": 4}, **common)
    assert first != inversion_id(inversion_fields={"steps": 8}, **common)


def test_sample_seed_is_pinned_and_depends_on_seed_and_id() -> None:
    assert sample_seed(0, "cat") == 8534018142825387843
    assert len({sample_seed(s, i) for s in range(20) for i in ("a", "b", "1")}) == 60
    assert all(0 <= sample_seed(s, "a") < 2**63 for s in range(100))
