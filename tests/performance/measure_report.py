"""Time and size of the report of 42,000 edits of 512 x 512 pixels, and how soon it can be used.

``python tests/performance/measure_report.py [SAMPLES]`` writes a run of SAMPLES x 60 rows (700 by
default), whose files are a few hundred distinct pictures under many names, makes its report, opens
it in Chromium and prints a JSON line. Exit code 1: over two minutes, a first page of 3 MB or more,
or not usable within two seconds. Takes about 1 GB in the temporary folder and three minutes.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from browser import Browser, start_chromium
from stored_runs import digest_of, stored_run

from icd_bench.reports.page.build import build_report
from icd_bench.run.reading.prepare import to_png

METRICS = {
    "psnr": ("higher", "preservation"),
    "lpips": ("lower", "preservation"),
    "ssim": ("higher", "preservation"),
    "clip_text": ("higher", "editing"),
    "reward": ("higher", "editing"),
}
METHODS = ("icd", "npi", "nti", "ddim", "edit_friendly", "infedit")
STRENGTHS = tuple(np.linspace(0.1, 1, 10).round(1).tolist())
DISTINCT, SIDE = 300, 512
LONGEST, LARGEST, SOONEST = 120.0, 3e6, 2.0
"""Seconds of building, bytes of the first page, seconds until it can be used."""


def main(samples: int = 700) -> int:
    """Measure once."""
    with tempfile.TemporaryDirectory() as place:
        run = _write_run(Path(place) / "run", samples)
        started, used = time.monotonic(), time.process_time()
        report = build_report([run])
        seconds, processor = time.monotonic() - started, time.process_time() - used
        first, grid = _opened(report.page)
        measured = {
            "edits": report.cells,
            "seconds": round(seconds, 1),
            "processor_seconds": round(processor, 1),
            "first_page_bytes": report.page.stat().st_size,
            "all_bytes": report.bytes,
            "usable_seconds": round(first, 2),
            "pictures_seconds": round(grid, 2),
        }
        print(json.dumps(measured))
        small = report.page.stat().st_size < LARGEST
        return int(not (seconds < LONGEST and small and max(first, grid) < SOONEST))


def _write_run(path: Path, samples: int) -> Path:
    """Write a run whose files lie where a run has them: links to a few pictures."""
    originals = [path.parent / f"{number}.png" for number in range(DISTINCT)]
    for number, file in enumerate(originals):
        file.write_bytes(to_png(_photo(number)))
    rng = np.random.default_rng(0)
    cards = {name: {"anchor": False, "default_setting": {"strength": 0.5}} for name in METHODS}
    scores: dict[str, dict[str, float]] = {name: {} for name in METRICS}
    with stored_run(path, SIDE, {"methods": cards}) as run:
        for index in range(samples):
            run.add_sample(f"s{index}", {}, category=f"{index % 10}_kind", files={"source": ""})
            place = path / run.writer.folder.sample_path(digest_of(f"s{index}"), SIDE, "source")
            _link(originals[index % DISTINCT], place)
        for (rank, method), strength in product(enumerate(METHODS), STRENGTHS):
            cells = [
                {
                    "cell_id": (name := digest_of(f"{method} {strength} {index}")[:32]),
                    "sample_id": f"s{index}",
                    "sample_index": index,
                    "image": run.writer.folder.image_path(name).as_posix(),
                }
                for index in range(samples)
            ]
            kept = 32 - 16 * strength + rank / 2 + rng.normal(0, 2, samples)
            done = 0.2 + 0.05 * strength + rng.normal(0, 0.02, samples)
            columns = (kept, 0.5 - kept / 80, 0.9 - kept / 200, done, 10 * done)
            for index, cell in enumerate(cells):
                _link(originals[(index + 7 * rank) % DISTINCT], path / cell["image"])
                for metric, column in zip(METRICS, columns, strict=True):
                    scores[metric][cell["cell_id"]] = column[index]
            run.add_cells(method, {"strength": strength}, cells)
        for metric, (direction, group) in METRICS.items():
            run.add_metric(metric, scores[metric], direction=direction, group=group)
    return path


def _link(original: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    os.link(original, place)


def _photo(seed: int) -> Any:
    """Return (SIDE, SIDE, 3) uint8 with the spectrum of a photograph, about 440 kB as PNG."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(SIDE)] * 2)) + 1 / SIDE
    noise = np.fft.fft2(rng.normal(size=(3, SIDE, SIDE))) / frequency**1.7
    levels = np.fft.ifft2(noise).real.transpose(1, 2, 0)
    return (128 + 45 * (levels - levels.mean()) / levels.std()).clip(0, 255).astype(np.uint8)


def _opened(page: Path) -> tuple[float, float]:
    """Return seconds until table and curve are there, and until a screen of pictures is."""
    driver = start_chromium()
    try:
        browser = Browser(driver)
        browser.resize((1280, 900))
        started = time.monotonic()
        browser.open(page)
        browser.wait("document.querySelector('a.point')", 60)
        first = time.monotonic() - started
        started = time.monotonic()
        browser.open(page, "#pictures")
        painted = "[...document.querySelectorAll('.tile canvas')].filter(c => c.width !== 300)"
        browser.wait(f"{painted}.length > 12", 60)
        return first, time.monotonic() - started
    finally:
        driver.quit()


if __name__ == "__main__":
    raise SystemExit(main(*map(int, sys.argv[1:])))
