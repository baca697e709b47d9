"""Pickled checkpoints as safetensors, for networks that are published in no other form.

Tensors alone are read: a checkpoint that holds anything else is refused, and none of its code
can run.
"""

from __future__ import annotations

import re
from hashlib import file_digest
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from icd_bench.errors import UsageError

from .weights import MODEL_FILE, Network

if TYPE_CHECKING:
    from torch import Tensor

_NAMED_DIGEST = re.compile(r"-([0-9a-f]{8})\.pth$")
"""torch's own files carry the beginning of their SHA-256 in the name."""


def convert(network: Network, checkpoint: Path) -> Path:
    """Write a checkpoint's tensors where metrics look for the network's weights.

    Returns:
        The file that was written.

    Raises:
        UsageError: the file is missing, damaged, or holds more than tensors.
    """
    from safetensors.torch import save_file

    tensors = _read(checkpoint, network.checkpoint)
    target = network.home / MODEL_FILE
    target.parent.mkdir(parents=True, exist_ok=True)
    # Tensors that share memory cannot be stored as they are.
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, target)
    return target


def _read(checkpoint: Path, url: str) -> dict[str, Tensor]:
    import torch

    if not checkpoint.is_file():
        raise UsageError(f"{checkpoint}: there is no such file; get it with: curl -LO {url}")
    named = _NAMED_DIGEST.search(url)
    if named:
        with checkpoint.open("rb") as file:
            found = file_digest(file, "sha256").hexdigest()
        if not found.startswith(named[1]):
            raise UsageError(
                f"{checkpoint}: SHA-256 begins with {found[:8]}, not {named[1]}: it is damaged or "
                f"another file; get it with: curl -LO {url}"
            )
    try:
        content: Any = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError, LookupError) as error:
        raise UsageError(f"{checkpoint}: not a checkpoint of tensors alone: {error}") from error
    if not isinstance(content, dict) or not all(map(torch.is_tensor, content.values())):
        raise UsageError(f"{checkpoint}: not a table of tensors")
    return content
