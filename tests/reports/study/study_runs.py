"""A small finished run with pictures, and a study of it."""

from __future__ import annotations

import base64
import io
import json
import re
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image
from stored_runs import stored_run

from icd_bench.reports.study.design import DesignRequest, Study, design_study

SIDE = 32
METHODS = ("zebrafish", "yonderly", "xylophone")
STRENGTHS = (0.123457, 0.765432)
"""Settings that every method was run at; the first is the default."""


def write_run(path: Path, samples: int = 12) -> Path:
    """Write a run as a run would: pictures of noise, scores of two metrics."""
    methods = {
        name: {"anchor": False, "default_setting": {"strength": STRENGTHS[0]}} for name in METHODS
    }
    with stored_run(path, SIDE, {"methods": methods}) as run:
        for index in range(samples):
            run.add_sample(
                _sample(index),
                {"source": picture(index)},
                source_prompt=f"a <b>red</b> cube & {index} balls",
                target_prompt=f"a blue cube & {index} balls",
                category=f"kind-of-{index % 3}",
            )
        values: dict[str, dict[str, float]] = {"closeness": {}, "distance": {}}
        for number, method in enumerate(METHODS):
            for place, strength in enumerate(STRENGTHS):
                names = [f"{method}-{place}-{index}" for index in range(samples)]
                cells = [
                    {"cell_id": name, "sample_id": _sample(index), "sample_index": index}
                    for index, name in enumerate(names)
                ]
                edits = {
                    name: picture(1000 * (number + 1) + index) for index, name in enumerate(names)
                }
                run.add_cells(method, {"strength": strength}, cells, edits)
                for metric, column in values.items():
                    for name in names:
                        column[name] = _score(metric, number, strength, len(column))
        for metric, column in values.items():
            direction = "lower" if metric == "distance" else "higher"
            run.add_metric(metric, column, direction=direction)
    return path


def make_study(tmp_path: Path, pictures: int = 12, **changes: object) -> Study:
    """Design a study of a small run."""
    run = write_run(tmp_path / "run", pictures)
    wanted = {"run": run, "methods": METHODS, "raters": 6, "votes_per_pair": 3, "spacing": 3}
    return design_study(DesignRequest(**{**wanted, **changes}), tmp_path / "study")  # type: ignore[arg-type]


def secrets_of(study: Study) -> list[str]:
    """Return every word that no assessor may read: methods, settings, samples, places, the key."""
    return [
        *METHODS,
        *map(str, STRENGTHS),
        *("strength", "sample-00", "kind-of-", "corrupted", "identical", "repeat", "check/"),
        *(study.key.secret, study.key.run, Path(study.key.run).name + "/images"),
        *(shown.cells["sample-0000"] for shown in study.key.methods.values()),
    ]


def leaks(content: bytes, secrets: list[str]) -> list[str]:
    """Return the words that bytes hold, also inside what is compressed or encoded in them."""
    encoded = [base64.b64decode(m) for m in re.findall(rb"base64,([A-Za-z0-9+/=]+)", content)]
    layers = [content, *encoded]
    for layer in (content, *encoded):
        for start in re.finditer(rb"stream\r?\n|zTXt.{,80}?\0\0|iCCP.{,80}?\0\0", layer, re.S):
            with suppress(zlib.error):
                layers.append(zlib.decompressobj().decompress(layer[start.end() :]))
    # What the page itself is written with.
    texts = [re.sub(rb"event\.repeat|repeat\(", b"", layer.lower()) for layer in layers]
    return [word for word in secrets if any(word.lower().encode() in text for text in texts)]


def picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def _sample(index: int) -> str:
    return f"sample-{index:04d}"


def _score(metric: str, number: int, strength: float, index: int) -> float:
    value = number + 0.1 * (index % 5)
    return value + strength if metric == "closeness" else 5 * strength - value


def answer(sheet: str, task: str, study: str, **changes: object) -> dict[str, object]:
    """Return a line of what a sheet's download holds."""
    row = {"study": study, "sheet": sheet, "task": task, "question": "overall", "outcome": "left"}
    return row | {"seconds": 2.5, "at": "2026-01-01T00:00:00Z"} | changes


def write_lines(path: Path, rows: list[dict[str, object]]) -> Path:
    """Write rows as the sheet does: a JSON list, one a line, from line 2."""
    path.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
    return path
