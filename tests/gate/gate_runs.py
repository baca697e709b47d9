"""Run folders with chosen scores, written by the run store; no model, no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from icd_bench.run.reading.prepare import to_png
from icd_bench.run.storage.store import RunFolder, RunWriter

SIZE = 8
METRICS: dict[str, dict[str, str]] = {
    "psnr": {"direction": "higher", "unit": "dB", "signature": "psnr|v1"},
    "lpips_alex": {"direction": "lower", "unit": "", "signature": "lpips|v1"},
}

Scores = Callable[[str, int, int], Sequence[float]]


def plain_scores(method: str, seed: int, index: int) -> Sequence[float]:
    """Return scores of a sample: they depend on the sample and a little on the seed."""
    rng = np.random.default_rng([index, 0])
    noise = np.random.default_rng([index, seed + 1]).normal(size=2)
    return 25 + 3 * rng.normal() + 0.3 * noise[0], 0.2 + 0.01 * noise[1]


def write_run(
    path: Path,
    methods: Sequence[str] = ("tint",),
    samples: int = 30,
    seeds: Sequence[int] = (0,),
    scores: Scores = plain_scores,
    settings: Sequence[dict[str, Any]] = ({"strength": 0.5},),
    failed: Sequence[tuple[str, int]] = (),
    edits_per_picture: int = 1,
    nfe: int = 8,
    seconds: float = 0.5,
    version: str = "1",
    metrics: dict[str, dict[str, str]] | None = None,
    protocol: str = "native",
    prefix: str = "s",
    command: dict[str, Any] | None = None,
) -> Path:
    """Write a finished run and return its folder."""
    metrics = METRICS if metrics is None else metrics
    with RunFolder(path).writer() as writer:
        ids = [f"{prefix}{index}" for index in range(samples)]
        _write_samples(writer, ids, edits_per_picture)
        for name, card in metrics.items():
            extra = {"title": name, "group": "preservation", "citation": "none"}
            writer.record({"kind": "metric", "name": name, **extra, **card})
        values: dict[str, dict[str, float]] = {name: {} for name in metrics}
        for method in methods:
            for setting in settings:
                for seed in seeds:
                    _write_cells(
                        writer,
                        ids,
                        values,
                        scores,
                        {
                            "method": method,
                            "method_version": version,
                            "seed": seed,
                            "protocol": protocol,
                        },
                        setting,
                        {index for name, index in failed if name == method},
                        nfe,
                        seconds,
                    )
        for name, card in metrics.items():
            writer.add_scores(name, card["signature"], values[name])
        writer.compact()
        writer.write_manifest(
            {
                "name": path.name,
                "methods": {
                    name: {"version": version, "anchor": False, "default_setting": settings[0]}
                    for name in methods
                },
                "models": {},
                "benchmarks": {},
                "metrics": metrics,
                "commands": [
                    {
                        "command": "icd-bench run it",
                        "started": "2026-01-01T00:00:00+00:00",
                        "ended": "2026-01-01T00:01:00+00:00",
                        "device": "cpu",
                        "dtype": "float32",
                        "icd_bench": "0.1.0",
                        "hardware": {"processor": "abacus", "cores": 2, "threads": 2},
                        "peak_memory": 2**30,
                        **(command or {}),
                    }
                ],
            }
        )
    return path


def digest_of(*parts: object) -> str:
    return sha256(repr(parts).encode()).hexdigest()


def picture(*parts: object) -> bytes:
    seed = int(digest_of(*parts)[:8], 16)
    return to_png(np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8))


def _write_samples(writer: RunWriter, ids: Sequence[str], edits_per_picture: int) -> None:
    entries, contents = [], {}
    for index, name in enumerate(ids):
        digest, png = digest_of("sample", name), picture("source", index // edits_per_picture)
        contents[writer.folder.sample_path(digest, SIZE, "source")] = png
        entries.append(
            {
                "digest": digest,
                "resolution": SIZE,
                "id": name,
                "source_prompt": f"a photo of {name}",
                "target_prompt": f"a painting of {name}",
                "blend_words": [[], []],
                "category": f"k{index % 2}",
                "metadata": {},
                "files": {"source": sha256(png).hexdigest()},
            }
        )
    writer.add_samples(entries, contents)


def _write_cells(
    writer: RunWriter,
    ids: Sequence[str],
    values: dict[str, dict[str, float]],
    scores: Scores,
    common: dict[str, Any],
    setting: dict[str, Any],
    failed: set[int],
    nfe: int,
    seconds: float,
) -> None:
    cells, pictures = [], {}
    for index, name in enumerate(ids):
        cell_id = digest_of(sorted(common.items()), sorted(setting.items()), name)[:20]
        cell = {
            "cell_id": cell_id,
            "setting": setting,
            "inversion_id": digest_of("inversion", name)[:20],
            "sample_id": name,
            "sample_index": index,
            "sample_digest": digest_of("sample", name),
            "sample_seed": common["seed"],
            "status": "failed" if index in failed else "ok",
            "nfe_invert": nfe,
            "nfe_source": 0,
            "nfe_edit": nfe,
            "seconds_invert": seconds / 2,
            "seconds_edit": seconds / 2,
        }
        if index in failed:
            cell |= {"failed_stage": "edit", "error_type": "RuntimeError", "error": "no"}
        else:
            found = scores(common["method"], common["seed"], index)
            png = picture("edit", common, setting, name, list(map(float, found)))
            pictures[cell_id] = png
            cell |= {
                "image": writer.folder.image_path(cell_id).as_posix(),
                "image_sha256": sha256(png).hexdigest(),
            }
            for metric, value in zip(values, found, strict=False):
                values[metric][cell_id] = float(value)
        cells.append(cell)
    fixed = {
        "model": "fake",
        "model_digest": digest_of("weights"),
        "benchmark": "made up",
        "split": "",
        "resolution": SIZE,
        "device": "cpu",
        "dtype": "float32",
    }
    writer.add_cells({**common, **fixed}, cells, pictures)
