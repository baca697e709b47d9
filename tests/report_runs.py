"""Run folders for tests of reports, written as a run writes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from stored_runs import FAILED, digest_of, stored_run

from icd_bench.run.reading.prepare import to_png

CARDS = {
    "psnr": ("PSNR", "higher", "dB", "preservation", (0, None)),
    "lpips": ("LPIPS", "lower", "", "preservation", (0, None)),
    "clip_text": ("CLIP text similarity", "higher", "cosine", "editing", (-1, 1)),
    "attribute_edited": ("Edited attributes", "higher", "share", "editing", (0, 1)),
}
CATEGORIES = ("0_random", "1_change_object", "6_change_colour")
PROMPTS = (
    ("a red cat on a mat", "a blue cat on a mat"),
    ("a dog in the snow", "a dog and a ball in the snow"),
    ("a house & a tree <b>", "a house"),
)

Scores = Mapping[tuple[str, float | None], Mapping[str, Any]]
"""(method, strength) -> metric -> a value for each sample. The method "copy" is an anchor."""


def write_scores(
    path: Path,
    scores: Scores,
    *,
    samples: int,
    split: str = "",
    benchmark: str = "bench",
    version: str = "1",
    seed: int = 0,
    failed: Mapping[tuple[str, float | None], int] | None = None,
    pictures: bool = False,
    side: int = 24,
) -> Path:
    """Write a finished run; ``failed`` counts failed samples, the last ones, of a setting."""
    methods = {
        method: {
            "anchor": method == "copy",
            "default_setting": {} if method == "copy" else {"steps": 4, "strength": 0.5},
        }
        for method, _ in scores
    }
    where = {"split": split, "benchmark": benchmark, "seed": seed}
    with stored_run(path, side, {"methods": methods}) as run:
        for index in range(samples if pictures else 0):
            source, target = PROMPTS[index % len(PROMPTS)]
            run.add_sample(
                f"s{index}",
                {"source": _png(index, 0, side), "target": _png(index, 60, side)},
                digest=digest_of(f"{split} {index}"),
                source_prompt=source,
                target_prompt=target,
                category=CATEGORIES[index % len(CATEGORIES)],
            )
        for (method, strength), values in scores.items():
            setting = {} if strength is None else {"steps": 4, "strength": strength}
            names = [
                digest_of(f"{method} {setting} {split} {benchmark} {seed} {index}")[:32]
                for index in range(samples)
            ]
            done = samples - (failed or {}).get((method, strength), 0)
            cells = [
                {
                    "cell_id": name,
                    "sample_id": f"s{index}",
                    "sample_index": index,
                    "sample_digest": digest_of(f"{split} {index}"),
                    **(FAILED if index >= done else {}),
                }
                for index, name in enumerate(names)
            ]
            shown = range(done if pictures else 0)
            edits = {names[index]: _png(index, 120, side) for index in shown}
            run.add_cells(method, setting, cells, edits, **where)
            for metric, column in values.items():
                title, direction, unit, group, limits = CARDS[metric]
                run.add_metric(
                    metric,
                    dict(zip(names, column, strict=True)),
                    signature=f"{metric}|v{version}",
                    title=title,
                    direction=direction,
                    unit=unit,
                    group=group,
                    range=list(limits),
                )
    return path


def trade_off_scores(
    samples: int,
    offsets: Mapping[str, float],
    strengths: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8, 1.0),
    noise: float = 0.05,
    seed: int = 0,
) -> dict[tuple[str, float | None], dict[str, Any]]:
    """Return scores of methods whose true curve is clip_text = 1 - (psnr / 40)^2 + offset.

    Samples differ in how hard they are, for all methods alike.
    """
    rng = np.random.default_rng(seed)
    hard = rng.normal(size=(samples, 2)) * (2.0, 0.1)
    found: dict[tuple[str, float | None], dict[str, Any]] = {}
    for method, offset in offsets.items():
        for strength in strengths:
            psnr = 32 - 16 * strength
            own = rng.normal(size=(samples, 2)) * (20 * noise, noise)
            found[method, strength] = {
                "psnr": psnr + hard[:, 0] + own[:, 0],
                "clip_text": 1 - (psnr / 40) ** 2 + offset + hard[:, 1] + own[:, 1],
            }
    return found


def _png(index: int, shade: int, side: int) -> bytes:
    ramp = np.linspace(0, 120, side)
    picture = np.stack([ramp[:, None] + 0 * ramp, 0 * ramp[:, None] + ramp], axis=-1)
    third = np.full((side, side, 1), (shade + 20 * index) % 256)
    return to_png(np.concatenate([picture, third], axis=-1).astype(np.uint8))
