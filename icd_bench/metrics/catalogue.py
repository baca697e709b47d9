"""All registered metrics in one list, for the command line and the documentation."""

from __future__ import annotations

from dataclasses import dataclass

from icd_bench import registry
from icd_bench.api import MetricInfo
from icd_bench.errors import UsageError


@dataclass(frozen=True)
class CatalogueEntry:
    """A metric as it would be computed on this machine."""

    name: str
    info: MetricInfo | None
    """None where the plugin cannot be loaded."""
    signature: str
    """With ``weights:missing`` where they are not on this machine."""
    problem: str = ""
    """Why the plugin cannot be loaded."""

    @property
    def range(self) -> str:
        """The possible values in interval notation, as "[0, inf)"."""
        if self.info is None:
            return ""
        low, high = self.info.range
        left = "(-inf" if low is None else f"[{low:g}"
        right = "inf)" if high is None else f"{high:g}]"
        return f"{left}, {right}"


def catalogue() -> list[CatalogueEntry]:
    """Return all registered metrics, sorted by name; a broken plugin is an entry with a problem."""
    return [_entry(name) for name in registry.metrics.names()]


def _entry(name: str) -> CatalogueEntry:
    try:
        metric = registry.metrics.load(name)()
    except UsageError as error:
        return CatalogueEntry(name, None, "", str(error))
    return CatalogueEntry(name, metric.info, metric.signature())
