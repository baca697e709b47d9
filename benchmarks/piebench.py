"""PIE-Bench: 700 edits of ten types with prompts, masks and blend words.

Ju et al. 2024, arXiv:2310.01506. The official folder: ``mapping_file.json`` and
``annotation_images/``. A key has 12 digits: type, 1 artificial or 2 natural, scene, index;
type 0 is not divided.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from icd_bench.api import BenchmarkInfo, BlendWords, Sample
from icd_bench.data.card import Card
from icd_bench.data.home import open_folder
from icd_bench.errors import BadSample, UnknownName, UsageError
from icd_bench.registry import suggest

from .captions import read_blend_words, strip_brackets
from .card_files import card_of
from .edit_types import CATEGORIES
from .errata_files import Errata, errata_of
from .picture_files import PictureFile, find_picture
from .run_length import decode_runs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAPPING = "mapping_file.json"
PICTURES = "annotation_images"
FIELDS = ("image_path", "original_prompt", "editing_prompt", "editing_type_id")
RANDOM, ARTIFICIAL, NATURAL = "0", "1", "2"


@dataclass(frozen=True)
class Selection:
    """Which rows to use, from a split as ``natural+9`` or ``icd-420+errata-1``."""

    types: frozenset[str]
    """Digits of the editing types; empty for all."""
    natures: frozenset[str]
    """Digits of the natures; empty for all."""
    icd: bool = False
    """Type 0 beside the natural pictures of the other types: iCD's 420 rows."""
    errata: Errata | None = None

    def has(self, key: str) -> bool:
        """Return whether the row with this key is selected."""
        if self.types and key[0] not in self.types:
            return False
        if self.icd:
            return key[0] == RANDOM or key[1] == NATURAL
        return not self.natures or (key[0] != RANDOM and key[1] in self.natures)


def read_split(split: str | None) -> Selection:
    """Return the rows that a split means: parts joined with ``+``.

    Parts: ``all``, ``icd-420``, ``icd-140``, ``natural``, ``artificial``, an editing type
    (``9`` or ``change_style``), and ``errata-1``.

    Raises:
        UnknownName: a part is none of these.
    """
    types: set[str] = set()
    natures: set[str] = set()
    icd, errata = False, None
    names = {name: str(number) for number, name in enumerate(CATEGORIES)}
    versions = errata_of("piebench")
    known = ["all", "icd-420", "icd-140", "natural", "artificial", *names, *versions]
    for part in (split or "all").split("+"):
        match part:
            case "all":
                continue
            case "icd-420":
                icd = True
            case "icd-140":
                types.add(RANDOM)
            case "natural":
                natures.add(NATURAL)
            case "artificial":
                natures.add(ARTIFICIAL)
            case _ if part in names or part in names.values():
                types.add(names.get(part, part))
            case _ if part in versions:
                errata = versions[part]
            case _:
                raise UnknownName(
                    f'piebench: unknown split "{part}".{suggest(part, known)} '
                    f"Known: {', '.join(known)}, joined with +."
                )
    return Selection(frozenset(types), frozenset(natures), icd, errata)


class PIEBench:
    """The rows of the official folder, in the order of their keys."""

    card: ClassVar[Card] = card_of("piebench")
    info: ClassVar[BenchmarkInfo] = card.info
    default_split: ClassVar[str] = "all"
    """The name of the rows that no split means: results do not tell ``all`` from none."""

    def __init__(self, location: str | None = None, split: str | None = None) -> None:
        self.selection = read_split(split)
        self.root = open_folder(self.card, location)
        if not (self.root / MAPPING).is_file():
            raise UsageError(f"piebench: {self.root} has no {MAPPING}; {self.card.how_to_get}")

    def samples(self) -> Iterator[Sample | BadSample]:
        """Yield the selected rows; a picture is decoded only when it is read."""
        rows = _read_mapping(self.root / MAPPING)
        for key in sorted(rows):
            try:
                _check_row(key, rows[key])
                if self.selection.has(key):
                    yield _sample(self.root, key, rows[key], self.selection.errata)
            except BadSample as error:
                yield error


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path}: not JSON: {error}; unpack it again") from error
    if not isinstance(rows, dict) or not rows:
        raise UsageError(f"{path}: not a table of edits; unpack it again")
    return rows


def _check_row(key: str, row: Any) -> None:
    where = f"{MAPPING}, {key}"
    if len(key) != 12 or not key.isdigit():
        raise BadSample(where, "key", "is not 12 digits", "take the official file")
    missing = [name for name in FIELDS if not isinstance(row, dict) or name not in row]
    if missing:
        raise BadSample(where, missing[0], "is not there", "take the official file")


def _sample(root: Path, key: str, row: Mapping[str, Any], errata: Errata | None) -> Sample:
    where = f"{MAPPING}, {key}"
    source, target = (str(row[name]) for name in ("original_prompt", "editing_prompt"))
    prompts = [strip_brackets(source), strip_brackets(target)]
    for name, prompt in zip(FIELDS[1:3], prompts, strict=True):
        if not prompt:
            raise BadSample(where, name, "the prompt is empty")
    published = str(row.get("blended_word", ""))
    text = errata.apply(key, published, where) if errata else published
    words = _blend_words(text, where)
    image = find_picture(root / PICTURES, str(row["image_path"]), where, "image_path")
    runs = _runs(row.get("mask"), where)
    content = [image.digest, *prompts, words.source, words.target, runs]
    return Sample(
        id=key,
        source_prompt=prompts[0],
        target_prompt=prompts[1],
        digest=sha256(json.dumps(["piebench", 1, *content]).encode()).hexdigest(),
        read_image=image.read_image,
        blend_words=words,
        read_mask=None if runs is None else partial(_read_mask, runs, image),
        category=category_name(str(row["editing_type_id"]), where),
        metadata={
            "image": str(row["image_path"]),
            "source_bracketed": source,
            "target_bracketed": target,
            "instruction": str(row.get("editing_instruction", "")),
            "blend_words_published": published,
            "nature": {ARTIFICIAL: "artificial", NATURAL: "natural"}.get(key[1], ""),
        },
    )


def category_name(type_id: str, where: str) -> str:
    """Return the category of an editing type, as ``9_change_style``; raises BadSample."""
    if type_id not in {str(number) for number in range(len(CATEGORIES))}:
        raise BadSample(where, "editing_type_id", f'"{type_id}" is not 0 to 9')
    return f"{type_id}_{CATEGORIES[int(type_id)]}"


def _blend_words(text: str, where: str) -> BlendWords:
    try:
        return read_blend_words(text)
    except ValueError as error:
        raise BadSample(where, "blended_word", str(error)) from error


def _runs(value: Any, where: str) -> list[int] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(number, int) for number in value):
        raise BadSample(where, "mask", "is not a list of whole numbers")
    return value


def _read_mask(runs: list[int], image: PictureFile) -> NDArray[np.bool_]:
    width, height = image.size
    try:
        return decode_runs(runs, height, width)
    except ValueError as error:
        raise BadSample(image.where, "mask", str(error)) from error
