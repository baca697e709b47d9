"""When attention is replaced: windows over the steps of an edit, per token where wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from icd_bench.errors import BadSetting

Window: TypeAlias = float | tuple[float, float]
"""Fractions of the edit's steps: (start, end) within [0, 1]; a number x means (0, x)."""

CrossWindow: TypeAlias = Window | Mapping[str, Window]
"""One window for all tokens, or one per word of the target prompt. The key ``DEFAULT_WORD`` gives
the window of all other tokens; without it they are replaced in all steps."""

DEFAULT_WORD = "default_"


def bounds(window: Window) -> tuple[float, float]:
    """Return (start, end) of a window.

    Raises:
        BadSetting: not 0 <= start, end <= 1.
    """
    start, end = window if isinstance(window, tuple | list) else (0.0, window)
    if not (0 <= start <= 1 and 0 <= end <= 1):
        raise BadSetting(f"window {window!r}: both bounds must lie between 0 and 1")
    return float(start), float(end)


def self_window(num_steps: int, window: Window) -> range:
    """Return the steps in which self-attention is replaced: [int(start N), int(end N))."""
    start, end = bounds(window)
    return range(int(start * num_steps), int(end * num_steps))


def cross_window(
    num_steps: int,
    window: CrossWindow,
    positions_of: Callable[[str], list[int]],
    num_tokens: int,
) -> Tensor:
    """Return in which steps the map of which target token is replaced, (N, L) in {0, 1}.

    As in the official code the bounds are int(x (N + 1)), so a window of 1/2 of four steps has
    two, and one of .6 has three.

    Args:
        num_steps: steps N of the edit.
        window: of all tokens, or per word.
        positions_of: the token positions of a word in the target prompt; none for a word that is
            absent, which then changes nothing.
        num_tokens: length L of the text.
    """
    windows = window if isinstance(window, Mapping) else {DEFAULT_WORD: window}
    active = torch.zeros(num_steps + 1, num_tokens)

    def fill(window: Window, tokens: list[int] | slice) -> None:
        start, end = (int(x * (num_steps + 1)) for x in bounds(window))
        active[:, tokens] = 0
        active[start:end, tokens] = 1

    fill(windows.get(DEFAULT_WORD, 1.0), slice(None))
    for word, word_window in windows.items():
        if word != DEFAULT_WORD:
            fill(word_window, positions_of(word))
    return active[:num_steps]
