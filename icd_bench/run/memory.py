"""When memory runs out."""

from __future__ import annotations

import gc


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error says that memory, the device's or the machine's, is used up."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "can't allocate memory" in text
    )


def free_memory() -> None:
    """Give unused memory back before a smaller attempt."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
