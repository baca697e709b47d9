"""Prompts alone: an edit of a grey canvas is a generation.

There is no picture to start from, so every sample has the same grey canvas and its caption as the
target prompt. SDEdit at strength 1 starts from pure noise and does not see the canvas:
``icd-bench run --method sdedit --set strength=1 --bench parti``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import TYPE_CHECKING, ClassVar

from icd_bench.api import BenchmarkInfo, Sample
from icd_bench.data.card import Card
from icd_bench.errors import BadSample

from .caption_rows import caption, caption_rows, find_instructions
from .prompt_files import Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE, GREY = 512, 128


class Generation:
    """A CSV with a caption a row; a subclass names the file and the column with the row's id."""

    card: ClassVar[Card]
    instructions_name: ClassVar[str]
    id_column: ClassVar[str]
    info: ClassVar[BenchmarkInfo]

    def __init__(self, location: str | None = None, split: str | None = None) -> None:
        self.instructions = find_instructions(self.card, location, split, self.instructions_name)

    def samples(self) -> Iterator[Sample | BadSample]:
        """Yield the captions in the file's order."""
        for row in caption_rows(self.instructions, ("caption",)):
            try:
                yield row if isinstance(row, BadSample) else self._sample(row)
            except BadSample as error:
                yield error

    def _sample(self, row: Row) -> Sample:
        prompt = caption(row, "caption")
        return Sample(
            id=f"{self.card.name}-{row.text(self.id_column)}",
            source_prompt="",
            target_prompt=prompt,
            digest=sha256(json.dumps(["generation", 1, SIDE, GREY, prompt]).encode()).hexdigest(),
            read_image=canvas,
            metadata={"row": row.where, "canvas": True, **_photo(row)},
        )


def canvas() -> NDArray[np.uint8]:
    """Return the grey picture (512, 512, 3) that stands in for a source."""
    import numpy as np

    return np.full((SIDE, SIDE, 3), GREY, dtype=np.uint8)


def _photo(row: Row) -> dict[str, str]:
    name = row.text("file_name")
    return {"photo": name} if name else {}
