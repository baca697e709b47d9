"""What surrounds the U-Nets of a training: pipeline, data, processes, and the loop."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from icd_bench.diffusion.backbone import Backbone
from icd_bench.diffusion.networks import Networks
from icd_bench.errors import UsageError
from icd_bench.models import ModelSpec, find_model
from icd_bench.run.planning.sources import InstalledModels
from icd_bench.training.batch import WHOLE, Examples, Share
from icd_bench.training.data.rows import Columns
from icd_bench.training.data.source import open_source
from icd_bench.training.data.stream import Stream, left_out
from icd_bench.training.loop import CHECKPOINT, Task, Trainer
from icd_bench.training.losses import Levels
from icd_bench.training.prediction import Predict
from icd_bench.training.processes import Processes

from .board import board
from .model_folder import link_model, write_card
from .settings import FAMILIES, SETTINGS, RunSettings, check_unchanged
from .watching import Watched

_ENCODED_AT_ONCE = 16


class Session:
    """One run of one process. It writes nothing before :meth:`train`.

    Args:
        settings: of the run.
        particular: settings of the task, for the record.

    Raises:
        UsageError: the settings do not fit one another, the model, the processes, or those that
            the run was begun with.
        MissingWeights: a part of the pipeline is not on this machine.
    """

    def __init__(self, settings: RunSettings, particular: Mapping[str, Any] | None = None) -> None:
        self.settings = settings
        self.folder = settings.out / "model"
        """Of the model that the run makes."""
        self.spec = trainable_model(settings.model)
        InstalledModels().require(self.spec, ())
        self._check_apart()
        paper = FAMILIES[self.spec.family]
        self.scales = settings.scales or paper.scales
        self.batch_size = settings.batch_size or paper.batch_size

        self.processes = Processes(settings.cpu, settings.precision)
        self.share = self.processes.share
        if self.batch_size % self.share.of:
            raise UsageError(
                f"a batch of {self.batch_size} cannot be shared by {self.share.of} processes; "
                "give --batch-size a multiple"
            )
        self.record = {
            **settings.fixed(),
            "batch_size": self.batch_size,
            "scales": self.scales,
            "precision": self.processes.precision_name,
            **(particular or {}),
        }
        self.resumes = (settings.out / CHECKPOINT).exists() and not settings.fresh
        if self.resumes:
            check_unchanged(settings.out / SETTINGS, self.record)

        precision, device = self.processes.precision, self.processes.device
        # The autoencoder in float32: half precision would show in every latent.
        self.backbone = Backbone.load(self.spec, str(device))
        if self.backbone.schedule.prediction != "epsilon":
            raise UsageError(f'model "{self.spec.name}" predicts v; the losses here are of eps')
        self.levels = Levels(self.backbone.schedule.alphas_cumprod.float().to(device))
        self.predict = Predict(precision, self.spec.resolution)
        self.stream = self._stream(settings.data.location, self.share)

    def _check_apart(self) -> None:
        if self.spec.root and self.spec.root.resolve() == self.folder.resolve():
            raise UsageError(
                f"{self.folder}: is the model to train on, and would be overwritten by the one "
                "that is made; give another --out"
            )

    def _stream(self, location: str, share: Share) -> Stream:
        data = self.settings.data
        columns = Columns(data.image_column, data.caption_column)
        source = open_source(location, columns, data.split, data.stream)
        return Stream(
            source, self.spec.resolution, data.fit, self.settings.seed, share, data.workers
        )

    def unet(self, name: str) -> UNet2DConditionModel:
        """Return a frozen U-Net in float32: ``base`` or ``cfg_distilled``."""
        networks = Networks(self.spec, self.processes.device, torch.float32)
        return networks(name)

    def examples(self, step: int) -> Examples:
        """Return the next pairs of this process, encoded; the stream knows which they are."""
        count = self.batch_size // self.share.of
        parts = [
            self._encoded(self.stream, min(_ENCODED_AT_ONCE, count - done))[1]
            for done in range(0, count, _ENCODED_AT_ONCE)
        ]
        return Examples(
            torch.cat([part.x0 for part in parts]), torch.cat([part.text for part in parts])
        )

    def _encoded(self, stream: Stream, count: int) -> tuple[Tensor, Examples]:
        number = stream.used * self.share.of + self.share.index
        pictures, captions = stream.take(count)
        # As for inversion: the posterior's mean for Stable Diffusion 1.x, a sample for XL.
        sampled = self.spec.family == "sdxl"
        numbers = range(number, number + count * self.share.of, self.share.of)
        seeds = [self.settings.seed * 2**40 + n for n in numbers] if sampled else None
        x0 = self.backbone.encode_images(pictures, seeds)
        return pictures, Examples(x0, self._texts(captions))

    def null_text(self) -> Tensor:
        """Return the text (1, L, D) of the empty prompt."""
        return self._texts([""])

    def _texts(self, prompts: Sequence[str]) -> Tensor:
        with self.processes.precision():
            return self.backbone.encode_prompts(prompts)

    @cached_property
    def watched(self) -> Watched:
        """The pictures that progress is shown on."""
        location = self.settings.watched_data or self.settings.data.location
        return Watched(*self._encoded(self._stream(location, WHOLE), self.settings.watched))

    def train(self, task: Task, without: Collection[str]) -> None:
        """Train to the end, from the checkpoint where there is one.

        Args:
            task: what is trained; its validation writes it into the model's folder.
            without: needs whose parts are not taken over from the model that is trained on.

        Raises:
            UsageError: the checkpoint is damaged, or of another number of processes.
            Diverged: the training has run away.
        """
        out, main = self.settings.out, self.processes.main
        trainer = Trainer(
            task, self.settings.plan(self.batch_size), out, self.processes, self.stream,
            board(out / "tensorboard") if main else None,
        )  # fmt: skip
        self.processes.wait()  # until every process has looked for the checkpoint
        if self.resumes:
            trainer.resume()
        elif main:
            self._begin(trainer)
        if main:
            link_model(self.spec, self.folder, without)
        figures = trainer.train()
        if main:
            write_card(self.folder, self.record, figures)
            self._report(trainer.positions)
            print(f"model: {self.folder}")
        self.processes.close()

    def _begin(self, trainer: Trainer) -> None:
        """Keep the record; forget an earlier run, parts of whose model may not fit the new one."""
        file = self.settings.out / SETTINGS
        earlier = file.exists() or trainer.checkpoint.exists()
        trainer.start_over()
        if earlier:
            shutil.rmtree(self.folder, ignore_errors=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(self.record, indent=2) + "\n", encoding="utf-8")

    def _report(self, positions: list[dict[str, Any]]) -> None:
        used = sum(position["used"] for position in positions)
        bad = left_out(positions)
        print(f"data: {used} rows used, {sum(bad.values())} left out")
        for field, count in bad.items():
            first = next(p["bad"][field]["first"][0] for p in positions if field in p["bad"])
            print(f"  {field}: {count}, such as {first}")


def trainable_model(name: str) -> ModelSpec:
    """Return a model whose pipeline can be trained here.

    Raises:
        UsageError: it is of another family.
    """
    spec = find_model(name)
    if spec.family not in FAMILIES:
        raise UsageError(
            f'model "{spec.name}" is of the family "{spec.family}"; '
            f"only {' and '.join(FAMILIES)} can be trained"
        )
    return spec
