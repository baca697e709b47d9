"""Squares: grey squares on a coloured ground that shall change its colour."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, ClassVar

from icd_bench.api import BenchmarkInfo, Sample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COLOURS = {"red": (200, 40, 40), "green": (40, 160, 60), "blue": (50, 70, 200)}
SIDE = 96


class Squares:
    """Every colour to every other one; the square is what must stay."""

    info: ClassVar = BenchmarkInfo(
        name="squares",
        title="Squares on coloured ground, an example",
        licence="Apache-2.0",
        source="drawn by this package",
        size="6 pictures",
        how_to_get="part of icd-bench-example",
        resolution=SIDE,
        default_model="scenes",
        metrics=("psnr", "background_psnr", "mean_colour"),
    )

    def __init__(self, location: str | None = None, split: str | None = None) -> None:
        self.location, self.split = location, split

    def samples(self) -> Iterator[Sample]:
        """Yield six samples."""
        for source in COLOURS:
            for target in COLOURS:
                if source != target:
                    yield Sample(
                        id=f"{source}-{target}",
                        source_prompt=f"a small cube in the {source} city",
                        target_prompt=f"a small cube in the {target} city",
                        digest=sha256(f"squares 1 {source} {target}".encode()).hexdigest(),
                        read_image=partial(draw, source),
                        read_target=partial(draw, target),
                        read_mask=ground,
                        category="colour",
                    )


def draw(colour: str) -> NDArray[np.uint8]:
    """Return the picture (96, 96, 3) of a square on that ground."""
    import numpy as np

    picture = np.empty((SIDE, SIDE, 3), np.uint8)
    picture[:] = COLOURS[colour]
    picture[~ground()] = 128
    return picture


def ground() -> NDArray[np.bool_]:
    """Return where the ground is, (96, 96)."""
    import numpy as np

    mask = np.ones((SIDE, SIDE), bool)
    mask[SIDE // 3 : -SIDE // 3, SIDE // 3 : -SIDE // 3] = False
    return mask
