"""Ways to bring a study to raters and their answers back; plugins of ``icd_bench.study_formats``.

A format sees the blind bundle alone, so that nothing it writes can give a method away.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final, Protocol, runtime_checkable

from icd_bench.registry import Registry
from icd_bench.reports.study.answers import Answer
from icd_bench.reports.study.bundle import Bundle

formats: Final[Registry[Any]] = Registry("study format", "icd_bench.study_formats")


@runtime_checkable
class StudyFormat(Protocol):
    """One way out and back."""

    title: ClassVar[str]

    def export(self, bundle: Bundle, folder: Path, out: Path, base_url: str) -> list[Path]:
        """Write what the raters' side needs.

        Args:
            bundle: the study, blind.
            folder: of the bundle, with the pictures.
            out: folder to write to; exists.
            base_url: what stands before ``images/NAME.png`` in addresses of pictures.

        Returns:
            The files written.
        """

    def read(self, path: Path, bundle: Bundle) -> list[Answer]:
        """Return the answers of a file that came back.

        Raises:
            BadVotes: the file is not of this format; with line numbers.
        """
