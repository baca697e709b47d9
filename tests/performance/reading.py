"""Samples read a second: threads against processes.

``python tests/performance/reading.py [--samples N] [--rounds N]`` writes pictures with the spectrum
of photos, and reads, fits and encodes them as a run does: in the threads that a run begins with,
and in the processes that it changes to when there is much to read. The two take turns, so that
other work on the machine meets both. Beside the rate stands how much of its usual pace a loop in
Python keeps meanwhile, as the thread that feeds an accelerator must. It prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image
from scoring import photo

from icd_bench.api import Sample
from icd_bench.benchmarks.folder import Folder
from icd_bench.run.reading.sample_reading import (
    Fit,
    ReaderProcesses,
    SampleReader,
    usable_processors,
)
from icd_bench.run.storage.provenance import hardware

KINDS = {
    "512 px, JPEG": ((512, 512), "jpg", 1.0),
    "512 px, PNG": ((512, 512), "png", 1.0),
    "640x480, JPEG (COCO)": ((640, 480), "jpg", 1.0),
    "4000x3000, JPEG (12 megapixels)": ((4000, 3000), "jpg", 0.125),
}
"""Title -> size, format, share of the samples that are measured."""


def make_samples(place: Path, count: int, size: tuple[int, int], form: str) -> list[Sample]:
    """Return the samples of a folder of photos."""
    rng = np.random.default_rng(0)
    place.mkdir()
    lines = []
    for number in range(count):
        picture = Image.fromarray(photo(rng, 512)).resize(size, Image.Resampling.BICUBIC)
        picture.save(place / f"{number}.{form}", quality=92)
        lines.append({"image": f"{number}.{form}", "source": "a photo", "target": "another"})
    (place / "prompts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return [sample for sample in Folder(str(place)).samples() if isinstance(sample, Sample)]


Read = Callable[[Sequence[Sample]], object]


def rate(read: Read, samples: Sequence[Sample]) -> float:
    """Return the samples a second that are read while nothing else is done."""
    start = time.perf_counter()
    read(samples)
    return len(samples) / (time.perf_counter() - start)


def pace(read: Read, samples: Sequence[Sample]) -> float:
    """Return the steps a second of a loop in Python while samples are read in a thread."""
    thread = threading.Thread(target=read, args=(samples,))
    start, steps = time.perf_counter(), 0
    thread.start()
    while thread.is_alive():
        sum(range(1000))
        steps += 1
    return steps / (time.perf_counter() - start)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--samples", type=int, default=64)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    fit, count = Fit(512), usable_processors()
    start = time.perf_counter()
    processes = ReaderProcesses(fit, count)
    threads = SampleReader(fit)
    rows: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        for title, (size, form, share) in KINDS.items():
            number = max(count, int(given.samples * share))
            samples = make_samples(Path(place) / title, number, size, form)
            if not rows:
                processes.read(samples[:count])
                print(f"{count} processes answer after {time.perf_counter() - start:.1f} s\n")
            readers: dict[str, Read] = {"threads": threads.read, "processes": processes.read}
            took = [
                {name: (rate(read, samples), pace(read, samples)) for name, read in readers.items()}
                for _ in range(given.rounds)
            ]
            free = pace(lambda _: time.sleep(0.3), ())
            begun = time.thread_time()
            for sample in samples:
                fit.read(sample)
            own = 1000 * (time.thread_time() - begun) / number
            rates = {name: median(one[name][0] for one in took) for name in readers}
            paces = {name: median(one[name][1] for one in took) / free for name in readers}
            ratio = rates["processes"] / rates["threads"]
            rows.append(
                f"| {title} | {own:.1f} | {rates['threads']:.1f} | {rates['processes']:.1f} "
                f"| {ratio:.2f} | {paces['threads']:.0%} | {paces['processes']:.0%} |"
            )
    processes.close()
    print(f"samples a second, {hardware()['processor']}, {count} processors\n")
    print(
        "| pictures | processor ms a sample | threads | processes | ratio "
        "| pace beside threads | beside processes |\n|---|--:|--:|--:|--:|--:|--:|"
    )
    print("\n".join(rows))


if __name__ == "__main__":
    main()
