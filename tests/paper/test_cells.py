from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from icd_bench.errors import CorruptRun
from icd_bench.paper.cells import Cells, cell_name


def test_cells_come_back_in_the_order_they_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "row.npz"
    Cells.open(path).add(["a", "b"], {"psnr": np.array([1.0, 2.0])})
    Cells.open(path).add(["c"], {"psnr": np.array([3.0])})
    cells = Cells.open(path)
    assert cells.missing(["a", "c", "d"]) == {"d"}
    assert cells.read(["c", "a"])["psnr"].tolist() == [3.0, 1.0]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "row.npz"
    Cells.open(path).add(["a"], {"psnr": np.array([1.0])})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CorruptRun, match=r"row\.npz"):
        Cells.open(path)


def test_the_name_holds_everything_that_decides_the_numbers() -> None:
    assert cell_name({"seed": 0, "walk": "a"}) == cell_name({"walk": "a", "seed": 0})
    assert cell_name({"seed": 0}) != cell_name({"seed": 1})
