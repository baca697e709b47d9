"""Sources, masks and true edits of a run, kept at the model's resolution.

They make a run folder complete: scoring and reports need no benchmark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from icd_bench.api import Sample
from icd_bench.errors import BadSample
from icd_bench.protocols import NATIVE, Protocol
from icd_bench.run.prepare import Prepared, from_png, prepare, to_png
from icd_bench.run.records import SampleRecord
from icd_bench.run.store import RunWriter

READERS = 8
"""Pictures that are read and fitted at once."""


class RunPictures:
    """Pictures of samples: prepared once, then read from the run folder."""

    def __init__(self, writer: RunWriter, resolution: int, protocol: Protocol = NATIVE) -> None:
        self._writer = writer
        self._resolution = resolution
        self._protocol = protocol

    def of(self, samples: Sequence[Sample]) -> list[Prepared | BadSample]:
        """Return the pictures of each sample of a benchmark, or why it cannot be used."""
        known = [self._stored(sample) for sample in samples]
        unknown = [s for s, pictures in zip(samples, known, strict=True) if pictures is None]
        # Pillow decodes and resizes outside Python's lock, so threads use all processors.
        with ThreadPoolExecutor(READERS) as pool:
            read = dict(zip(map(id, unknown), pool.map(self._prepare, unknown), strict=True))
        new = [(s, p) for s in unknown if isinstance(p := read[id(s)], Prepared)]
        if new:
            self._keep(new)
        return [
            read[id(sample)] if pictures is None else pictures
            for sample, pictures in zip(samples, known, strict=True)
        ]

    def _prepare(self, sample: Sample) -> Prepared | BadSample:
        try:
            return prepare(sample, self._resolution, self._protocol)
        except BadSample as error:
            return error

    def _stored(self, sample: Sample) -> Prepared | None:
        record = self._writer.records.samples.get((sample.digest, self._resolution))
        return read_prepared(self._writer, record) if record else None

    def _keep(self, samples: Sequence[tuple[Sample, Prepared]]) -> None:
        contents: dict[Path, bytes] = {}
        entries = []
        for sample, prepared in samples:
            arrays = {kind: array for kind, array in vars(prepared).items() if array is not None}
            files = {kind: to_png(array) for kind, array in arrays.items()}
            for kind, data in files.items():
                path = self._writer.folder.sample_path(sample.digest, self._resolution, kind)
                contents[path] = data
            digests = {kind: sha256(data).hexdigest() for kind, data in files.items()}
            entries.append(_entry(sample, self._resolution, digests))
        self._writer.add_samples(entries, contents)


def read_prepared(writer: RunWriter, record: SampleRecord) -> Prepared | None:
    """Return the stored pictures of a sample, None where a file is missing or damaged."""
    arrays: dict[str, Any] = {}
    for kind, digest in record.files.items():
        path = writer.folder.sample_path(record.digest, record.resolution, kind)
        data = writer.read_file(path, digest)
        if data is None:
            return None
        arrays[kind] = from_png(data)
    return Prepared(**arrays)


def stored_sample(record: SampleRecord, pictures: Prepared) -> Sample:
    """Return a sample as its run folder knows it, with the pictures at the run's resolution."""
    target, mask = pictures.target, pictures.mask
    return Sample(
        id=record.id,
        source_prompt=record.source_prompt,
        target_prompt=record.target_prompt,
        digest=record.digest,
        read_image=lambda: pictures.source,
        blend_words=record.blend_words,
        read_mask=None if mask is None else lambda: np.asarray(mask),
        read_target=None if target is None else lambda: np.asarray(target),
        category=record.category,
        metadata=record.metadata,
    )


def _entry(sample: Sample, resolution: int, digests: Mapping[str, str]) -> dict[str, Any]:
    return {
        "digest": sample.digest,
        "resolution": resolution,
        "id": sample.id,
        "source_prompt": sample.source_prompt,
        "target_prompt": sample.target_prompt,
        "blend_words": [list(sample.blend_words.source), list(sample.blend_words.target)],
        "category": sample.category,
        "metadata": dict(sample.metadata),
        "files": dict(digests),
    }
