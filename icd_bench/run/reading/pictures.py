"""Sources, masks and true edits of a run, kept at the model's resolution.

They make a run folder complete: scoring and reports need no benchmark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from icd_bench.api import Sample
from icd_bench.errors import BadSample
from icd_bench.protocols import NATIVE, Protocol
from icd_bench.run.reading.prepare import Prepared, from_png
from icd_bench.run.reading.sample_reading import Fit, ReadSample, SampleReader
from icd_bench.run.storage.records import SampleRecord
from icd_bench.run.storage.store import RunWriter


class RunPictures:
    """Pictures of samples: prepared once, then read from the run folder.

    Args:
        writer: holds the run folder.
        resolution: of the model.
        protocol: of the run.
        expected: samples that will be asked for, as far as they are known; where many of them are
            not in the run folder yet, processes read them, which :meth:`close` ends.
    """

    def __init__(
        self,
        writer: RunWriter,
        resolution: int,
        protocol: Protocol = NATIVE,
        expected: Sequence[Sample] = (),
    ) -> None:
        self._writer = writer
        self._resolution = resolution
        known = writer.records.samples
        unread = sum((sample.digest, resolution) not in known for sample in expected)
        self._reader = SampleReader(Fit(resolution, protocol), unread)

    def of(self, samples: Sequence[Sample]) -> list[Prepared | BadSample]:
        """Return the pictures of each sample of a benchmark, or why it cannot be used."""
        known = [self._stored(sample) for sample in samples]
        unknown = [s for s, pictures in zip(samples, known, strict=True) if pictures is None]
        read = self._reader.read(unknown)
        new = [
            (sample, found)
            for sample, found in zip(unknown, read, strict=True)
            if isinstance(found, ReadSample)
        ]
        if new:
            self._keep(new)
        found = iter(read)
        return [_pictures(next(found)) if one is None else one for one in known]

    def close(self) -> None:
        """End the processes that read, if there are any."""
        self._reader.close()

    def _stored(self, sample: Sample) -> Prepared | None:
        record = self._writer.records.samples.get((sample.digest, self._resolution))
        return read_prepared(self._writer, record) if record else None

    def _keep(self, samples: Sequence[tuple[Sample, ReadSample]]) -> None:
        contents: dict[Path, bytes] = {}
        entries = []
        for sample, found in samples:
            for kind, data in found.files.items():
                path = self._writer.folder.sample_path(sample.digest, self._resolution, kind)
                contents[path] = data
            digests = {kind: sha256(data).hexdigest() for kind, data in found.files.items()}
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


def _pictures(found: ReadSample | BadSample) -> Prepared | BadSample:
    return found if isinstance(found, BadSample) else found.pictures


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
