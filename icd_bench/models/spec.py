"""A model before anything of it is loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from icd_bench.errors import MissingWeights
from icd_bench.models.digests import file_digest
from icd_bench.models.hub import fetch_command, snapshot
from icd_bench.models.parts import MissingPart, Part
from icd_bench.registry import suggest


@dataclass(frozen=True)
class ModelSpec:
    """A diffusion model by name or folder; nothing is loaded before it is used."""

    name: str
    title: str
    family: str
    """Kind of pipeline: "sd" for Stable Diffusion 1.x shapes, "sdxl", "instruct-pix2pix"."""
    resolution: int
    """Side of its square pictures in pixels."""
    parts: tuple[Part, ...]
    root: Path | None = None
    """Folder of a local model; None for a model on the hub."""

    @property
    def repositories(self) -> tuple[str, ...]:
        """Hub repositories that its parts are in, each once."""
        return tuple(dict.fromkeys(p.repository for p in self.parts if p.repository))

    def part(self, name: str) -> Part:
        """Return a part by name.

        Raises:
            MissingWeights: the model has no such part.
        """
        for part in self.parts:
            if part.name == name:
                return part
        known = [part.name for part in self.parts]
        raise MissingWeights(
            f'model "{self.name}" has no part "{name}".{suggest(name, known)} '
            f"It has: {', '.join(known)}."
        )

    def folder_of(self, part: str) -> Path:
        """Return the folder of a part, or the file itself where a part is one file.

        Raises:
            MissingWeights: it is not on this machine; the message says how to get it.
        """
        wanted = self.part(part)
        root = self._root_of(wanted)
        if root is None or not all(path.is_file() for path in wanted.paths(root)):
            missing = self._describe(wanted)
            size = f" ({missing.size})" if missing.size else ""
            raise MissingWeights(
                f'model "{self.name}" lacks its part "{part}"{size}; get it with: {missing.command}'
            )
        return root / wanted.path

    def has(self, part: str) -> bool:
        """Return whether a part is on this machine."""
        try:
            self.folder_of(part)
        except MissingWeights:
            return False
        return True

    def missing(self, needs: Collection[str] | None = None) -> list[MissingPart]:
        """Return what is not on this machine.

        Args:
            needs: of the methods and settings to run (``MethodInfo.needs``, ``Setting.needs``)
                beside the pipeline itself; None for all parts.
        """
        absent = [self._describe(p) for p in self._needed(needs) if not self.has(p.name)]
        return absent + [self._no_part_for(need) for need in self._unserved(needs)]

    def digest(self, needs: Collection[str] | None = None) -> str:
        """Return the SHA-256 (hex) over the present weight and config files.

        Args:
            needs: as for :meth:`missing`; results depend on nothing else, so fetching an
                adapter that a method does not use leaves its digest alone.

        Raises:
            MissingWeights: a part of the pipeline itself is missing.
        """
        total = hashlib.sha256()
        for part in self._needed(needs):
            if part.need and not self.has(part.name):
                continue
            self.folder_of(part.name)
            for path in part.paths(self._root_of(part) or Path()):
                total.update(f"{part.name}/{path.name}:{file_digest(path)}\n".encode())
        return total.hexdigest()

    def commits(self, needs: Collection[str] | None = None) -> dict[str, str]:
        """Return the commit of each hub repository that is read, as it lies in the cache.

        Args:
            needs: as for :meth:`missing`.
        """
        used = {(part.repository, part.revision) for part in self._needed(needs) if part.repository}
        folders = {repository: snapshot(repository, revision) for repository, revision in used}
        return {name: folder.name for name, folder in sorted(folders.items()) if folder}

    def _needed(self, needs: Collection[str] | None) -> Iterator[Part]:
        if needs is None:
            return iter(self.parts)
        return (p for p in self.parts if not p.need or p.need in needs or p.name in needs)

    def _unserved(self, needs: Collection[str] | None) -> list[str]:
        served = {name for part in self.parts for name in (part.need, part.name)}
        return sorted(set(needs or ()) - served)

    def _root_of(self, part: Part) -> Path | None:
        return snapshot(part.repository, part.revision) if self.root is None else self.root

    def _describe(self, part: Part) -> MissingPart:
        if self.root is None:
            return MissingPart(part.name, part.size, fetch_command(part))
        place = f"copy it to {self.root / part.path}"
        command = "icd-bench train scenes" if self.name == "scenes" else place
        return MissingPart(part.name, part.size, command)

    def _no_part_for(self, need: str) -> MissingPart:
        return MissingPart(need, "", "another --model (see: icd-bench list models)")
