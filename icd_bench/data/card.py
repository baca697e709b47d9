"""Cards of benchmarks: licence, citation, source, size, checksums, and how to get the data."""

from __future__ import annotations

from pydantic import Field

from icd_bench.api import BenchmarkInfo
from icd_bench.data.yaml_files import Entry


class RemoteFile(Entry):
    """One file that ``icd-bench data get`` fetches."""

    path: str
    """Relative to the benchmark's folder."""
    url: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class HubFiles(Entry):
    """A data set on the hub that ``icd-bench data get`` fetches."""

    repository: str
    revision: str = "main"
    patterns: tuple[str, ...] = ("*",)


class NamedPictures(Entry):
    """Pictures that the benchmark's rows name; fetched one by one."""

    url: str
    """With ``{name}`` for the file's name."""
    folder: str
    """Relative to the benchmark's folder."""
    names: str = "*"
    """Pattern of the names that are at the URL; ``how_to_get`` says where the others are."""


class Card(Entry):
    """Everything that is known of a benchmark before its data are there."""

    name: str
    title: str
    licence: str
    citation: str
    source: str
    size: str
    how_to_get: str
    checksum: str
    """What can be checked, and how."""
    resolution: int | None = None
    default_model: str = "sd15"
    metrics: tuple[str, ...] = ()
    rows: dict[str, int] = Field(default_factory=dict)
    """Split -> number of samples; the empty name is the default split."""
    files: tuple[RemoteFile, ...] = ()
    hub: HubFiles | None = None
    pictures: NamedPictures | None = None

    @property
    def can_be_fetched(self) -> bool:
        """Whether ``icd-bench data get`` may fetch the data; else ``how_to_get`` says all."""
        return bool(self.files or self.hub or self.pictures)

    @property
    def info(self) -> BenchmarkInfo:
        """The part that runs and listings need."""
        return BenchmarkInfo(
            name=self.name,
            title=self.title,
            licence=self.licence,
            source=self.source,
            size=self.size,
            how_to_get=self.how_to_get,
            resolution=self.resolution,
            default_model=self.default_model,
            metrics=self.metrics,
        )
