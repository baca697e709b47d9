"""The tables of an official benchmark, damaged."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from damage import TIMES, Tried, mutated

from icd_bench.benchmarks.piebench import PIEBench
from icd_bench.errors import BadSample, UsageError


@pytest.fixture(scope="module")
def piebench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first rows of PIE-Bench in the official layout."""
    import official_folders

    root = tmp_path_factory.mktemp("pie") / "PIE-Bench"
    rows = official_folders.pie_rows()[:3]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(official_folders, "pie_rows", lambda: rows)
        official_folders.make_piebench(root)
    return root


def read_piebench(root: Path) -> int:
    """Read every row and its mask; return how many can be used."""
    usable = 0
    try:
        rows = list(PIEBench(str(root)).samples())
    except UsageError as error:
        assert "mapping_file.json" in str(error)
        return 0
    for row in rows:
        if isinstance(row, BadSample):
            assert "mapping_file.json" in str(row)
            continue
        try:
            mask = row.read_mask() if row.read_mask else None
        except BadSample:
            continue
        assert mask is None or mask.shape == (512, 512)
        usable += 1
    return usable


def test_damaged_tables_of_edits(piebench: Path, tried: Tried) -> None:
    path = piebench / "mapping_file.json"
    data, draw = path.read_bytes(), random.Random(2)
    assert read_piebench(piebench) == 4
    for _ in range(60 * TIMES):
        path.write_bytes(mutated(data, draw))
        read_piebench(piebench)
        tried("benchmark tables")
    path.write_bytes(data)


ODD = [None, True, -1, 1.5, 10**30, "", "x", [], {}, [[]], {"a": 1}, "\x00", "../../etc/passwd"]


def test_tables_of_edits_with_odd_values(piebench: Path, tried: Tried) -> None:
    path = piebench / "mapping_file.json"
    data = path.read_bytes()
    table = json.loads(data)
    key = next(iter(table))
    for field in table[key]:
        for value in ODD:
            path.write_text(json.dumps({**table, key: {**table[key], field: value}}))
            assert read_piebench(piebench) >= 3
            tried("benchmark tables")
    for value in ODD:
        path.write_text(json.dumps({**table, key: value}))
        assert read_piebench(piebench) >= 3
        tried("benchmark tables")
    path.write_bytes(data)
