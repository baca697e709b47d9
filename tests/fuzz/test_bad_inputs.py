"""Bad input of every kind ends in a clear message: never in a traceback, never in a wrong number.

More of it: ``ICD_BENCH_FUZZ=20 pytest tests/fuzz`` tries twenty times as much.
"""

from __future__ import annotations

import csv
import io
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from icd_bench.api import MethodInfo, Sample, Setting, edit_field, inversion_field
from icd_bench.benchmarks.folder import Folder
from icd_bench.benchmarks.piebench import PIEBench
from icd_bench.errors import BadSample, CorruptRun, IcdBenchError, UsageError
from icd_bench.gate.baseline import lay_out, read_baseline
from icd_bench.gate.measure import measure
from icd_bench.gate.verify import verify
from icd_bench.pictures import decode_mask, decode_picture, picture_size
from icd_bench.run.planning.settings import parse_set, parse_sweep, resolve_settings
from icd_bench.run.storage.columns import METADATA_KEY
from icd_bench.run.storage.store import RunFolder

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")
"""Pillow's own remarks about damaged files."""
TIMES = int(os.environ.get("ICD_BENCH_FUZZ", "1"))
Tried = Callable[[str], None]

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


def mutated(data: bytes, draw: random.Random) -> bytes:
    """Return bytes with one to eight kinds of damage."""
    for _ in range(draw.randint(1, 8)):
        if not data:
            break
        at, end = sorted(draw.randrange(len(data) + 1) for _ in range(2))
        match draw.randrange(6):
            case 0:
                data = data[:at]
            case 1:
                data = data[:at] + draw.randbytes(draw.randint(1, 8)) + data[at:]
            case 2:
                data = data[:at] + data[end:]
            case 3:
                data = data[:at] + data[at:end] * 2 + data[end:]
            case 4:
                data = data[:at] + draw.randbytes(min(4, len(data) - at)) + data[at + 4 :]
            case 5:
                at = min(at, len(data) - 1)
                data = data[:at] + bytes([data[at] ^ (1 << draw.randrange(8))]) + data[at + 1 :]
    return data


# ----------------------------------------------------------------------------- pictures


def pictures() -> Iterator[tuple[str, bytes]]:
    """Yield pictures of many kinds."""
    colours = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    plain = Image.fromarray(colours)
    kinds: dict[str, tuple[Image.Image, str]] = {
        "png": (plain, "PNG"),
        "jpeg": (plain, "JPEG"),
        "webp": (plain, "WEBP"),
        "gif": (plain.convert("P"), "GIF"),
        "tiff": (plain, "TIFF"),
        "bmp": (plain, "BMP"),
        "cmyk": (plain.convert("CMYK"), "JPEG"),
        "16 bit": (Image.fromarray(colours[..., 0].astype(np.uint16) * 257), "PNG"),
        "float": (Image.fromarray(colours[..., 0].astype(np.float32) / 255), "TIFF"),
        "transparent": (plain.convert("RGBA"), "PNG"),
        "one bit": (plain.convert("1"), "PNG"),
    }
    for name, (image, form) in kinds.items():
        buffer = io.BytesIO()
        image.save(buffer, format=form)
        yield name, buffer.getvalue()
    buffer = io.BytesIO()
    plain.save(buffer, format="GIF", save_all=True, append_images=[plain.rotate(90)])
    yield "animated", buffer.getvalue()


def check_picture(data: bytes) -> None:
    """Decode a picture: a sound one, or an error that names file and field."""
    for read in (decode_picture, decode_mask, picture_size):
        try:
            found = read(data, "row 3, x.png", "image")
        except BadSample as error:
            assert str(error).startswith("row 3, x.png: image: ")
            assert "\n" not in str(error)
        else:
            assert not isinstance(found, np.ndarray) or found.dtype in (np.uint8, np.bool_)
            assert not isinstance(found, np.ndarray) or found.size


@pytest.mark.parametrize(("kind", "data"), list(pictures()), ids=lambda value: str(value)[:12])
def test_damaged_pictures(kind: str, data: bytes, tried: Tried) -> None:
    draw = random.Random(kind)
    check_picture(data)
    for _ in range(25 * TIMES):
        check_picture(mutated(data, draw))
        tried("pictures")


@pytest.mark.parametrize("size", [(0, 5), (100_000, 100_000), (2**31 - 1, 1), (65_536, 65_536)])
def test_pictures_that_claim_a_wrong_size(size: tuple[int, int], tried: Tried) -> None:
    """A PNG header with another width and height: a decompression bomb, or nothing at all."""
    import struct
    import zlib

    buffer = io.BytesIO()
    Image.new("L", (4, 4)).save(buffer, format="PNG")
    data = bytearray(buffer.getvalue())
    data[16:24] = struct.pack(">II", *size)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    with pytest.raises(BadSample):
        decode_picture(bytes(data), "x.png", "image")
    tried("pictures")


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


def refused_pictures() -> dict[str, tuple[bytes, str]]:
    """Return kind -> file, and what its error must say."""
    small, other = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    moving: dict[str, Any] = {"save_all": True, "append_images": [other]}
    bomb = PngInfo()
    bomb.add_text("comment", " " * 2**26, zip=True)
    return {
        "animated PNG": (saved(small, "PNG", **moving), "2 frames"),
        "animated WebP": (saved(small, "WEBP", **moving), "2 frames"),
        "TIFF of two pages": (saved(small, "TIFF", **moving), "2 frames"),
        "108 megapixels": (saved(Image.new("1", (12_000, 9_000)), "PNG"), "megapixels"),
        "64 MB in a comment": (saved(small, "PNG", pnginfo=bomb), "decoded"),
        "EPS, a program": (saved(small, "EPS"), "not a picture"),
        "PDF": (saved(small, "PDF"), "not a picture"),
        "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not a picture"),
        "text": (b"a cat", "not a picture"),
        "nothing": (b"", "empty"),
        "half a JPEG": (saved(Image.effect_noise((64, 64), 90), "JPEG")[:900], "decoded"),
        "values below 0": (saved(Image.new("F", (4, 4), -1), "TIFF"), "grey values"),
    }


@pytest.mark.parametrize("kind", refused_pictures())
def test_pictures_that_are_refused(kind: str, tried: Tried) -> None:
    data, said = refused_pictures()[kind]
    with pytest.raises(BadSample, match=said):
        decode_picture(data, "x.png", "image")
    tried("pictures")


# -------------------------------------------------------------------- folders and prompts


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


# ------------------------------------------------------------------- official layouts


@pytest.fixture(scope="module")
def piebench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first rows of PIE-Bench in the official layout."""
    import official_folders

    root = tmp_path_factory.mktemp("pie") / "PIE-Bench"
    rows = official_folders.pie_rows()[:3]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(official_folders, "pie_rows", lambda: rows)
        official_folders.make_piebench(root)
    return root


def read_piebench(root: Path) -> int:
    """Read every row and its mask; return how many can be used."""
    usable = 0
    try:
        rows = list(PIEBench(str(root)).samples())
    except UsageError as error:
        assert "mapping_file.json" in str(error)
        return 0
    for row in rows:
        if isinstance(row, BadSample):
            assert "mapping_file.json" in str(row)
            continue
        try:
            mask = row.read_mask() if row.read_mask else None
        except BadSample:
            continue
        assert mask is None or mask.shape == (512, 512)
        usable += 1
    return usable


def test_damaged_tables_of_edits(piebench: Path, tried: Tried) -> None:
    path = piebench / "mapping_file.json"
    data, draw = path.read_bytes(), random.Random(2)
    assert read_piebench(piebench) == 4
    for _ in range(60 * TIMES):
        path.write_bytes(mutated(data, draw))
        read_piebench(piebench)
        tried("benchmark tables")
    path.write_bytes(data)


ODD = [None, True, -1, 1.5, 10**30, "", "x", [], {}, [[]], {"a": 1}, "\x00", "../../etc/passwd"]


def test_tables_of_edits_with_odd_values(piebench: Path, tried: Tried) -> None:
    path = piebench / "mapping_file.json"
    data = path.read_bytes()
    table = json.loads(data)
    key = next(iter(table))
    for field in table[key]:
        for value in ODD:
            path.write_text(json.dumps({**table, key: {**table[key], field: value}}))
            assert read_piebench(piebench) >= 3
            tried("benchmark tables")
    for value in ODD:
        path.write_text(json.dumps({**table, key: value}))
        assert read_piebench(piebench) >= 3
        tried("benchmark tables")
    path.write_bytes(data)


# ------------------------------------------------------------------------------ settings


class Knobs(Setting):
    steps: int = inversion_field(4, "steps", ge=1, le=50)
    strength: float = edit_field(0.5, "strength", ge=0, le=1)
    words: str = edit_field("", "words")
    interval: tuple[float, float] | None = edit_field(None, "interval")


KNOBS = MethodInfo(name="knobs", version="1", title="Knobs", paper="none")
VALUES = [
    *("", " ", "1", "-1", "0.5", "nan", "inf", "-inf", "1e999", "0x10", "1_0", "null", "true"),
    *("[1,2]", "[1", "{a: 1}", "{", "!!python/object:os.system x", "&a [*a]", "*a", "a: b: c"),
    *("1,2", ",", ",,", "1,,2", "'", '"', "\x00", "\n", "é", "９", "١", "9" * 400, "[" * 500),
]
FIELDS = ["steps", "strength", "words", "interval", "knobs.steps", "other.steps", "", ".", "a.b.c"]


def test_settings_of_any_text(tried: Tried) -> None:
    texts = [f"{field}={value}" for field in FIELDS for value in VALUES] + VALUES
    for text in texts:
        for parse, name in ((parse_set, "chosen"), (parse_sweep, "grid")):
            try:
                kinds = {"chosen": [], "grid": [], name: [parse(text)]}
                found = resolve_settings(KNOBS, Knobs, "m", kinds["chosen"], kinds["grid"])
            except UsageError as error:
                assert str(error)
            else:
                for setting in found:
                    assert isinstance(setting, Knobs)
                    assert 1 <= setting.steps <= 50
                    assert 0 <= setting.strength <= 1
            tried("settings")


# -------------------------------------------------------------------------- result files


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import sys

    sys.path.insert(0, str(Path(__file__).parents[1] / "gate"))
    try:
        from gate_runs import write_run
    finally:
        sys.path.pop(0)
    return write_run(tmp_path_factory.mktemp("runs") / "run", samples=4)


@pytest.mark.parametrize("name", ["run.json", "results.parquet", "events"])
def test_damaged_run_folders(finished: Path, tmp_path: Path, name: str, tried: Tried) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    victim = next(run.glob("events/*")) if name == "events" else run / name
    data, good = victim.read_bytes(), measure(run)
    draw = random.Random(name)
    for _ in range(60 * TIMES):
        victim.write_bytes(mutated(data, draw))
        try:
            found = RunFolder.open(run).read_results()
        except (CorruptRun, UsageError) as error:
            assert str(run) in str(error)
        else:
            assert len(found) <= len(good.samples) * len(good.arms)
        try:
            measure(run)
            verify(run)
        except IcdBenchError as error:
            assert str(error)
        tried("run folders")


@pytest.mark.parametrize("schema", [-1, 0, 1, 2, 99, 10**30, None, "1", 1.5, [], {}, True])
def test_run_folders_of_other_versions(
    finished: Path, tmp_path: Path, schema: object, tried: Tried
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    path = run / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": schema}))
    try:
        assert len(RunFolder.open(run).read_results()) == 4
    except CorruptRun as error:
        assert str(path) in str(error)
    tried("run folders")


@pytest.mark.parametrize("schema", [-1, 0, 1, 3, 99, None, "2", [], {}])
def test_results_files_of_other_versions(
    finished: Path, tmp_path: Path, schema: object, tried: Tried
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    path = run / "results.parquet"
    table = pq.read_table(path)
    card = json.loads(table.schema.metadata[METADATA_KEY]) | {"schema_version": schema}
    metadata = {METADATA_KEY: json.dumps(card).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    try:
        assert len(RunFolder.open(run).read_results()) == 4
    except CorruptRun as error:
        assert str(path) in str(error)
    tried("run folders")


def test_damaged_baselines(finished: Path, tmp_path: Path, tried: Tried) -> None:
    from icd_bench.gate.renew import make_baseline

    path = tmp_path / "base.json"
    make_baseline(path, measure(finished))
    data = path.read_bytes()
    assert lay_out(json.loads(data)).encode() == data.rstrip()
    draw = random.Random(1)
    for _ in range(100 * TIMES):
        path.write_bytes(mutated(data, draw))
        try:
            read_baseline(path)
        except UsageError as error:
            assert str(path) in str(error)
        tried("baselines")
