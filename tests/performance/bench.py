"""Edits a second with and without sharing and batching; ``make bench``.

``python tests/performance/bench.py [--methods A,B] [--json FILE] [--docs FILE]`` edits the embedded
benchmark in one process on one machine in two ways:

- *alone*: a picture and a setting at a time, inverted anew each time, as a script that is run for
  every setting does it. The model stays loaded and texts stay encoded, which spares it some work.
- *together*: by ``icd-bench run``'s own engine, the whole sweep of a method at once.

What is compared is measured in turns, half of it before and half after the other, because other
work on a machine comes and goes.

For iCD it also says what the harness adds: the time of the run over that of its U-Net rows, each as
long as a row of a plain call of the same network with as many rows; and over that of the U-Net and
the autoencoder together, which is all that the model itself has to do.

It prints a JSON line, and writes the table between the marks of a page of the documentation. Exit
code 1: the sweep of iCD is not five times faster together.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from icd_bench.api import Batch, Sample
from icd_bench.diffusion.backbone import Backbone
from icd_bench.run import RunFolder, RunRequest, execute, make_plan
from icd_bench.run.planning.devices import choose_batch_size, choose_device, choose_dtype
from icd_bench.run.planning.plan import Plan
from icd_bench.run.planning.sources import InstalledModels, Model
from icd_bench.run.progress import QuietProgress
from icd_bench.run.reading.prepare import prepare, to_levels, to_png, to_tensor
from icd_bench.run.storage.provenance import hardware
from icd_bench.throughput.measure import NETWORKS, clock, seconds_per_row

FIFTHS = "0.2,0.4,0.6,0.8,1.0"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
LEAST_RATIO = 5.0
"""Of iCD's sweep."""
REPEATS = 3
"""Of the measurement of what the harness adds; the middle one counts."""


@dataclass(frozen=True)
class Workload:
    """A method's sweep, and how much of it is run."""

    method: str
    sweeps: tuple[str, ...]
    alone: int
    """Edits of the slow way."""
    together: int
    """Samples of the fast way."""


WORKLOADS = (
    Workload("icd", (f"cross_replace={FIFTHS}", f"self_replace={FIFTHS}"), alone=24, together=16),
    Workload("npi", ("default",), alone=4, together=2),
    Workload("nti", ("default",), alone=2, together=1),
    Workload("direct_inversion", ("default",), alone=4, together=2),
    Workload("edit_friendly", ("default",), alone=4, together=2),
    Workload(
        "infedit",
        ("cross_replace=0.3,0.5,0.7,0.9", "self_replace=0.3,0.5,0.7,0.9"),
        alone=6,
        together=4,
    ),
    Workload("renoise", ("default",), alone=6, together=6),
)


@dataclass(frozen=True)
class Speed:
    """Edits and what they took."""

    edits: int
    rows: float
    """U-Net rows an edit."""
    seconds: float

    @property
    def rate(self) -> float:
        """Edits a second."""
        return self.edits / self.seconds

    def joined(self, other: Speed) -> Speed:
        """Return the speed of both parts."""
        edits = self.edits + other.edits
        rows = (self.edits * self.rows + other.edits * other.rows) / edits
        return Speed(edits, rows, self.seconds + other.seconds)


@dataclass(frozen=True)
class Result:
    """One method's two ways."""

    method: str
    settings: int
    samples: int
    """Of the fast way."""
    alone: Speed
    together: Speed

    @property
    def ratio(self) -> float:
        """How many times more edits a second."""
        return self.together.rate / self.alone.rate


@dataclass(frozen=True)
class Overhead:
    """The time of iCD's run, and of what the model has to do for it."""

    seconds: float
    unet_seconds: float
    autoencoder_seconds: float

    @property
    def over_unet(self) -> float:
        """Time of the run over that of its U-Net rows."""
        return self.seconds / self.unet_seconds

    @property
    def over_model(self) -> float:
        """Time of the run over that of its U-Net rows and its pictures' encoding and decoding."""
        return self.seconds / (self.unet_seconds + self.autoencoder_seconds)


class Loaded(InstalledModels):
    """A model that is loaded already."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone

    def load(self, model: Model, device: str, dtype: str) -> Backbone:
        """Return the model."""
        return self._backbone


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    options = _options(arguments)
    device = choose_device("auto")
    dtype = choose_dtype("auto", device)
    models = InstalledModels()
    backbone = models.load(models.find("scenes"), device, dtype)
    workloads = [w for w in WORKLOADS if not options.methods or w.method in options.methods]
    results = [measure(workload, backbone) for workload in workloads]
    overheads = [measure_overhead(WORKLOADS[0], backbone) for _ in range(REPEATS)]
    overhead = sorted(overheads, key=lambda one: one.over_unet)[REPEATS // 2]
    place = hardware() | {"device": device, "dtype": dtype}
    content = {
        "hardware": place,
        "results": [_as_json(one) for one in results],
        "overhead": asdict(overhead)
        | {"over_unet": overhead.over_unet, "over_model": overhead.over_model},
    }
    print(json.dumps(content))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if options.docs:
        put_table(options.docs, table(results, overhead, place))
    slow = [one for one in results if one.method == "icd" and one.ratio < LEAST_RATIO]
    return int(bool(slow))


def measure(workload: Workload, backbone: Backbone) -> Result:
    """Return the speed of both ways; each is run once before, on one sample and one setting."""
    with tempfile.TemporaryDirectory() as folder:
        request = _request(workload, Path(folder) / "run")
        plan = make_plan(request)
        warm_up(workload, backbone, Path(folder) / "warm")
        places = range(workload.alone)
        half = workload.alone // 2
        before = edit_alone(plan, backbone, Path(folder), workload.alone, places[:half])
        together = edit_together(request, backbone)
        after = edit_alone(plan, backbone, Path(folder), workload.alone, places[half:])
        alone = before.joined(after)
    print(f"{workload.method}: {alone.rate:.3g} -> {together.rate:.3g} edits/s", file=sys.stderr)
    settings = len(plan.methods[0].settings)
    return Result(workload.method, settings, workload.together, alone, together)


def warm_up(workload: Workload, backbone: Backbone, folder: Path) -> None:
    """Import and load everything that the workload needs: run one picture and one setting."""
    quick = ("nti.inner_steps=0",) if workload.method == "nti" else ()
    request = replace(_request(workload, folder), limit=1, sweeps=(), sets=quick)
    execute(request, QuietProgress(), Loaded(backbone))


def measure_overhead(workload: Workload, backbone: Backbone) -> Overhead:
    """Return what the run of a workload of iCD takes, and what its parts take by themselves."""
    with tempfile.TemporaryDirectory() as folder:
        warm_up(workload, backbone, Path(folder) / "warm")
        request = _request(workload, Path(folder) / "run")
        before = _model_seconds(request, backbone)
        seconds = edit_together(request, backbone).seconds
        after = _model_seconds(request, backbone)
    unet, autoencoder = (fmean(pair) for pair in zip(before, after, strict=True))
    return Overhead(seconds, unet, autoencoder)


def _model_seconds(request: RunRequest, backbone: Backbone) -> tuple[float, float]:
    """Return the seconds of all rows of iCD 4 + 4, and of all pictures, in plain calls."""
    plan = make_plan(request)
    settings = len(plan.methods[0].settings)
    most = choose_batch_size(request, plan, str(backbone.device))
    unet = autoencoder = 0.0
    for first in range(0, len(plan.rows), most):
        samples = min(most, len(plan.rows) - first)
        calls = ((NETWORKS[0], samples), (NETWORKS[1], samples * (settings + 1)))
        unet += sum(4 * rows * seconds_per_row(backbone, name, rows) for name, rows in calls)
        autoencoder += _autoencoder_seconds(backbone, samples, samples * settings)
    return unet, autoencoder


def _autoencoder_seconds(backbone: Backbone, encoded: int, decoded: int) -> float:
    pictures = torch.rand(encoded, 3, backbone.resolution, backbone.resolution)
    latents = torch.randn(decoded, *backbone.latent_shape)
    took = []
    for _ in range(3):
        start = clock(backbone.device)
        backbone.encode_images(pictures)
        backbone.decode_latents(latents)
        took.append(clock(backbone.device) - start)
    return sorted(took)[1]


def _request(workload: Workload, out: Path) -> RunRequest:
    return RunRequest(
        methods=(workload.method,),
        benchmark="scenes",
        limit=workload.together,
        sweeps=workload.sweeps,
        metrics=(),
        cache_size=0,
        out=out,
    )


def edit_alone(
    plan: Plan, backbone: Backbone, folder: Path, count: int, numbers: Sequence[int]
) -> Speed:
    """Edit the first pictures, each with one of the settings, from the file to the file.

    Args:
        plan: of the whole sweep.
        backbone: edits.
        folder: for the pictures.
        count: settings, evenly spread over the sweep, that are edited in all.
        numbers: those of them that are edited now.
    """
    planned, rows = plan.methods[0], 0
    start = time.perf_counter()
    for number in numbers:
        row = plan.rows[number % len(plan.rows)]
        setting = planned.settings[number * (len(planned.settings) - 1) // max(1, count - 1)]
        batch = _batch(row.sample, plan, backbone)
        inversion = planned.method.invert(backbone, batch, setting)
        edits = planned.method.edit(backbone, batch, inversion, [setting])
        (folder / f"{number}.png").write_bytes(to_png(to_levels(edits.images[0])[0]))
        rows += sum(inversion.nfe) + edits.source_rows(0, 0) + edits.nfe[0][0]
    return Speed(len(numbers), rows / len(numbers), time.perf_counter() - start)


def edit_together(request: RunRequest, backbone: Backbone) -> Speed:
    """Run the whole sweep."""
    start = time.perf_counter()
    summary = execute(request, QuietProgress(), Loaded(backbone))
    seconds = time.perf_counter() - start
    cells = RunFolder.open(summary.path).records().cells.values()
    inverted = {one.inversion_id: one.nfe_invert or 0 for one in cells}
    # The source branch that the most demanding setting of an inversion needs serves the others.
    sources: dict[str, int] = {}
    for one in cells:
        sources[one.inversion_id] = max(sources.get(one.inversion_id, 0), one.nfe_source or 0)
    edited = sum(one.nfe_edit or 0 for one in cells)
    rows = sum(inverted.values()) + sum(sources.values()) + edited
    return Speed(summary.done, rows / summary.done, seconds)


def table(results: Sequence[Result], overhead: Overhead, place: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| method | settings | alone: n | rows/edit | edits/s | together: n | rows/edit | edits/s "
        "| ratio |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for one in results:
        cells = [one.method, str(one.settings)]
        for speed in (one.alone, one.together):
            cells += [str(speed.edits), f"{speed.rows:.1f}", f"{speed.rate:.2f}"]
        lines.append("| " + " | ".join([*cells, f"{one.ratio:.1f}"]) + " |")
    machine = ", ".join(f"{name} {value}" for name, value in place.items())
    added = (
        f"iCD's run takes {overhead.over_unet:.2f} times as long as its U-Net rows, and "
        f"{overhead.over_model:.2f} times as long as its U-Net rows and its pictures' encoding and "
        "decoding."
    )
    return "\n".join([*lines, "", added, "", f"`make bench` on: {machine}."])


def put_table(page: Path, text: str) -> None:
    """Replace what is between the marks of a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def _batch(sample: Sample, plan: Plan, backbone: Backbone) -> Batch:
    pictures = prepare(sample, backbone.resolution)
    return Batch(
        ids=(sample.id,),
        images=to_tensor([pictures.source], str(backbone.device)),
        source_prompts=(sample.source_prompt,),
        target_prompts=(sample.target_prompt,),
        blend_words=(sample.blend_words,),
        seeds=(plan.seed_of(sample.id),),
    )


def _as_json(result: Result) -> dict[str, Any]:
    rates = {"alone": result.alone.rate, "together": result.together.rate}
    return asdict(result) | {"edits_per_second": rates, "ratio": result.ratio}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--methods", type=lambda text: tuple(text.split(",")), default=())
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="page that has the marks")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
