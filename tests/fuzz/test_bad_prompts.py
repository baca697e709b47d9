"""Folders of one's own: rows of any text, files of any bytes."""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
from pathlib import Path

import pytest
from damage import TIMES, Tried, mutated, pictures
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from icd_bench.api import Sample
from icd_bench.benchmarks.folder import Folder
from icd_bench.errors import BadSample, UsageError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")
"""Pillow's own remarks about damaged files."""

PROMPTS = [
    "",
    " ",
    "[]",
    "[[[",
    "]cat[",
    "a [cat",
    "word " * 10_000,
    "\x00",
    "a\x1bb\x07c",
    "\u202ecat\u202c",
    "\u200b",
    "מתוק חתול",
    "قطة على السجادة",
    "👩‍👩‍👧‍👦 on a 🛋️",
    "e\u0301" * 500,
    "\ud7ff\ue000\uffff",
    '"; DROP TABLE',
    "=cmd()",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "a\nb\r\nc",
    "NaN",
    "None",
]


def read_folder(folder: Path) -> list[Sample]:
    """Read every row; what cannot be used is an error of one line that names the file."""
    good = []
    try:
        rows = list(Folder(str(folder)).samples())
    except UsageError as error:
        assert str(folder) in str(error) or "prompts" in str(error)
        return []
    for row in rows:
        if isinstance(row, BadSample):
            assert "prompts." in str(row)
            assert row.field
            continue
        assert row.source_prompt.strip()
        assert row.target_prompt.strip()
        assert "[" not in row.source_prompt + row.target_prompt
        json.dumps([row.id, row.source_prompt, row.target_prompt, dict(row.metadata)])
        good.append(row)
    assert len({row.id for row in good}) == len(good)
    return good


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in pictures():
        (tmp_path / f"{name}.png").write_bytes(data)
    return tmp_path


def write_csv(folder: Path, rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([["image", "source", "target", "blended_words", "mask"], *rows])
    data = text.getvalue().encode("utf-8", "surrogatepass")
    (folder / "prompts.csv").write_bytes(data)
    return data


def test_prompts_of_every_kind(folder: Path, tried: Tried) -> None:
    rows = [["png.png", prompt, prompt, "", ""] for prompt in PROMPTS]
    rows += [["png.png", f"a {prompt}", f"b {prompt}", prompt, ""] for prompt in PROMPTS]
    rows += [[prompt, "a cat", "a dog", "", ""] for prompt in PROMPTS]
    rows += [["png.png", f"a cat {n}", "a dog", "", p] for n, p in enumerate(PROMPTS)]
    write_csv(folder, rows)
    assert read_folder(folder)
    for _ in rows:
        tried("prompts")


@settings(
    max_examples=60 * TIMES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    cells=st.lists(
        st.tuples(*[st.text(st.characters(exclude_categories=["Cs"]), max_size=30)] * 4),
        max_size=4,
    )
)
def test_rows_of_any_text(
    tmp_path_factory: pytest.TempPathFactory, tried: Tried, cells: list[tuple[str, ...]]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    write_csv(folder, [["x.png", *row] for row in cells])
    read_folder(folder)
    lines = [json.dumps({"image": "x.png", "source": row[0], "target": row[1]}) for row in cells]
    (folder / "prompts.csv").unlink()
    (folder / "prompts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    read_folder(folder)
    shutil.rmtree(folder)
    tried("rows")


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_damaged_prompt_files(folder: Path, form: str, tried: Tried) -> None:
    rows = [["png.png", f"a cat {n}", f"a [dog] {n}", "cat dog", ""] for n in range(4)]
    data = write_csv(folder, rows)
    if form == "jsonl":
        names = ("image", "source", "target", "blended_words")
        lines = [json.dumps(dict(zip(names, row, strict=False))) for row in rows]
        data = "\n".join(lines).encode()
        (folder / "prompts.csv").unlink()
    draw = random.Random(form)
    for _ in range(60 * TIMES):
        (folder / f"prompts.{form}").write_bytes(mutated(data, draw))
        read_folder(folder)
        tried("prompt files")
