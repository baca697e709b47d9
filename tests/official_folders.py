"""Small folders in the official layouts: real prompt rows, and photos of tests/data/photos."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

DATA = Path(__file__).parent / "data"
INSTRUCTIONS = DATA / "instructions"
PHOTOS = (DATA / "photos" / "cat.jpg", DATA / "photos" / "horse.jpg")
SIDE = 512
RUNS = [0, 3, SIDE * 2 + 5, 4]


def pie_rows() -> list[dict[str, str]]:
    with (INSTRUCTIONS / "editing_pie_bench_all.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def square_photo(number: int, path: Path) -> None:
    """Write one of the photos at 512x512."""
    path.parent.mkdir(parents=True, exist_ok=True)
    photo = Image.open(PHOTOS[number % 2]).convert("RGB")
    photo.resize((SIDE, SIDE)).save(path, quality=90)


def make_piebench(root: Path, changes: dict[str, dict[str, Any]] | None = None) -> Path:
    """Write the official folder with the real prompt rows; ``changes`` replace fields by key.

    One row more, of an artificial picture, which iCD's files do not have.
    """
    mapping: dict[str, Any] = {}
    rows = pie_rows()
    rows.append({**rows[-1], "file_name": "911000000000.jpg"})
    for number, row in enumerate(rows):
        key = Path(row["file_name"]).stem
        kind = int(key[0])
        folder = "0_random_140" if kind == 0 else f"{kind}_some_80/{key[1]}_nature/{key[2]}_scene"
        mapping[key] = {
            "image_path": f"{folder}/{row['file_name']}",
            "original_prompt": row["old_caption"],
            "editing_prompt": row["edited_caption"],
            "editing_instruction": "",
            "editing_type_id": str(kind),
            "blended_word": row["blended_words"].strip(),
            "mask": RUNS,
            **(changes or {}).get(key, {}),
        }
        square_photo(number, root / "annotation_images" / mapping[key]["image_path"])
    (root / "mapping_file.json").write_text(json.dumps(mapping))
    return root


def make_piebench_pp(root: Path, rows: Sequence[dict[str, Any]], folder: str) -> Path:
    """Write one configuration as the hub has it, two rows a row group."""
    records = []
    for number, row in enumerate(rows):
        photo = root / "photo.jpg"
        square_photo(number, photo)
        image = {"bytes": photo.read_bytes(), "path": f"{row['id']}.jpg"}
        photo.unlink()
        records.append({"image": image, "edit_action": "{}", "aspect_mapping": "{}", **row})
    (root / folder).mkdir(parents=True)
    pq.write_table(
        pa.Table.from_pylist(records), root / folder / "V1-00000-of-00001.parquet", row_group_size=2
    )
    return root


def make_coco(root: Path, instructions: str, photos: str) -> Path:
    """Write an instruction file and the photos that it names."""
    root.mkdir(parents=True, exist_ok=True)
    shutil.copy(INSTRUCTIONS / instructions, root)
    (root / photos).mkdir()
    with (root / instructions).open(newline="") as file:
        names = {row["file_name"] for row in csv.DictReader(file)}
    for number, name in enumerate(sorted(names)):
        shutil.copy(PHOTOS[number % 2], root / photos / name)
    return root
