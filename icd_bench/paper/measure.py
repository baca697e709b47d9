"""Runs an experiment: every row on every sample, each way to noise walked once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from icd_bench import registry
from icd_bench.api import Metric, Sample
from icd_bench.errors import MissingWeights, UnknownName
from icd_bench.metrics.weights import fingerprint
from icd_bench.models import ModelSpec
from icd_bench.registry import suggest
from icd_bench.run.planning.seeds import sample_seed
from icd_bench.run.progress import Progress

from .cells import Cells, Column, cell_name
from .experiments import Configuration, Experiment, by_encoder
from .material import Judges, Material, read
from .walks import Decoder, Scenes, draw, encode

if TYPE_CHECKING:
    from torch import Tensor

    from icd_bench.diffusion.backbone import Backbone
    from icd_bench.stats.frechet import Gaussian

AT_ONCE = 64
"""Pictures of a reference whose features are made at once."""
PIPELINE = ("vae", "text_encoder", "tokenizer", "scheduler")
VERSION = 1
"""Changes whenever the same row gives other numbers."""


@dataclass(frozen=True)
class Measured:
    """The scores of one row, or why there are none."""

    configuration: Configuration
    columns: dict[str, Column]
    """Name -> (N,), and ``features`` (N, D)."""
    rows_a_sample: int = 0
    """U-Net rows from picture to picture."""
    obstacle: str = ""


@dataclass(frozen=True)
class Bench:
    """A model, and what it is measured with."""

    spec: ModelSpec
    material: Material
    folder: Path
    """Where scores are kept."""
    seed: int = 0
    device: str = "cpu"
    dtype: str = "float32"
    batch_size: int = 32

    def measure(
        self, experiment: Experiment, limit: int | None, progress: Progress,
        only: Collection[str] = (),
    ) -> tuple[list[Sample], list[Measured]]:  # fmt: skip
        """Return the samples and the scores of all rows, in order.

        Args:
            experiment: its rows.
            limit: only the first N samples.
            progress: is told how far it is.
            only: labels of the rows to compute; others are as an earlier run left them. None: all.

        Raises:
            UnknownName: there is no row of a label.
            MissingWeights: of a part that the model has, but not on this machine.
        """
        for label in only:
            _check_label(label, experiment)
        obstacles = {row.label: self._obstacle(row) for row in experiment.configurations}
        rows = [row for row in experiment.configurations if not obstacles[row.label]]
        if not rows:
            raise MissingWeights(f"{experiment.name}: {next(iter(obstacles.values()))}")
        samples = self.material.take(limit, progress.say)
        metrics = [registry.metrics.load(name)() for name in self.material.metrics]
        cells = {row.label: self._cells(row, metrics) for row in rows}
        ids = [sample.id for sample in samples]
        if only:
            rows = [row for row in rows if row.label in only]
            for label in cells.keys() - set(only):
                if cells[label].missing(ids):
                    obstacles[label] = "not measured yet; the command without --rows does it"
        self._fill(experiment.name, rows, cells, samples, metrics, progress)
        schedule = self._schedule()
        measured = [
            Measured(row, cells[row.label].read(ids), _cost(row, schedule))
            if not obstacles[row.label]
            else Measured(row, {}, obstacle=obstacles[row.label])
            for row in experiment.configurations
        ]
        return samples, measured

    def reference(self) -> Gaussian | None:
        """Return what features of pictures are compared with, computed once; None: nothing."""
        import numpy as np

        from icd_bench.run.reading.prepare import to_tensor
        from icd_bench.stats.frechet import Gaussian

        reference = self.material.reference
        if reference is None:
            return None
        if reference.statistics is not None:
            return reference.statistics()
        made_by = {"reference": reference.signature, "resolution": self.spec.resolution}
        cells = Cells.open(self.folder / cell_name(made_by))
        if not cells.columns:
            features, pictures = reference.load(self.device), reference.pictures()
            found: list[Column] = []
            while part := list(islice(pictures, AT_ONCE)):
                found.append(features(to_tensor(part)))
            rows = np.concatenate(found)
            cells.add([str(index) for index in range(len(rows))], {"features": rows})
        return Gaussian.of(cells.columns["features"])

    def _fill(
        self, title: str, rows: Sequence[Configuration], cells: dict[str, Cells],
        samples: Sequence[Sample], metrics: Sequence[Metric], progress: Progress,
    ) -> None:  # fmt: skip
        """Compute what the cells lack, batch by batch, so that a stop leaves all rows as far."""
        ids = [sample.id for sample in samples]
        lacking = {row.label: cells[row.label].missing(ids) for row in rows}
        left = sum(map(len, lacking.values()))
        progress.stage(title, len(rows) * len(samples), len(rows) * len(samples) - left)
        if left:
            judges, backbone = self._load(metrics)
        for at in range(0, len(samples) if left else 0, self.batch_size):
            for group in by_encoder(rows).values():
                wanted = set().union(*(lacking[row.label] for row in group))
                part = [s for s in samples[at : at + self.batch_size] if s.id in wanted]
                todo = [row for row in group if lacking[row.label] & {s.id for s in part}]
                for row, columns in self._walk(backbone, judges, todo, part):
                    keep = [i for i, s in enumerate(part) if s.id in lacking[row.label]]
                    cells[row.label].add(
                        [part[i].id for i in keep],
                        {name: column[keep] for name, column in columns.items()},
                    )
                    progress.advance(len(keep))
        progress.close()

    def _walk(
        self, backbone: Backbone, judges: Judges, rows: Sequence[Configuration],
        samples: Sequence[Sample],
    ) -> Iterator[tuple[Configuration, dict[str, Column]]]:  # fmt: skip
        """Yield the scores of rows with one encoder, on one batch."""
        from icd_bench.diffusion.latent_nll import latent_nll

        if not rows:
            return
        prompts = [sample.target_prompt for sample in samples]
        seeds = [sample_seed(self.seed, sample.id) for sample in samples]
        scenes = Scenes.of(backbone, prompts, seeds)
        pictures = read(samples, backbone.resolution, self.material.protocol, self.device)
        noise: Tensor
        if rows[0].encode is None:
            noise, likelihood = draw(backbone, scenes), {}
        else:
            clean = backbone.encode_images(pictures)
            noise = encode(backbone, rows[0].encode, clean, scenes)
            likelihood = {"latent_nll": latent_nll(noise).cpu().numpy()}
        decoder = Decoder(backbone, noise, scenes)
        for row in rows:
            if row.decode is None:
                yield row, likelihood
            else:
                made = backbone.decode_latents(decoder(row.decode))
                inverted = row.encode is not None
                yield row, likelihood | judges.score(samples, pictures, made, inverted)

    def _load(self, metrics: Sequence[Metric]) -> tuple[Judges, Backbone]:
        from icd_bench.diffusion.backbone import Backbone

        for metric in metrics:
            metric.load(self.device)
        reference = self.material.reference
        judges = Judges(metrics, reference.load(self.device) if reference else None)
        return judges, Backbone.load(self.spec, self.device, self.dtype)

    def _obstacle(self, row: Configuration) -> str:
        """Return why a row cannot be measured with this model; raise where it only lacks files."""
        known = {part.name for part in self.spec.parts}
        for part in (*PIPELINE, *row.parts):
            if part not in known:
                return f'no weights: "{part}" is not part of {self.spec.name}'
            self.spec.folder_of(part)
        return ""

    def _cells(self, row: Configuration, metrics: Sequence[Metric]) -> Cells:
        made_by: dict[str, Any] = {
            "version": VERSION,
            "encode": row.encode and asdict(row.encode),
            "decode": row.decode and asdict(row.decode),
            "weights": {part: self._fingerprint(part) for part in (*PIPELINE, *row.parts)},
            "metrics": [metric.signature() for metric in metrics] if row.decode else [],
            "reference": (self.material.reference and self.material.reference.signature),
            "samples": self.material.title,
            "protocol": self.material.protocol.name,
            "seed": self.seed,
            "dtype": self.dtype,
        }
        return Cells.open(self.folder / cell_name(made_by))

    def _fingerprint(self, part: str) -> str:
        place, names = self.spec.folder_of(part), self.spec.part(part).files
        return fingerprint(tuple(place / name for name in names) or (place,))

    def _schedule(self) -> Any:
        from icd_bench.diffusion.schedule import Schedule

        return Schedule.from_folder(self.spec.folder_of("scheduler"))


def _check_label(label: str, experiment: Experiment) -> None:
    """Raise UnknownName unless the experiment has a row of this label."""
    labels = [row.label for row in experiment.configurations]
    if label not in labels:
        raise UnknownName(
            f'{experiment.name} has no row "{label}".{suggest(label, labels)} It has: '
            f"{', '.join(labels)}."
        )


def _cost(row: Configuration, schedule: Any) -> int:
    """Return the U-Net rows of one sample in this row alone."""
    up = row.encode.rows(row.encode.up(schedule)) if row.encode else 0
    return up + (row.decode.rows(row.decode.down(schedule)) if row.decode else 0)
