"""Every kind of data, from real files: the same rows come out, bad ones are named."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tiny_pipelines import caption, picture, write_pictures

from icd_bench.errors import BadSample, UsageError
from icd_bench.training.data.rows import Columns, Row
from icd_bench.training.data.source import open_source

COUNT = 6
Rows = list[tuple[str, bytes]]


def png(number: int) -> bytes:
    content = io.BytesIO()
    picture(number).save(content, format="PNG")
    return content.getvalue()


def rows(location: Path | str, columns: Columns | None = None, **more: Any) -> Rows:
    """Caption and pixels of every row, in order of captions."""
    source = open_source(str(location), columns or Columns(), **more)
    windows = [window for shard in range(source.shards) for window in source.windows(shard)]
    found = [row.load() for window in windows for row in window]
    return sorted((texts[0], Image.open(io.BytesIO(data)).tobytes()) for data, texts in found)


EXPECTED = sorted((caption(n), picture(n).tobytes()) for n in range(COUNT))


def write_metadata(folder: Path) -> Path:
    write_pictures(folder, COUNT)
    lines = [json.dumps({"file_name": f"{n:03}.png", "text": caption(n)}) for n in range(COUNT)]
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    return folder


def write_csv(folder: Path) -> Path:
    write_pictures(folder, COUNT)
    with (folder / "rows.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "caption", "more"])
        table.writerows([f"{n:03}.png", caption(n), "x, y"] for n in range(COUNT))
    return folder / "rows.csv"


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def write_tars(folder: Path) -> Path:
    folder.mkdir()
    for shard in range(2):
        with tarfile.open(folder / f"{shard:03}.tar", "w") as tar:
            for n in range(3 * shard, 3 * shard + 3):
                add(tar, f"some/{n:05}.png", png(n))
                if shard:
                    add(tar, f"some/{n:05}.json", json.dumps({"caption": caption(n)}).encode())
                else:
                    add(tar, f"some/{n:05}.txt", caption(n).encode())
    return folder


def records() -> list[dict[str, Any]]:
    return [{"image": {"bytes": png(n), "path": None}, "caption": caption(n)} for n in range(COUNT)]


def write_parquet(folder: Path) -> Path:
    folder.mkdir()
    for shard in range(2):
        table = pa.Table.from_pylist(records()[3 * shard : 3 * shard + 3])
        pq.write_table(table, folder / f"{shard}.parquet")
    return folder


def write_arrow(folder: Path) -> Path:
    import datasets

    features = datasets.Features({"image": datasets.Image(), "caption": datasets.Value("string")})
    datasets.Dataset.from_list(records(), features=features).save_to_disk(str(folder))
    return folder


@pytest.mark.parametrize(
    ("write", "shards"),
    [
        (lambda folder: write_pictures(folder, COUNT), 1),
        (write_metadata, 1),
        (write_csv, 1),
        (write_tars, 2),
        (write_parquet, 2),
        (write_arrow, 1),
    ],
    ids=["captions", "metadata", "csv", "tars", "parquet", "arrow"],
)
def test_rows_are_those_of_the_files(
    write: Callable[[Path], Path], shards: int, tmp_path: Path
) -> None:
    place = write(tmp_path / "data")
    assert rows(place) == EXPECTED
    assert open_source(str(place), Columns()).shards == shards


@pytest.mark.parametrize("stream", [False, True])
def test_a_dataset_of_the_hub(
    stream: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    write_parquet(tmp_path / "data")
    files = [str(tmp_path / "data" / f"{n}.parquet") for n in range(2)]
    asked: list[tuple[str, str, bool]] = []

    def load_dataset(name: str, split: str, streaming: bool) -> Any:
        asked.append((name, split, streaming))
        return real(
            "parquet", data_files=files, split="train", streaming=streaming,
            cache_dir=str(tmp_path / "cache"),
        )  # fmt: skip

    real = datasets.load_dataset
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert rows("hub:some/pictures", split="test", stream=stream) == EXPECTED
    assert asked == [("some/pictures", "test", stream)]


def test_patterns_name_shards(tmp_path: Path) -> None:
    folder = write_tars(tmp_path / "data")
    assert rows(folder / "*.tar") == EXPECTED
    assert rows(folder / "{000..001}.tar") == EXPECTED
    with pytest.raises(UsageError, match=r"1 files are missing, first .*002\.tar"):
        rows(folder / "{000..002}.tar")


def test_columns_can_be_named(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "data", 2)
    file = folder / "rows.csv"
    file.write_text("where,says\n000.png,hello\n")
    assert rows(file, Columns("where", "says")) == [("hello", picture(0).tobytes())]
    with pytest.raises(UsageError, match=r"no column any of .* --image-column"):
        rows(file)


def only_problem(location: Path) -> str:
    """What is wrong with the one bad row of a place."""
    source = open_source(str(location), Columns())
    loaded: list[Row] = [row for shard in range(source.shards) for w in source.windows(shard)
                         for row in w]  # fmt: skip
    problems = []
    for row in loaded:
        try:
            row.load()
        except BadSample as problem:
            problems.append(str(problem))
    (problem,) = problems
    return problem


def test_bad_rows_say_what_is_wrong(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", 2)
    (folder / "001.txt").write_text("  \n")
    assert "caption: is empty" in only_problem(folder)
    (folder / "001.txt").unlink()
    assert "001.txt cannot be read" in only_problem(folder)
    (folder / "metadata.jsonl").write_text('{"file_name": "000.png", "text": "a"}\n[1]\n')
    assert "metadata.jsonl:2: metadata: not a JSON object" in only_problem(folder)
    (folder / "metadata.jsonl").write_text('{"file_name": "9.png", "text": "a"}\n')
    assert "No such file" in only_problem(folder)


def test_a_torn_shard_keeps_the_rows_before_the_tear(tmp_path: Path) -> None:
    folder = write_tars(tmp_path / "data")
    whole = (folder / "000.tar").read_bytes()
    (folder / "000.tar").write_bytes(b"no tar at all" * 100)
    assert "not a readable tar" in only_problem(folder)
    (folder / "000.tar").write_bytes(whole)
    with tarfile.open(folder / "000.tar", "a") as tar:
        add(tar, "some/00009.txt", b"a caption without a picture")
    assert "no picture among .txt" in only_problem(folder)


def test_places_that_hold_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing is there"):
        rows(tmp_path / "absent")
    with pytest.raises(UsageError, match="holds no pictures"):
        rows(tmp_path)
    (tmp_path / "notes.md").write_text("hello")
    with pytest.raises(UsageError, match="of no known kind"):
        rows(tmp_path / "notes.md")
