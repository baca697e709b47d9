"""How engines scale, and what the driver of a cluster can take; prints one JSON object.

    python tests/performance/scaling.py [--engine processes|ray] [--samples 256] [--cells 2000]

Scaling: an iCD sweep on scenes with one worker and with two, a processor each; the seconds of a
run of one sample are taken off, so that loading does not count. Driver: cells with 512-pixel
pictures are stored, replayed and compacted by one process, as it happens on a cluster.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

from PIL import Image

from icd_bench.run import RunFolder, RunRequest, execute
from icd_bench.run.progress import QuietProgress
from icd_bench.run.reading.prepare import fit_picture, to_png

PHOTO = Path(__file__).parents[1] / "data" / "photos" / "horse.jpg"
SETTINGS = ("0.2", "0.4", "0.6", "0.8")


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def edit(folder: Path, engine: str, workers: int, samples: int) -> float:
    """Return the seconds of a run without scores."""
    request = RunRequest(
        methods=("icd",),
        benchmark="scenes",
        limit=samples,
        sweeps=(f"cross_replace={','.join(SETTINGS)}",),
        metrics=(),
        out=folder / f"{engine}-{workers}-{samples}",
        device="cpu",
        batch_size=8,
        engine=engine,
        workers=workers,
        cache_size=0,
    )
    return seconds(lambda: execute(request, QuietProgress()))


def scaling(folder: Path, engine: str, samples: int) -> dict[str, float]:
    """Return edits a second with one worker and with two."""
    rates = {}
    for workers in (1, 2):
        loading = edit(folder, engine, workers, 1)
        net = edit(folder, engine, workers, samples) - loading
        rates[f"edits_per_second_{workers}"] = (samples - 1) * len(SETTINGS) / net
        rates[f"seconds_to_load_{workers}"] = loading
    rates["speedup"] = rates["edits_per_second_2"] / rates["edits_per_second_1"]
    return rates


def driver(folder: Path, cells: int) -> dict[str, float]:
    """Return what one cell costs the process that writes the run folder."""
    import numpy as np

    png = to_png(fit_picture(np.asarray(Image.open(PHOTO).convert("RGB")), 512))
    common, batch = _cell(folder), 32
    with RunFolder(folder / "driver").writer() as writer:

        def store() -> None:
            for start in range(0, cells, batch):
                names = [f"{number:020x}" for number in range(start, start + batch)]
                entries = [{"cell_id": name, "image": f"images/{name}.png"} for name in names]
                writer.add_cells(common, entries, dict.fromkeys(names, png))

        stored = seconds(store)
        replayed = seconds(writer.folder.records)
        compacted = seconds(writer.compact)
    return {
        "cells": cells,
        "bytes_of_a_picture": len(png),
        "milliseconds_to_store": 1000 * stored / cells,
        "milliseconds_to_replay": 1000 * replayed / cells,
        "milliseconds_to_compact": 1000 * compacted / cells,
    }


def _cell(folder: Path) -> dict[str, Any]:
    """Return the fields of a real cell that the made-up ones share."""
    request = RunRequest(methods=("identity",), benchmark="scenes", limit=1, out=folder / "one")
    summary = execute(request, QuietProgress())
    (cell,) = RunFolder.open(summary.path).records().cells.values()
    own = ("cell_id", "image")
    return {name: value for name, value in vars(cell).items() if name not in own}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--engine", default="processes", choices=("processes", "ray"))
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--cells", type=int, default=2000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {
            "engine": asked.engine,
            "processors": os.cpu_count(),
            "scaling": scaling(folder, asked.engine, asked.samples),
            "driver": driver(folder, asked.cells),
        }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
