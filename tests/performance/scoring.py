"""Scored pictures a second, and what limits it.

``python tests/performance/scoring.py [--pictures N] [--side PX] [--metrics A,B] [--device D]``
makes a throw-away run of pictures with the spectrum of photos, three edits each, and measures

- *scoring*: ``icd-bench score`` as it is, from the files to the stored scores;
- *decoding* alone: the same files to arrays, in the same threads and in one;
- each *metric* alone, on pictures that are decoded already.

Decoding runs beside the metrics, so the larger of the two limits a run; the share of the time that
is neither is Python's. It prints a table in Markdown and a JSON line.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from icd_bench.api import Metric
from icd_bench.metrics.features import FeatureCache
from icd_bench.protocols import NATIVE
from icd_bench.run import RunFolder
from icd_bench.run.planning.devices import choose_device
from icd_bench.run.progress import QuietProgress
from icd_bench.run.reading.sample_reading import READERS
from icd_bench.run.scoring.outside import OutsideRequest, score_outside
from icd_bench.run.scoring.rescore import score_run
from icd_bench.run.scoring.score import Reader, Stored, batches_of, load_metrics, make_scored
from icd_bench.run.storage.provenance import hardware

OFFLINE = ("psnr", "ssim", "ms_ssim", "mse", "lpips_alex")
"""What needs nothing but the package."""


def photo(rng: np.random.Generator, side: int) -> np.ndarray:
    """Return (side, side, 3) levels whose amplitudes fall with frequency, as those of photos do."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    frequency[0, 0] = 1
    spectrum = np.fft.fft2(rng.normal(size=(3, side, side))) / frequency
    values = np.fft.ifft2(spectrum).real
    values = (values - values.min()) / np.ptp(values)
    return np.rint(255 * values).astype(np.uint8).transpose(1, 2, 0)


def make_run(place: Path, pictures: int, side: int) -> Path:
    """Return a run of edited pictures, with their sources and JPEG files as further edits."""
    rng = np.random.default_rng(0)
    sources, edits = place / "sources", place / "edits"
    sources.mkdir()
    edits.mkdir()
    lines = []
    for number in range(pictures):
        name = f"{number:04}.png"
        source = photo(rng, side)
        Image.fromarray(source).save(sources / name)
        changed = source.astype(int) + rng.integers(-12, 13, source.shape)
        Image.fromarray(changed.clip(0, 255).astype(np.uint8)).save(edits / name)
        lines.append(
            {"id": name[:-4], "image": name, "source": "a photo", "target": "another photo"}
        )
    (sources / "prompts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    request = OutsideRequest(
        edits, str(sources), "noise", resolution=side, metrics=(), out=place / "run"
    )
    return score_outside(request, QuietProgress()).path


def decode(path: Path, threads: int) -> tuple[float, list[list[Stored]]]:
    """Return the seconds that reading takes, and what was read."""
    with RunFolder.open(path).writer() as writer:
        reader = Reader(writer, NATIVE, threads)
        begun = time.perf_counter()
        read = [reader.read(batch)[1] for batch in batches_of(list(writer.records.cells.values()))]
        return time.perf_counter() - begun, read


def measure(metric: Metric, batches: list[list[Stored]]) -> float:
    """Return the seconds that a metric takes with pictures in memory."""
    scored = [make_scored(batch) for batch in batches]
    metric.score(scored[0])
    if hasattr(metric, "references"):
        metric.references = FeatureCache()
    begun = time.perf_counter()
    for batch in scored:
        metric.score(batch)
    return time.perf_counter() - begun


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--pictures", type=int, default=16)
    options.add_argument("--side", type=int, default=512)
    options.add_argument("--metrics", default=",".join(OFFLINE))
    options.add_argument("--device", default="auto")
    given = options.parse_args()
    names, device = given.metrics.split(","), choose_device(given.device)
    with tempfile.TemporaryDirectory() as place:
        path = make_run(Path(place), given.pictures, given.side)
        metrics = load_metrics(names, device, print)
        one_thread, _ = decode(path, 1)
        decoding, batches = decode(path, READERS)
        alone = {metric.info.name: measure(metric, batches) for metric in metrics}
        begun = time.perf_counter()
        score_run(path, names, device, QuietProgress())
        scoring = time.perf_counter() - begun
    count = sum(map(len, batches))
    networks = sum(alone.values())
    rows = {"scoring": scoring, "decoding alone": decoding, "in one thread": one_thread}
    rows |= {"metrics alone": networks, **alone}
    processor = hardware()["processor"]
    print(f"\n{count} edits of {given.pictures} pictures, {given.side} px, on {processor}\n")
    print("| | ms an edit | edits/s |\n|---|--:|--:|")
    for name, seconds in rows.items():
        print(f"| {name} | {1000 * seconds / count:.1f} | {count / seconds:.1f} |")
    limit = "decoding" if decoding > networks else "metrics"
    rest = 1 - max(decoding, networks) / scoring
    print(f"\nlimited by {limit}; beyond it {rest:.0%} of the time")
    print(json.dumps({name: round(seconds / count, 5) for name, seconds in rows.items()}))


if __name__ == "__main__":
    main()
