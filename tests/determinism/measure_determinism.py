"""How far results are from each other where only the way of computing differs.

``python tests/determinism/measure_determinism.py [--device cuda] [--limit 8]`` prints the table of
docs/determinism.md for this machine. Every line edits the same scenes as the first and compares
the pictures.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from icd_bench.run import RunFolder, RunRequest, execute
from icd_bench.run.progress import QuietProgress

METHODS = ("icd", "ddim", "edit_friendly")
SETS = ("ddim.steps=20", "edit_friendly.steps=20", "edit_friendly.skip=7")


@dataclass(frozen=True)
class Way:
    """One way to compute the same edits."""

    name: str
    batch_size: int = 8
    threads: int = 1
    dtype: str = "float32"
    device: str = "cpu"


FIRST = Way("batch 8, 1 thread, float32, CPU")
WAYS = (
    Way("the same again"),
    Way("batch 1", batch_size=1),
    Way("2 threads", threads=2),
    Way("bfloat16", dtype="bfloat16"),
)
ELSEWHERE = (
    Way("accelerator, float32", device="cuda"),
    Way("accelerator, float16", device="cuda", dtype="float16"),
    Way("accelerator, bfloat16", device="cuda", dtype="bfloat16"),
)

Pictures = dict[str, dict[str, NDArray[np.uint8]]]
"""Method -> sample id -> (H, W, 3)."""


@dataclass(frozen=True)
class Distance:
    """How far the pictures of one method are from those of the first way."""

    same: int
    """Pictures with the same levels everywhere."""
    pictures: int
    changed: float
    """Share of all values that differ."""
    largest: int
    """Largest difference in grey levels of 255."""
    psnr: float
    """Of the picture that differs most, in dB; infinite where all are the same."""


def edits(way: Way, limit: int, folder: Path, methods: tuple[str, ...] = METHODS) -> Pictures:
    """Edit the first scenes and return the pictures; nothing is taken from a cache."""
    before = torch.get_num_threads()
    torch.set_num_threads(way.threads)
    try:
        request = RunRequest(
            methods=methods,
            benchmark="scenes",
            limit=limit,
            sets=tuple(text for text in SETS if text.split(".")[0] in methods),
            metrics=(),
            out=folder,
            device=way.device,
            dtype=way.dtype,
            batch_size=way.batch_size,
            cache_size=0,
        )
        execute(request, QuietProgress())
    finally:
        torch.set_num_threads(before)
    found: Pictures = {method: {} for method in methods}
    for cell in RunFolder.open(folder).records().cells.values():
        found[cell.method][cell.sample_id] = np.array(Image.open(folder / cell.image))
    return found


def distance(first: dict[str, NDArray[np.uint8]], now: dict[str, NDArray[np.uint8]]) -> Distance:
    """Compare the pictures of one method."""
    differences = [np.abs(first[name].astype(int) - now[name].astype(int)) for name in first]
    worst = max(float((one**2).mean()) for one in differences)
    return Distance(
        same=sum(not one.any() for one in differences),
        pictures=len(differences),
        changed=float(np.mean([(one > 0).mean() for one in differences])),
        largest=max(int(one.max()) for one in differences),
        psnr=float("inf") if worst == 0 else float(10 * np.log10(255**2 / worst)),
    )


def table(ways: tuple[Way, ...], limit: int) -> Iterator[str]:
    """Yield the lines of a Markdown table: each way against the first."""
    yield "| against: " + FIRST.name + " | method | same pictures | values that differ | largest |"
    yield "|---|---|--:|--:|--:|"
    with tempfile.TemporaryDirectory() as root:
        first = edits(FIRST, limit, Path(root, "first"))
        for place, way in enumerate(ways):
            now = edits(way, limit, Path(root, str(place)))
            for method in METHODS:
                found = distance(first[method], now[method])
                worst = f", {found.psnr:.1f} dB" if found.largest else ""
                few = 0 < found.changed < 0.0001
                changed = "< 0.01 %" if few else f"{100 * found.changed:.2f} %"
                yield (
                    f"| {way.name} | `{method}` | {found.same} of {found.pictures} "
                    f"| {changed} | {found.largest} of 255{worst} |"
                )


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--limit", type=int, default=8)
    options.add_argument("--device", default="cpu")
    chosen = options.parse_args()
    ways = WAYS if chosen.device == "cpu" else ELSEWHERE
    print("\n".join(table(ways, chosen.limit)))


if __name__ == "__main__":
    main()
