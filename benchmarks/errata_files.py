"""Known mistakes of published sets, as versioned files; asked for by name, never silent."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from icd_bench.data.yaml_files import Entry, read_yaml
from icd_bench.errors import BadSample

FOLDER = Path(__file__).parent / "errata"


class Fix(Entry):
    """One row's blend words as they are published and as they are meant."""

    id: str
    published: str
    fixed: str


class Errata(Entry):
    """One version of the known mistakes of a benchmark."""

    name: str
    benchmark: str
    fixes: tuple[Fix, ...]

    def apply(self, sample_id: str, blend_words: str, where: str) -> str:
        """Return the blend words that a row should have.

        Raises:
            BadSample: the row is not the one that the erratum was written for.
        """
        for fix in self.fixes:
            if fix.id == sample_id:
                if blend_words.split() != fix.published.split():
                    raise BadSample(
                        where,
                        "blended_word",
                        f'is "{blend_words}", but {self.name} was written for "{fix.published}"',
                        f"leave out {self.name}: the file is another edition",
                    )
                return fix.fixed
        return blend_words


@cache
def errata_of(benchmark: str) -> dict[str, Errata]:
    """Return the versions of a benchmark's errata by name."""
    paths = sorted(FOLDER.glob(f"{benchmark}-*.yaml"))
    return {errata.name: errata for errata in (read_yaml(path, Errata) for path in paths)}
