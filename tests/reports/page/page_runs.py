"""Runs for the page's tests, written as a run writes them."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from stored_runs import FAILED, StoredRun, stored_run

from icd_bench.run.reading.prepare import to_png

HOSTILE = '<img src=x onerror="window.hacked=1">'
ROWS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("icd", {"steps": 4, "strength": 0.25}),
    ("icd", {"steps": 4, "strength": 0.75}),
    ("npi", {"steps": 4, "strength": 0.25}),
    ("npi", {"steps": 4, "strength": 0.75}),
    ("copy", {}),
)
METRICS = {
    "psnr": ("higher", "preservation", "dB"),
    "lpips_alex": ("lower", "preservation", ""),
    "clip_text": ("higher", "editing", "cosine"),
}


def part_of(page: Path, name: str) -> Any:
    """Return data that a report keeps in a file of its own."""
    script = (page.parent / "data" / f"{name}.js").read_text(encoding="utf-8")
    call = re.fullmatch(r'icdBenchReport\.deliver\("[\w-]+",(.*)\);\n', script, re.S)
    assert call
    return json.loads(call[1])


def write_run(path: Path, samples: int = 12, side: int = 32, rows: Any = ROWS) -> Path:
    """Write a run folder: sample 3 fails with npi, sample 4 is warned of with icd.

    The prompt of sample 1 is hostile, and so is the message of the failure.
    """
    with stored_run(path, side, _manifest(path, samples, rows)) as run:
        for index in range(samples):
            _add_sample(run, index)
        for number, (method, setting) in enumerate(rows):
            cells = [_cell(method, index, number) for index in range(samples)]
            pictures = {
                cell["cell_id"]: to_png(_picture(index, side, tint=40 * number))
                for index, cell in enumerate(cells)
                if cell.get("status") != "failed"
            }
            run.add_cells(method, setting, cells, pictures)
        for metric, (direction, group, unit) in METRICS.items():
            scores = {cell: _score(metric, cell) for cell in run.writer.records.cells}
            run.add_metric(
                metric, scores, title=metric.upper(), direction=direction, group=group, unit=unit
            )
    return path


def _add_sample(run: StoredRun, index: int) -> None:
    side = run.side
    mask = np.zeros((side, side), dtype=bool)
    mask[: side // 2] = True
    run.add_sample(
        f"s{index}",
        {
            "source": to_png(_picture(index, side)),
            "target": to_png(_picture(index, side, tint=200)),
            "mask": to_png(mask),
        },
        source_prompt=f"a photo of thing {index}",
        target_prompt=HOSTILE if index == 1 else f"a painting of thing {index}",
        blend_words=[["photo"], ["painting"]],
        category=f"{index % 3}_kind_{index % 3}",
        metadata={"origin": "natural" if index % 2 else "artificial"},
    )


def _picture(index: int, side: int, tint: int = 0) -> Any:
    levels = np.linspace(0, 255, side)
    picture = np.zeros((side, side, 3), dtype=np.uint8)
    picture[..., 0] = levels[None]
    picture[..., 1] = levels[:, None]
    picture[..., 2] = (index * 37 + tint) % 256
    return picture


def _cell(method: str, index: int, number: int) -> dict[str, Any]:
    cell: dict[str, Any] = {
        "cell_id": f"c{number}-{index}",
        "sample_id": f"s{index}",
        "sample_index": index,
        "nfe_edit": 4 + 10 * (method == "npi"),
    }
    if (method, index) == ("npi", 3):
        cell |= FAILED | {
            "failed_stage": "edit",
            "error": f"/home/jo/secret/weights.bin: {HOSTILE}",
        }
    if (method, index) == ("icd", 4):
        cell["warnings"] = ["a steep hill"]
    return cell


def _score(metric: str, cell_id: str) -> float:
    number, index = map(int, cell_id[1:].split("-"))
    if number == 4 and metric == "psnr":
        return math.inf
    base = {"psnr": 30 - 2 * number, "lpips_alex": 0.05 * (number + 1), "clip_text": 0.2}[metric]
    return base + 0.002 * ((index * 7 + number) % 5)


def _manifest(path: Path, samples: int, rows: Any) -> dict[str, Any]:
    settings: dict[str, list[Any]] = {}
    for method, setting in rows:
        settings.setdefault(method, []).append(setting)
    return {
        "name": path.name,
        "created": "2026-01-01T00:00:00+00:00",
        "methods": {
            method: {
                "title": f"Method {method}",
                "version": "1",
                "paper": "none",
                "anchor": method == "copy",
                "default_setting": {"steps": 4, "strength": 0.75} if method != "copy" else {},
            }
            for method in settings
        },
        "models": {"m": dict.fromkeys(settings, "d" * 64)},
        "benchmarks": {
            "b": {"title": "B", "licence": "none", "source": str(path.parent / "b.csv")}
        },
        "commands": [
            {
                "command": f"icd-bench run --method icd --bench b --out {path}",
                "started": "2026-01-01T00:00:00+00:00",
                "ended": "2026-01-01T00:10:00+00:00",
                "methods": settings,
                "benchmark": "b",
                "rows": samples,
                "unusable_rows": 0,
                "model": "m",
                "seed": 0,
                "protocol": "native",
                "engine": "inline",
                "device": "cpu",
                "dtype": "float32",
                "batch_size": 4,
                "icd_bench": "0",
                "python": "3",
                "packages": {"torch": "2"},
                "git": None,
                "hardware": {
                    "system": "Linux",
                    "processor": "a processor",
                    "cores": 2,
                    "memory_bytes": 2**33,
                    "accelerators": [],
                },
            }
        ],
    }
