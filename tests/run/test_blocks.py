from __future__ import annotations

import pytest

from icd_bench.api import Setting, edit_field
from icd_bench.errors import IcdBenchError, MissingWeights, UnusableWeights
from icd_bench.run.engines.blocks import Block, Shrinking
from icd_bench.run.memory import is_out_of_memory


class Number(Setting):
    value: int = edit_field(0, "value")


SETTINGS = tuple(Number(value=value) for value in range(3))
BLOCK = Block(tuple("abcde"), SETTINGS)


def covered(blocks: list[Block[str]]) -> list[tuple[str, int]]:
    return sorted((i, s.value) for block in blocks for i in block.items for s in block.settings)


EVERYTHING = sorted((item, value) for item in "abcde" for value in range(3))


@pytest.mark.parametrize("fits", [1, 3, 14])
def test_out_of_memory_halves_and_is_remembered(fits: int) -> None:
    tried: list[int] = []

    def work(block: Block[str]) -> str:
        tried.append(len(block))
        if len(block) > fits:
            raise MemoryError
        return "fine"

    sizes: Shrinking[str, str] = Shrinking()
    outcomes = list(sizes.apply(work, BLOCK))
    assert covered([block for block, _ in outcomes]) == EVERYTHING
    assert all(outcome == "fine" for _, outcome in outcomes)
    tried.clear()
    list(sizes.apply(work, BLOCK))
    assert max(tried) <= fits


def test_only_what_is_at_fault_fails() -> None:
    def work(block: Block[str]) -> str:
        if "c" in block.items and SETTINGS[1] in block.settings:
            raise ValueError("c does not like 1")
        return "fine"

    outcomes = list(Shrinking[str, str]().apply(work, BLOCK))
    assert covered([block for block, _ in outcomes]) == EVERYTHING
    failed = [block for block, outcome in outcomes if isinstance(outcome, Exception)]
    assert covered(failed) == [("c", 1)]


def test_what_never_fits_fails_alone() -> None:
    def work(block: Block[str]) -> str:
        if "a" in block.items:
            raise RuntimeError("CUDA out of memory")
        return "fine"

    outcomes = list(Shrinking[str, str]().apply(work, BLOCK))
    failed = [block for block, outcome in outcomes if isinstance(outcome, Exception)]
    assert covered(failed) == [("a", 0), ("a", 1), ("a", 2)]


@pytest.mark.parametrize("kind", [MissingWeights, UnusableWeights])
def test_weights_that_nothing_can_do_without_end_the_run(kind: type[IcdBenchError]) -> None:
    def work(block: Block[str]) -> str:
        raise kind("get them")

    with pytest.raises(kind):
        list(Shrinking[str, str]().apply(work, BLOCK))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("shapes differ"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_is_recognised(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected
