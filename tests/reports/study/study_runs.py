"""A small finished run with pictures, and a study of it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from icd_bench.reports.study.design import DesignRequest, Study, design_study
from icd_bench.run.files import digest_of
from icd_bench.run.store import RunFolder

SIDE = 32
METHODS = ("zebrafish", "yonderly", "xylophone")
STRENGTHS = (0.123457, 0.765432)
"""Settings that every method was run at; the first is the default."""


def write_run(path: Path, samples: int = 12) -> Path:
    """Write a run as a run would: pictures of noise, scores of two metrics."""
    with RunFolder(path).writer() as writer:
        for index in range(samples):
            digest = f"{index:064x}"
            png = picture(index)
            place = writer.folder.sample_path(digest, SIDE, "source")
            writer.add_samples(
                [
                    {
                        "digest": digest,
                        "resolution": SIDE,
                        "id": f"sample-{index:04d}",
                        "source_prompt": f"a <b>red</b> cube & {index} balls",
                        "target_prompt": f"a blue cube & {index} balls",
                        "blend_words": [[], []],
                        "category": f"kind-of-{index % 3}",
                        "metadata": {},
                        "files": {"source": "x"},
                    }
                ],
                {place: png},
            )
        for number, method in enumerate(METHODS):
            for strength in STRENGTHS:
                _add_cells(writer, path, number, method, strength, samples)
        for metric in ("closeness", "distance"):
            card = {
                "signature": f"{metric}|v1",
                "title": metric,
                "direction": "lower" if metric == "distance" else "higher",
                "unit": "",
                "group": "preservation",
                "citation": "none",
            }
            writer.record({"kind": "metric", "name": metric, **card})
            values = {
                cell.cell_id: _score(metric, cell.method, cell.setting["strength"], index)
                for index, cell in enumerate(writer.records.cells.values())
            }
            writer.add_scores(metric, card["signature"], values)
        writer.compact()
        writer.write_manifest(
            {
                "methods": {
                    name: {"anchor": False, "default_setting": {"strength": STRENGTHS[0]}}
                    for name in METHODS
                }
            }
        )
    return path


def make_study(tmp_path: Path, pictures: int = 12, **changes: object) -> Study:
    """Design a study of a small run."""
    run = write_run(tmp_path / "run", pictures)
    wanted = {"run": run, "methods": METHODS, "raters": 6, "votes_per_pair": 3, "spacing": 3}
    return design_study(DesignRequest(**{**wanted, **changes}), tmp_path / "study")  # type: ignore[arg-type]


def picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def _add_cells(
    writer: object, path: Path, number: int, method: str, strength: float, samples: int
) -> None:
    common = {
        "method": method,
        "method_version": "1",
        "setting": {"strength": strength},
        "inversion_id": "i",
        "model": "m",
        "model_digest": "d",
        "benchmark": "b",
        "split": "",
        "seed": 0,
        "sample_seed": 0,
        "protocol": "native",
        "resolution": SIDE,
        "device": "cpu",
        "dtype": "float32",
    }
    cells, pictures = [], {}
    for index in range(samples):
        cell = f"{method}-{STRENGTHS.index(strength)}-{index}"
        pictures[cell] = picture(1000 * (number + 1) + index)
        cells.append(
            {
                "cell_id": cell,
                "sample_id": f"sample-{index:04d}",
                "sample_index": index,
                "sample_digest": f"{index:064x}",
                "status": "ok",
                "nfe_invert": 1,
                "nfe_source": 1,
                "nfe_edit": 1,
                "seconds_invert": 0.1,
                "seconds_edit": 0.1,
                "image": f"images/{cell[:2]}/{cell}.png",
                "image_sha256": "x",
            }
        )
    writer.add_cells(common, cells, pictures)  # type: ignore[attr-defined]
    assert digest_of(path / str(cells[0]["image"]))


def _score(metric: str, method: str, strength: float, index: int) -> float:
    value = METHODS.index(method) + 0.1 * (index % 5)
    return value + strength if metric == "closeness" else 5 * strength - value


def answer(sheet: str, task: str, study: str, **changes: object) -> dict[str, object]:
    """Return a line of what a sheet's download holds."""
    row = {"study": study, "sheet": sheet, "task": task, "question": "overall", "outcome": "left"}
    return row | {"seconds": 2.5, "at": "2026-01-01T00:00:00Z"} | changes


def write_lines(path: Path, rows: list[dict[str, object]]) -> Path:
    """Write rows as the sheet does: a JSON list, one a line, from line 2."""
    path.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
    return path
