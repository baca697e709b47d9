"""Sheets to look at anywhere: PNG pages, a PDF of them, and a CSV form to fill in."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import ClassVar

from PIL import Image, ImageDraw, ImageFont

from icd_bench.reports.study.answers import Answer
from icd_bench.reports.study.bundle import Bundle, Task, picture_path
from icd_bench.reports.study.formats.common import read_seconds, write_table
from icd_bench.reports.study.rows import read_rows

SIDE, MARGIN, GAP, TOP, BOTTOM = 512, 40, 24, 150, 60
"""Pixels: a picture's side, and the room around."""
INK, QUIET, PAPER = (25, 27, 30), (91, 96, 102), (255, 255, 255)


class SideBySide:
    """Pages for print or screen, numbered, with a form for each rater."""

    title: ClassVar[str] = "side-by-side sheets (PDF, PNG) and a form (CSV)"

    def export(self, bundle: Bundle, folder: Path, out: Path, base_url: str) -> list[Path]:
        """Write ``RATER.pdf``, ``RATER/001.png`` ... and ``RATER.csv`` for each planned rater."""
        written = []
        for rater, tasks in bundle.lists.items():
            pages = [
                _page(bundle.tasks[task], folder, number, len(tasks))
                for number, task in enumerate(tasks, start=1)
            ]
            (out / rater).mkdir(exist_ok=True)
            for number, page in enumerate(pages, start=1):
                written.append(out / rater / f"{number:03d}.png")
                page.save(written[-1])
            written.append(out / f"{rater}.pdf")
            pages[0].save(written[-1], save_all=True, append_images=pages[1:], quality=95)
            form = [
                {
                    "page": str(number),
                    "task": task,
                    "question": question.id,
                    "rater": rater,
                    "outcome": "",
                    "seconds": "",
                }
                for number, task in enumerate(tasks, start=1)
                for question in bundle.questions
            ]
            written.append(write_table(out / f"{rater}.csv", form))
        return written

    def read(self, path: Path, bundle: Bundle) -> list[Answer]:
        """Read a form. The lines of pairs that were not judged have to be taken out."""
        needed = ("task", "question", "rater", "outcome")
        return [
            Answer(
                source=path.name,
                line=row.line,
                task=row.values["task"],
                question=row.values["question"],
                rater=row.values["rater"],
                outcome=row.values["outcome"].strip().lower(),
                seconds=read_seconds(row, "seconds", path.name),
            )
            for row in read_rows(path, needed, ("page", "seconds"))
        ]


def _page(task: Task, folder: Path, number: int, count: int) -> Image.Image:
    width = 2 * MARGIN + 3 * SIDE + 2 * GAP
    page = Image.new("RGB", (width, TOP + SIDE + BOTTOM), PAPER)
    pen = ImageDraw.Draw(page)
    small, normal = ImageFont.load_default(20), ImageFont.load_default(24)
    pen.text((MARGIN, 14), f"{number} of {count}", QUIET, small)
    for line, (label, text) in enumerate(
        (("Original", task.source_prompt), ("Wanted", task.target_prompt))
    ):
        top = 56 + 36 * line
        pen.text((MARGIN, top), label, QUIET, small)
        pen.text(
            (MARGIN + 110, top - 3), textwrap.shorten(text, 120, placeholder=" ..."), INK, normal
        )
    pictures = (("Left", task.left), ("Original", task.source), ("Right", task.right))
    for place, (label, name) in enumerate(pictures):
        left = MARGIN + place * (SIDE + GAP)
        with Image.open(picture_path(folder, name)) as picture:
            sharp = (
                Image.Resampling.NEAREST if picture.width < SIDE // 2 else Image.Resampling.LANCZOS
            )
            page.paste(picture.convert("RGB").resize((SIDE, SIDE), sharp), (left, TOP))
        pen.text((left + SIDE // 2, TOP + SIDE + 28), label, INK, small, anchor="mm")
    return page
