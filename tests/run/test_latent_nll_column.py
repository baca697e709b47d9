"""The likelihood of inverted noise: measured once, recorded with the edits, scored from there."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from run_fakes import FakeModels, Tint, here

from icd_bench import registry
from icd_bench.api import MethodInfo, NoiseLatents, Scored
from icd_bench.diffusion.latent_nll import latent_nll
from icd_bench.gate.measure import measure
from icd_bench.reports.curves import summary as curve_text
from icd_bench.reports.curves import trade_off, write
from icd_bench.reports.table import build_table, render
from icd_bench.run import RunFolder
from icd_bench.run.caches.inversions import StoredInversion, noise_nll
from icd_bench.run.scoring.rescore import score_run

HERE = str(Path(__file__))


class Inverter(Tint):
    """Says where its noise is."""

    info: ClassVar[MethodInfo] = replace(
        Tint.info, name="inverter", noise_latents=NoiseLatents("latents")
    )


BOTH = (f"{HERE}:Inverter", *here("Tint"))


def test_it_is_a_column_that_ranks_nothing(run, tmp_path):
    done, frame = run(methods=BOTH, metrics=("latent_nll", *here("Distance")), limit=3)
    inverted = frame[frame["method"] == "inverter"]
    assert inverted["latent_nll"].between(0.9189, 2).all()
    assert frame[frame["method"] == "tint"]["latent_nll"].isna().all()
    assert (frame["status"] == "ok").all()

    table = build_table([done.path])
    rows = {row.method: row for row in table.rows}
    assert (rows["inverter"].values["latent_nll"].n, rows["tint"].values["latent_nll"].n) == (3, 0)
    assert not any({"latent_nll"} & (row.best | row.second) for row in table.rows)
    assert "| latent_nll |" in render(table, "md")
    assert "latent\\_nll &" in render(table, "latex")
    assert list(measure(done.path).metrics) == ["distance"]

    found = trade_off([done.path], "distance", "latent_nll", resamples=100)
    assert (found.claims, found.choices, found.curves[0].x) == ((), (), ())
    assert "neither more nor less latent_nll is better" in curve_text(found)
    assert {path.suffix for path in write(found, tmp_path / "curve")} > {".svg", ".json"}


def test_resumed_stored_and_rescored_it_is_the_same(run, tmp_path):
    models = FakeModels()
    done, _ = run(models, methods=BOTH[:1], metrics=(), limit=2)
    early = {c.cell_id: c.latent_nll for c in RunFolder.open(done.path).records().cells.values()}
    _, frame = run(models, methods=BOTH[:1], metrics=("latent_nll",))
    inversions = len(models.backbone.inverted)
    _, again = run(models, methods=BOTH[:1], metrics=("latent_nll",), out=tmp_path / "other")
    assert len(models.backbone.inverted) == inversions  # the cache has them all
    values = dict(zip(frame["cell_id"], frame["latent_nll"], strict=True))
    assert values == dict(zip(again["cell_id"], again["latent_nll"], strict=True))
    assert len(early) == 2
    assert early.items() <= values.items()


def test_runs_of_before_have_no_value(run):
    done, _ = run(methods=BOTH[:1], metrics=(), limit=2)
    for path in done.path.rglob("*.jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for event in lines:
            for cell in event.get("cells", ()):
                cell.pop("latent_nll")
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (done.path / "results.parquet").unlink()
    assert score_run(done.path, ["latent_nll"]) == ()
    assert RunFolder.open(done.path).read_results()["latent_nll"].isna().all()


def test_the_noise_is_where_the_method_says():
    trajectory = torch.randn(1, 5, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    stored = StoredInversion({"trajectory": trajectory}, nfe=4, seconds=1.0)
    last = noise_nll(stored, NoiseLatents("trajectory", -1))
    assert last == float(latent_nll(trajectory[:, 4]))
    assert abs(last - (math.log(2 * math.pi) + 1) / 2) < 0.1
    assert noise_nll(stored, NoiseLatents("trajectory", 0)) != last
    assert noise_nll(stored, NoiseLatents("latents")) is None
    assert noise_nll(stored, None) is None


def test_every_method_that_inverts_declares_its_noise():
    declared = {
        name: registry.methods.load(name).info.noise_latents for name in registry.methods.names()
    }
    without = {name for name, place in declared.items() if place is None}
    assert without == {
        "edit_friendly",
        "identity",
        "infedit",
        "instruct_pix2pix",
        "jpeg",
        "sdedit",
        "vae-roundtrip",
    }
    assert declared["nti"] == NoiseLatents("trajectory", 0)


def test_a_metric_alone_has_no_value():
    pictures = torch.zeros(2, 3, 4, 4)
    batch = Scored([None] * 2, pictures, pictures, None, None)
    assert np.isnan(registry.metrics.load("latent_nll")().score(batch)).all()
