"""The parts of a model: which files there are, what needs them, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Part:
    """One folder or file of a model."""

    name: str
    """``unet``, ``cfg_distilled``, ``icd_forward:4a`` .."""
    path: str
    """Folder or file, relative to the model's folder or hub repository ("" for its root)."""
    files: tuple[str, ...] = ()
    """What is read from a folder; empty where ``path`` is the file itself."""
    need: str = ""
    """Which need of a method it serves ("icd", "icd:4a", "lcm"); empty for the pipeline itself."""
    size: str = ""
    """Human-readable size of what is fetched."""
    repository: str = ""
    """Hub id, for models on the hub."""
    revision: str = ""
    """Branch, tag or commit of the repository; empty for its main branch."""

    def paths(self, root: Path) -> list[Path]:
        """Return the part's files below ``root``."""
        place = root / self.path if self.path else root
        return [place / name for name in self.files] or [place]

    @property
    def variant(self) -> str | None:
        """What diffusers calls half-precision files, where the part has such."""
        return "fp16" if any(name.endswith(".fp16.safetensors") for name in self.files) else None


@dataclass(frozen=True)
class MissingPart:
    """A part that is not on this machine."""

    part: str
    size: str
    command: str
    """What fetches or makes it."""
