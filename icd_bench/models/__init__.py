"""Which diffusion models there are, where their weights lie, and how to get the missing ones.

A model is a diffusers pipeline plus the extra networks that some methods need. On disk:

    model_index.json  unet/  vae/  text_encoder/  tokenizer/  scheduler/
    text_encoder_2/  tokenizer_2/              of Stable Diffusion XL
    unet_cfg_distilled/                        guidance-distilled U-Net (needed by "icd")
    icd/forward-19-259-519-779.safetensors     LoRA on it, inversion (timestep set 4a; 4b and 3
    icd/reverse-259-519-779-999.safetensors    are named after their timesteps likewise)
    icd/ablations/<losses>/                    the same, trained with other losses
    lcm/lora.safetensors                       LoRA on unet/ (needed by "lcm"), unless unet/ is a
                                               consistency model itself

A folder of that layout is a model wherever it lies; models on the hub are mapped to the same
parts. No torch is imported here: listing models is instant.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from icd_bench.errors import MissingWeights, UnknownName
from icd_bench.models.catalogue import models
from icd_bench.models.folders import local_model
from icd_bench.models.hub import fetch_all_command, snapshot
from icd_bench.models.parts import MissingPart, Part
from icd_bench.models.pins import REVISION, pinned
from icd_bench.models.spec import ModelSpec
from icd_bench.registry import suggest

__all__ = ["MissingPart", "ModelSpec", "Part", "find_model", "local_model", "models"]

_HUB_ID: Final = re.compile(
    rf"(?P<repository>[A-Za-z0-9][\w.-]*/[\w.-]+)(@(?P<revision>{REVISION}))?"
)


def find_model(name: str) -> ModelSpec:
    """Return a model by its name, its folder, or its hub id (``owner/name``).

    ``owner/name@revision`` asks for a branch, a tag or a commit of a hub repository; how models
    known by name are pinned is told in :mod:`icd_bench.models.pins`.

    Raises:
        UnknownName: it is none of these; the message suggests the nearest name.
        MissingWeights: the hub id is not in this machine's cache.
        UsageError: the folder is not a diffusers pipeline, or the hub has no such ids or revisions.
    """
    known = models()
    if name in known:
        return known[name]
    # Those of os.path take any text: an unknown ~user, a name that is too long.
    folder = os.path.expanduser(name)
    if os.path.isdir(folder):
        return local_model(Path(folder))
    base, pin, pins = name.partition("@")
    if pin and base in known:
        return pinned(known[base], pins)
    if hub_id := _HUB_ID.fullmatch(name):
        return _hub_model(hub_id["repository"], hub_id["revision"] or "")
    raise UnknownName(
        f'unknown model "{name}".{suggest(base, known)} Known: {", ".join(known)}, '
        "or a folder or hub id (owner/name, owner/name@revision) of a diffusers pipeline."
    )


def _hub_model(repository: str, revision: str) -> ModelSpec:
    """Return the model in the local cache of a hub repository."""
    name = f"{repository}@{revision}" if revision else repository
    folder = snapshot(repository, revision)
    if folder is None:
        raise MissingWeights(
            f'model "{name}" is neither a folder here nor in the cache of the hub; '
            f"get it with: {fetch_all_command(repository, revision)}"
        )
    found = local_model(folder, name, f"{name}, from the hub")
    parts = tuple(replace(p, repository=repository, revision=revision) for p in found.parts)
    return replace(found, parts=parts, root=None)
