"""Run folders for tests of reports, written as a run writes them."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from icd_bench.run.prepare import to_png
from icd_bench.run.store import RunFolder, RunWriter

CARDS = {
    "psnr": ("PSNR", "higher", "dB", "preservation"),
    "lpips": ("LPIPS", "lower", "", "preservation"),
    "clip_text": ("CLIP text similarity", "higher", "cosine", "editing"),
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
    with RunFolder(path).writer() as writer:
        if pictures:
            _add_samples(writer, samples, split, side)
        for (method, strength), values in scores.items():
            setting = {} if strength is None else {"steps": 4, "strength": strength}
            _add_cells(
                writer,
                {"method": method, "setting": setting, "split": split, "benchmark": benchmark},
                samples - (failed or {}).get((method, strength), 0),
                samples,
                seed,
                side if pictures else 0,
            )
            for metric, column in values.items():
                title, direction, unit, group = CARDS[metric]
                card = {
                    "signature": f"{metric}|v{version}",
                    "title": title,
                    "direction": direction,
                    "unit": unit,
                    "group": group,
                    "citation": "none",
                }
                writer.record({"kind": "metric", "name": metric, **card})
                ids = [_cell_id(method, setting, split, benchmark, seed, i) for i in range(samples)]
                named = {
                    name: float(value)
                    for name, value in zip(ids, column, strict=True)
                    if writer.records.cells[name].status == "ok"
                }
                writer.add_scores(metric, card["signature"], named)
        writer.compact()
        methods = {
            method: {
                "anchor": method == "copy",
                "default_setting": {} if method == "copy" else {"steps": 4, "strength": 0.5},
            }
            for method, _ in scores
        }
        writer.write_manifest({"methods": methods})
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


def _cell_id(method: str, setting: Any, split: str, benchmark: str, seed: int, index: int) -> str:
    text = f"{method} {setting} {split} {benchmark} {seed} {index}"
    return sha256(text.encode()).hexdigest()[:32]


def _digest(split: str, index: int) -> str:
    return sha256(f"{split} {index}".encode()).hexdigest()


def _add_samples(writer: RunWriter, samples: int, split: str, side: int) -> None:
    contents, entries = {}, []
    for index in range(samples):
        digest, files = _digest(split, index), {}
        for shade, kind in enumerate(("source", "target")):
            data = to_png(_picture(index, shade * 60, side))
            contents[writer.folder.sample_path(digest, side, kind)] = data
            files[kind] = sha256(data).hexdigest()
        source, target = PROMPTS[index % len(PROMPTS)]
        entries.append(
            {
                "digest": digest,
                "resolution": side,
                "id": f"s{index}",
                "source_prompt": source,
                "target_prompt": target,
                "blend_words": [[], []],
                "category": CATEGORIES[index % len(CATEGORIES)],
                "metadata": {},
                "files": files,
            }
        )
    writer.add_samples(entries, contents)


def _add_cells(
    writer: RunWriter, common: Mapping[str, Any], done: int, samples: int, seed: int, side: int
) -> None:
    cells, pictures = [], {}
    for index in range(samples):
        name = _cell_id(
            common["method"],
            common["setting"],
            common["split"],
            common["benchmark"],
            seed,
            index,
        )
        cell = {
            "cell_id": name,
            "sample_id": f"s{index}",
            "sample_index": index,
            "sample_digest": _digest(common["split"], index),
        }
        if index < done:
            cell |= {"status": "ok", "nfe_invert": 4, "nfe_source": 4, "nfe_edit": 4}
            cell |= {"seconds_invert": 0.25, "seconds_edit": 0.5, "image_sha256": "x"}
            if side:
                pictures[name] = to_png(_picture(index, 120, side))
                cell["image"] = str(writer.folder.image_path(name))
                cell["image_sha256"] = sha256(pictures[name]).hexdigest()
        else:
            cell |= {"status": "failed", "error_type": "EditFailed", "error": "no edit"}
        cells.append(cell)
    shared = {
        "method_version": "1",
        "inversion_id": "i",
        "model": "m",
        "model_digest": "d",
        "seed": seed,
        "sample_seed": 0,
        "protocol": "native",
        "resolution": side or 8,
        "device": "cpu",
        "dtype": "float32",
    }
    writer.add_cells({**shared, **common}, cells, pictures)


def _picture(index: int, shade: int, side: int) -> np.ndarray:
    ramp = np.linspace(0, 120, side)
    picture = np.stack([ramp[:, None] + 0 * ramp, 0 * ramp[:, None] + ramp], axis=-1)
    third = np.full((side, side, 1), (shade + 20 * index) % 256)
    return np.concatenate([picture, third], axis=-1).astype(np.uint8)
