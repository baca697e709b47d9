"""Training curves of the adapters, from the logs of their stages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from icd_bench.errors import UsageError
from icd_bench.reports.figures.style import look, new_figure, paper_style, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOG: Final = "log.jsonl"
PANELS: Final = {
    "reverse": "loss of the reverse model",
    "forward": "loss of the forward model",
    "psnr": "PSNR of dev scenes (dB)",
}
"""Entries of the logs, and what they are called."""

Line = dict[str, Any]


def draw_training(folder: Path, out: Path, formats: Sequence[str] = ("svg", "png")) -> list[Path]:
    """Draw the losses and the reconstruction of every stage of iCD in a training folder.

    Args:
        folder: has a folder with a log for each stage.
        out: where ``training.<format>`` go.
        formats: of the figure.

    Raises:
        UsageError: there is no such log, or one cannot be read.
    """
    logs = {path.parent.name: _read(path) for path in sorted(folder.glob(f"icd-*/{LOG}"))}
    if not logs:
        raise UsageError(f"{folder}: no stage of iCD has a {LOG} there; train one, or name another")
    with paper_style():
        paths: list[Path] = save(_figure(logs), out, "training", formats)
        return paths


def _figure(logs: dict[str, list[Line]]) -> Figure:
    figure: Figure = new_figure(7.2, 3.1)
    panels = figure.subplots(1, len(PANELS))
    for axes, (entry, title) in zip(panels, PANELS.items(), strict=True):
        for index, lines in enumerate(logs.values()):
            colour, marker, style = look(index)
            points = [(line["step"], line[entry]) for line in lines if entry in line]
            if points:
                axes.plot(*zip(*points, strict=True), color=colour, marker=marker, ls=style, ms=3)
        axes.set_title(title, fontsize=8, fontweight="normal")
        axes.set_xlabel("step")
        if entry != "psnr":
            axes.set_ylim(bottom=0)
    figure.legend(_handles(list(logs)), list(logs), loc="outside upper center", ncols=3)
    return figure


def _handles(stages: Sequence[str]) -> list[Any]:
    from matplotlib.lines import Line2D

    looks = [look(index) for index in range(len(stages))]
    return [Line2D([], [], color=c, marker=m, ls=style, ms=4) for c, m, style in looks]


def _read(path: Path) -> list[Line]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise UsageError(f"{path}: not a training log ({error})") from error
