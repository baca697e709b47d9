"""Statistics of a set of pictures, which edits are compared with by FID, KID and FD-DINOv2."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from icd_bench import registry
from icd_bench.errors import BadSample, UsageError
from icd_bench.metrics.reference_sets import SUFFIX, Made, to_safetensors
from icd_bench.metrics.set_distances import SetDistance
from icd_bench.pictures import read_picture
from icd_bench.protocols import find_protocol
from icd_bench.run.planning.rows import open_benchmark
from icd_bench.run.reading.prepare import fit_picture, to_tensor
from icd_bench.run.storage.files import write_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

AT_ONCE = 16
"""Pictures whose features are computed at once."""
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
PROMPTS = ("prompts.csv", "prompts.jsonl")


def make_statistics(
    reference: str,
    metric: str,
    out: Path,
    resolution: int | None = None,
    protocol: str = "native",
    limit: int | None = None,
    device: str = "cpu",
    say: Callable[[str], None] = print,
) -> tuple[Made, str]:
    """Write the statistics of the source pictures of a benchmark, or of all pictures of a folder.

    A picture that is there several times counts once; one that cannot be read is told and left out.

    Args:
        reference: a benchmark as for a run, or a folder of pictures.
        metric: name of a set distance.
        out: the file, ``.safetensors``.
        resolution: side that pictures are brought to first, as those of a run of this resolution
            are; None: the metric sees them as they are.
        protocol: says how, where there is a resolution.
        limit: only the first pictures.
        device: of the network.
        say: told of what is left out.

    Returns:
        How they were made, and the environment variable that makes runs use them.

    Raises:
        UsageError: the metric compares no sets, or there are fewer than two pictures.
        MissingWeights: those of the metric's network.
    """
    distance = registry.metrics.load(metric)()
    if not isinstance(distance, SetDistance):
        known = [n for n in registry.metrics.names() if _compares_sets(n)]
        raise UsageError(f"{metric}: compares no sets of pictures; {', '.join(known)} do")
    if out.suffix != SUFFIX:
        raise UsageError(f"{out}: its name must end in {SUFFIX}")
    rule = find_protocol(protocol)
    distance.load(device)
    found = (
        picture if resolution is None else fit_picture(picture, resolution, rule)
        for picture in _distinct(_pictures(reference, say))
    )
    features = [distance.features(to_tensor(batch)) for batch in _alike(islice(found, limit))]
    count = sum(map(len, features))
    if count < distance.fewest:
        raise UsageError(f"{reference}: {count} pictures; at least {distance.fewest} are needed")
    made = replace(
        distance.made(count),
        resolution=resolution,
        protocol=protocol if resolution else "",
        source=reference.partition("=")[0].rstrip("/").rpartition("/")[2],
    )
    write_file(out, to_safetensors(distance.summary(np.concatenate(features)), made))
    return made, distance.variable


def _compares_sets(name: str) -> bool:
    kind = registry.metrics.load(name)
    return isinstance(kind, type) and issubclass(kind, SetDistance)


def _pictures(reference: str, say: Callable[[str], None]) -> Iterator[Pixels]:
    """Yield pictures in a fixed order."""
    for read in _readers(reference):
        try:
            yield read()
        except BadSample as error:
            say(f"left out: {error}")


def _readers(reference: str) -> Iterator[Callable[[], Pixels]]:
    folder = Path(reference).expanduser()
    if folder.is_dir() and not any((folder / name).is_file() for name in PROMPTS):
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in ENDINGS:
                yield partial(read_picture, path)
        return
    for sample in open_benchmark(reference)[0].samples():
        yield partial(_raise, sample) if isinstance(sample, BadSample) else sample.read_image


def _raise(error: BadSample) -> NoReturn:
    raise error


def _distinct(pictures: Iterator[Pixels]) -> Iterator[Pixels]:
    seen: set[bytes] = set()
    for picture in pictures:
        digest = sha256(repr(picture.shape).encode() + picture.tobytes()).digest()
        if digest not in seen:
            seen.add(digest)
            yield picture


def _alike(pictures: Iterator[Pixels]) -> Iterator[list[Pixels]]:
    """Yield pictures of one size together, as many at once as there may be."""
    batch: list[Pixels] = []
    for picture in pictures:
        if batch and (len(batch) == AT_ONCE or batch[0].shape != picture.shape):
            yield batch
            batch = []
        batch.append(picture)
    if batch:
        yield batch
