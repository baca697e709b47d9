"""Which diffusion models there are, where their weights lie, and how to get the missing ones.

A model is a diffusers pipeline plus the extra networks that some methods need. On disk:

    model_index.json  unet/  vae/  text_encoder/  tokenizer/  scheduler/
    unet_cfg_distilled/                        guidance-distilled U-Net (needed by "icd")
    icd/forward-19-259-519-779.safetensors     LoRA on it, inversion (timestep set 4a; 4b and 3
    icd/reverse-259-519-779-999.safetensors    are named after their timesteps likewise)
    lcm/lora.safetensors                       LoRA on unet/ (needed by "lcm")

A folder of that layout is a model wherever it lies; models on the hub are mapped to the same
parts. No torch is imported here: listing models is instant.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from icd_bench.diffusion.timestep_sets import RELEASED
from icd_bench.errors import MissingWeights, UnknownName, UsageError
from icd_bench.registry import suggest

_UNET_FILES: Final = ("config.json", "diffusion_pytorch_model.safetensors")
_TEXT_FILES: Final = ("config.json", "model.safetensors")


_FAMILIES: Final = {
    "StableDiffusionPipeline": "sd",
    "StableDiffusionInstructPix2PixPipeline": "instruct-pix2pix",
}
"""Pipelines of diffusers whose folders can be read, and the families of their models."""
_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


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
    """Which need of a method it serves ("icd", "lcm"); empty for the pipeline itself."""
    size: str = ""
    """Human-readable size of what is fetched."""
    repository: str = ""
    """Hub id, for models on the hub."""

    def paths(self, root: Path) -> list[Path]:
        """Return the part's files below ``root``."""
        place = root / self.path if self.path else root
        return [place / name for name in self.files] or [place]


@dataclass(frozen=True)
class MissingPart:
    """A part that is not on this machine."""

    part: str
    size: str
    command: str
    """What fetches or makes it."""


@dataclass(frozen=True)
class ModelSpec:
    """A diffusion model by name or folder; nothing is loaded before it is used."""

    name: str
    title: str
    family: str
    """Kind of pipeline: "sd" for Stable Diffusion 1.x shapes, "instruct-pix2pix"."""
    resolution: int
    """Side of its square pictures in pixels."""
    parts: tuple[Part, ...]
    root: Path | None = None
    """Folder of a local model; None for a model on the hub."""

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
            needs: needs of the methods to run (``MethodInfo.needs``) beside the pipeline itself;
                None for all parts.
        """
        return [self._describe(p) for p in self._needed(needs) if not self.has(p.name)]

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
                total.update(f"{part.name}/{path.name}:{_sha256(path)}\n".encode())
        return total.hexdigest()

    def _needed(self, needs: Collection[str] | None) -> Iterator[Part]:
        return (p for p in self.parts if not p.need or needs is None or p.need in needs)

    def _root_of(self, part: Part) -> Path | None:
        return _snapshot(part.repository) if self.root is None else self.root

    def _describe(self, part: Part) -> MissingPart:
        if self.root is not None:
            place = f"copy it to {self.root / part.path}"
            command = "icd-bench train scenes" if self.name == "scenes" else place
            return MissingPart(part.name, part.size, command)
        patterns = " ".join(f'--include "{p.as_posix()}"' for p in part.paths(Path()))
        return MissingPart(part.name, part.size, f"hf download {part.repository} {patterns}")


def models() -> dict[str, ModelSpec]:
    """Return the known models by name."""
    return {"scenes": _scenes(), "sd15": _sd15(), "instruct-pix2pix": _instruct_pix2pix()}


def find_model(name: str) -> ModelSpec:
    """Return a model by its name, its folder, or its hub id (``owner/name``).

    Raises:
        UnknownName: it is none of these; the message suggests the nearest name.
        MissingWeights: the hub id is not in this machine's cache.
        UsageError: the folder is not a diffusers pipeline.
    """
    known = models()
    if name in known:
        return known[name]
    folder = Path(name).expanduser()
    if folder.is_dir():
        return local_model(folder)
    if _HUB_ID.fullmatch(name):
        return _hub_model(name)
    raise UnknownName(
        f'unknown model "{name}".{suggest(name, known)} Known: {", ".join(known)}, '
        "or a folder or hub id (owner/name) of a diffusers pipeline."
    )


def local_model(folder: Path, name: str = "", title: str = "") -> ModelSpec:
    """Return the model in a folder of the layout above.

    Args:
        folder: holds ``model_index.json``.
        name: default the folder's name.
        title: default the folder's path.

    Raises:
        UsageError: the folder is no Stable-Diffusion-shaped diffusers pipeline.
    """
    folder = folder.resolve()
    index = _read_json(folder / "model_index.json")
    family = _FAMILIES.get(str(index.get("_class_name")))
    if family is None:
        raise UsageError(
            f"{folder / 'model_index.json'}: _class_name is {index.get('_class_name')!r}; "
            f"only folders of {' and '.join(_FAMILIES)} can be read"
        )
    unet, vae = (_read_json(folder / part / "config.json") for part in ("unet", "vae"))
    factor = 2 ** (len(vae["block_out_channels"]) - 1)
    tokenizer_files = _tokenizer_files(folder / "tokenizer")
    return ModelSpec(
        name=name or folder.name,
        title=title or str(folder),
        family=family,
        resolution=int(unet["sample_size"]) * factor,
        parts=(*_pipeline_parts(tokenizer_files), *_extra_parts(folder)),
        root=folder,
    )


def _hub_model(repository: str) -> ModelSpec:
    """Return the model in the local cache of a hub repository."""
    snapshot = _snapshot(repository)
    if snapshot is None:
        raise MissingWeights(
            f'model "{repository}" is neither a folder here nor in the cache of the hub; '
            f"get it with: hf download {repository}"
        )
    return local_model(snapshot, repository, f"{repository}, from the hub")


def _scenes() -> ModelSpec:
    folder = Path(str(files("icd_bench"))) / "weights" / "scenes"
    title = "Stable-Diffusion-shaped model of the embedded world, 64x64, shipped with the package"
    if (folder / "model_index.json").is_file():
        return local_model(folder, "scenes", title)
    parts = (*_pipeline_parts(("vocab.json",)), *_extra_parts(folder))
    return ModelSpec("scenes", title, "sd", 64, parts, folder)


def _sd15() -> ModelSpec:
    pipeline = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    tokenizer = ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json")
    sizes = {"unet": "3.4 GB", "vae": "335 MB", "text_encoder": "492 MB", "tokenizer": "1.6 MB"}
    core = tuple(
        Part(p.name, p.path, p.files, size=sizes.get(p.name, "1 KB"), repository=pipeline)
        for p in _pipeline_parts(tokenizer)
    )
    distilled = Part(
        "cfg_distilled", "", _UNET_FILES, "icd", "3.4 GB", "dbaranchuk/sd15-cfg-distill-unet"
    )
    adapters = tuple(
        Part(f"icd_{direction}:{name}", file, (), "icd", "about 270 MB", "dbaranchuk/icd-lora-sd15")
        for name in ("4a", "4b", "3")
        for direction, file in _adapter_files(name).items()
    )
    title = "Stable Diffusion 1.5 with the released iCD weights, 512x512"
    return ModelSpec("sd15", title, "sd", 512, (*core, distilled, *adapters))


def _instruct_pix2pix() -> ModelSpec:
    repository = "timbrooks/instruct-pix2pix"
    tokenizer = ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json")
    sizes = {"unet": "3.4 GB", "vae": "335 MB", "text_encoder": "492 MB", "tokenizer": "1.6 MB"}
    parts = tuple(
        Part(p.name, p.path, p.files, size=sizes.get(p.name, "1 KB"), repository=repository)
        for p in _pipeline_parts(tokenizer)
    )
    title = "InstructPix2Pix, Stable Diffusion 1.5 trained to follow instructions, 512x512"
    return ModelSpec("instruct-pix2pix", title, "instruct-pix2pix", 512, parts)


def _pipeline_parts(tokenizer_files: tuple[str, ...]) -> tuple[Part, ...]:
    return (
        Part("unet", "unet", _UNET_FILES),
        Part("vae", "vae", _UNET_FILES),
        Part("text_encoder", "text_encoder", _TEXT_FILES),
        Part("tokenizer", "tokenizer", tokenizer_files),
        Part("scheduler", "scheduler", ("scheduler_config.json",)),
    )


def _extra_parts(folder: Path) -> tuple[Part, ...]:
    """Return the parts beyond the pipeline: set 4a always, other sets where they are present."""
    adapters = [
        Part(f"icd_{direction}:{name}", f"icd/{file}", need="icd")
        for name in RELEASED
        for direction, file in _adapter_files(name).items()
        if name == "4a" or (folder / "icd" / file).is_file()
    ]
    distilled = Part("cfg_distilled", "unet_cfg_distilled", _UNET_FILES, "icd")
    return distilled, *adapters, Part("lcm", "lcm/lora.safetensors", need="lcm")


def _adapter_files(timestep_set: str) -> dict[str, str]:
    jumps = RELEASED[timestep_set]
    return {"forward": jumps.forward_file, "reverse": jumps.reverse_file}


def _tokenizer_files(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in folder.glob("*.*"))) or ("vocab.json",)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"{file} is missing: {file.parent} is not a diffusers folder") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{file}: not a JSON object")
    return content


def _snapshot(repository: str) -> Path | None:
    """Return the folder of a repository in the local hub cache, or None."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def _sha256(path: Path) -> str:
    blob = path.resolve()
    # The hub's cache names large files by their SHA-256.
    if blob.parent.name == "blobs" and len(blob.name) == hashlib.sha256().digest_size * 2:
        return blob.name
    stat = path.stat()
    return _hash_file(path, stat.st_size, stat.st_mtime_ns)


@cache
def _hash_file(path: Path, size: int, modified: int) -> str:
    """Hash a file once for each of its versions (size and time in ns)."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
