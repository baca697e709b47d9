"""Work on blocks of samples x settings that gets smaller where it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from icd_bench.api import Setting
from icd_bench.errors import MissingWeights, UnusableWeights
from icd_bench.run.memory import free_memory, is_out_of_memory

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Block(Generic[T]):
    """Items (samples with what belongs to them), each to be worked on with every setting."""

    items: tuple[T, ...]
    settings: tuple[Setting, ...]

    def __len__(self) -> int:
        return len(self.items) * len(self.settings)

    def halves(self) -> tuple[Block[T], Block[T]]:
        """Return two blocks of half the samples, or of half the settings of one sample."""
        if len(self.items) > 1:
            middle = (len(self.items) + 1) // 2
            return (
                Block(self.items[:middle], self.settings),
                Block(self.items[middle:], self.settings),
            )
        middle = (len(self.settings) + 1) // 2
        return (
            Block(self.items, self.settings[:middle]),
            Block(self.items, self.settings[middle:]),
        )

    def singles(self) -> tuple[Block[T], ...]:
        """Return a block for each sample, or for each setting of one sample."""
        if len(self.items) > 1:
            return tuple(Block((item,), self.settings) for item in self.items)
        return tuple(Block(self.items, (setting,)) for setting in self.settings)


class Shrinking(Generic[T, R]):
    """Applies work to blocks; remembers how large a block fits into memory.

    A block that does not fit is halved, and so is every later one of its size. A block that fails
    otherwise is taken apart, so that only what is really at fault fails.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        """Cells of the largest block that may be tried; None: not known."""

    def apply(
        self, work: Callable[[Block[T]], R], block: Block[T]
    ) -> Iterator[tuple[Block[T], R | Exception]]:
        """Yield (block, result or error) for blocks that together make up the given one.

        Raises:
            MissingWeights, UnusableWeights: the work needs weights that are not there, or not fit
                to be used; no smaller block helps.
        """
        if self.limit is not None and len(block) > max(self.limit, 1):
            for half in block.halves():
                yield from self.apply(work, half)
            return
        outcome = _attempt(work, block)
        if len(block) == 1 or not isinstance(outcome, Exception):
            yield block, outcome
            return
        if is_out_of_memory(outcome):
            # The traceback holds the tensors of the failed attempt.
            del outcome
            free_memory()
            self.limit = len(block) // 2
            parts: tuple[Block[T], ...] = block.halves()
        else:
            parts = block.singles()
        for part in parts:
            yield from self.apply(work, part)


def _attempt(work: Callable[[Block[T]], R], block: Block[T]) -> R | Exception:
    try:
        return work(block)
    except (MissingWeights, UnusableWeights):
        raise
    except Exception as error:  # whatever a plugin raises becomes the reason of a failed cell
        return error
