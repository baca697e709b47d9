"""Protocols: how they prepare and score pictures, and that they never meet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from run_fakes import here, make_sample, picture

from icd_bench.api import Sample
from icd_bench.errors import UnknownName, UsageError
from icd_bench.metrics.mse import MSE, BackgroundMSE, ZeroedMSE
from icd_bench.metrics.psnr import ZeroedPSNR
from icd_bench.metrics.ssim import ZeroedSSIM
from icd_bench.pictures import read_picture, through_jpeg
from icd_bench.protocols import NATIVE, find_protocol, protocols
from icd_bench.run import RunFolder
from icd_bench.run.progress import QuietProgress
from icd_bench.run.reading.prepare import fit_mask, fit_picture, prepare
from icd_bench.run.scoring.outside import OutsideRequest, score_outside
from icd_bench.run.scoring.score import Reader, Stored, batches_of, make_scored

PHOTO = Path(__file__).parents[1] / "data" / "photos" / "cat.jpg"
ICD, PIE = find_protocol("icd-2024"), find_protocol("pie-bench-2023")


def test_unknown_protocols_get_a_suggestion() -> None:
    with pytest.raises(UnknownName, match='Did you mean "icd-2024"'):
        find_protocol("icd-2023")


def test_only_native_leaves_signatures_alone() -> None:
    signed = {name: protocol.sign("psnr|v1") for name, protocol in protocols().items()}
    assert signed["native"] == "psnr|v1"
    assert len(set(signed.values())) == len(signed)


def test_fits() -> None:
    wide = picture(1, 20, 30)
    assert np.array_equal(fit_picture(wide, 20), wide[:, 5:25])
    squeezed = fit_picture(wide, 20, ICD)
    assert squeezed.shape == (20, 20, 3)
    assert not np.array_equal(squeezed, wide[:, 5:25])
    mask = np.zeros((20, 30), bool)
    mask[:, :3] = True
    assert not fit_mask(mask, 20).any()
    assert fit_mask(mask, 20, ICD)[:, :2].all()
    assert prepare(make_sample(1), 16, ICD).source.shape == (16, 16, 3)


def test_the_border_counts_as_edited() -> None:
    mask = np.zeros((8, 8), bool)
    mask[3, 3] = True
    bordered = PIE.mask_as_scored(mask)
    assert bordered.sum() == 28 + 1
    assert not bordered[1:7, 1:7].sum() - 1
    assert NATIVE.mask_as_scored(mask) is mask


@pytest.mark.parametrize(("side", "scored"), [(128, 128), (512, 512), (1024, 512)])
def test_icd_shrinks_what_is_larger_than_512_and_enlarges_nothing(side: int, scored: int) -> None:
    assert ICD.side_as_scored(side) == scored
    assert {NATIVE.side_as_scored(side), PIE.side_as_scored(side)} == {side}


def edits_at(side: int, root: Path, protocol: str) -> Path:
    """Score a noisy edit of a photo with a mask at a size; the run is ``root/run``."""
    album = root / "album"
    if not album.is_dir():
        album.mkdir()
        Image.fromarray(fit_picture(read_picture(PHOTO), 1024)).save(album / "a.png")
        Image.fromarray(np.arange(1024)[None].repeat(1024, 0) < 256).save(album / "mask.png")
        row = {"id": "a", "image": "a.png", "source": "a cat", "target": "a dog"}
        (album / "prompts.jsonl").write_text(json.dumps({**row, "mask": "mask.png"}))
    source = fit_picture(read_picture(album / "a.png"), side, ICD).astype(int)
    noise = np.random.default_rng(5).integers(-40, 41, source.shape)
    edits = root / f"edits-{side}"
    edits.mkdir()
    Image.fromarray((source + noise).clip(0, 255).astype(np.uint8)).save(edits / "a.png")
    request = OutsideRequest(
        place=edits, benchmark=str(album), name="mine", model=f"model-{side}", resolution=side,
        protocol=protocol, metrics=("psnr", "background_mse"), out=root / "run", device="cpu",
    )  # fmt: skip
    return score_outside(request, QuietProgress()).path


def test_larger_edits_are_scored_at_the_protocols_size(tmp_path: Path) -> None:
    results = RunFolder.open(edits_at(1024, tmp_path, "icd-2024")).read_results()
    row = results.set_index("method").loc["mine"]
    assert row["resolution"] == 1024
    files = (tmp_path / "album" / "a.png", tmp_path / "edits-1024" / "a.png")
    source, edited = (fit_picture(read_picture(file), 512, ICD) / 255 for file in files)
    error = (edited - source) ** 2
    assert row["psnr"] == pytest.approx(-10 * np.log10(error.mean()), rel=1e-5)
    assert row["background_mse"] == pytest.approx(error[:, 128:].mean(), rel=1e-5)


def test_a_shrunk_source_is_not_taken_for_the_one_of_that_size(tmp_path: Path) -> None:
    for side in (512, 1024):
        folder = RunFolder.open(edits_at(side, tmp_path, "icd-2024"))
    with folder.writer() as writer:
        reader = Reader(writer, ICD)
        batches = batches_of(list(writer.records.cells.values()))
        stored = [one for cells in batches for one in reader.read(cells)[1]]
    assert len(stored) == 6
    assert {one.edited.shape for one in stored} == {(512, 512, 3)}
    sources = {one.sample.digest: one.source for one in stored}
    assert len(sources) == 2
    assert all(np.array_equal(one.source, sources[one.sample.digest]) for one in stored)


def test_a_jpeg_file_alone_costs_what_the_sheet_says() -> None:
    square = fit_picture(read_picture(PHOTO), 256)
    assert np.array_equal(NATIVE.edit_as_scored(square), square)
    saved = PIE.edit_as_scored(square).astype(float)
    psnr = 10 * np.log10(255**2 / ((saved - square) ** 2).mean())
    assert 28 < psnr < 40
    finer = through_jpeg(square, 95).astype(float)
    assert ((finer - square) ** 2).mean() < ((saved - square) ** 2).mean()


def stored(kept: float) -> Stored:
    """Return an edit whose background, a share ``kept`` of the frame, is off by 0.1."""
    mask = np.zeros((40, 40), bool)
    mask[:, int(40 * kept) :] = True
    source = np.full((40, 40, 3), 100, np.uint8)
    edited = source + np.uint8(25)
    sample: Sample = make_sample(1)
    cell = type("Cell", (), {"model": "m", "latent_nll": None})()
    return Stored(cell, sample, source, edited, None, mask)


def value(metric: MSE | ZeroedPSNR | ZeroedSSIM, one: Stored) -> float:
    metric.load()
    return float(metric.score(make_scored([one]))[0])


@pytest.mark.parametrize("kept", [0.25, 0.5, 1.0])
def test_zeroed_metrics_divide_by_the_whole_frame(kept: float) -> None:
    whole = (25 / 255) ** 2
    assert value(BackgroundMSE(), stored(kept)) == pytest.approx(whole, rel=1e-6)
    assert value(ZeroedMSE(), stored(kept)) == pytest.approx(kept * whole, rel=1e-6)
    gained = -10 * np.log10(kept * whole)
    assert value(ZeroedPSNR(), stored(kept)) == pytest.approx(gained, rel=1e-6)


def test_zeroed_metrics_have_no_value_where_nothing_is_kept() -> None:
    for metric in (ZeroedMSE(), ZeroedPSNR(), ZeroedSSIM()):
        assert np.isnan(value(metric, stored(0.0)))
    assert ZeroedMSE().signature() != BackgroundMSE().signature()
    assert "mask:zeroed" in ZeroedMSE().signature()


def test_zeroed_metrics_are_torchmetrics_on_zeroed_pictures() -> None:
    from torchmetrics.functional.image import (
        peak_signal_noise_ratio,
        structural_similarity_index_measure,
    )

    generator = np.random.default_rng(3)
    source, edited = generator.integers(0, 256, (2, 40, 40, 3)).astype(np.uint8)
    mask = generator.random((40, 40)) < 0.3
    one = Stored(
        type("Cell", (), {"model": "m", "latent_nll": None})(),
        make_sample(2),
        source,
        edited,
        None,
        mask,
    )
    batch = make_scored([one])
    assert batch.mask is not None
    pair = batch.edited * (1 - batch.mask), batch.source * (1 - batch.mask)
    psnr = peak_signal_noise_ratio(*pair, data_range=1.0)
    ssim = structural_similarity_index_measure(*pair, data_range=1.0)
    assert isinstance(ssim, torch.Tensor)
    assert value(ZeroedPSNR(), one) == pytest.approx(float(psnr), abs=1e-4)
    assert value(ZeroedSSIM(), one) == pytest.approx(float(ssim), abs=1e-5)


def test_a_run_has_one_protocol_and_its_scores_carry_it(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    summary, results = run(protocol="icd-2024", metrics=here("Distance"))
    assert set(results["protocol"]) == {"icd-2024"}
    signature = results.attrs["metrics"]["distance"]["signature"]
    assert signature == "distance|v1|protocol:icd-2024"
    assert RunFolder.open(summary.path).manifest()["protocol"] == "icd-2024"
    with pytest.raises(UsageError, match="has protocol icd-2024, not native"):
        run(out=summary.path)
    again, results_native = run(out=tmp_path / "native", metrics=here("Distance"))
    assert set(results["cell_id"]).isdisjoint(results_native["cell_id"])
    assert results_native.attrs["metrics"]["distance"]["signature"] == "distance|v1"
    assert again.path != summary.path
