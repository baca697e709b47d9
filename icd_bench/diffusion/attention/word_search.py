"""Where words are among a prompt's tokens, as InfEdit looks for them: by token ids alone.

So "dog" is also in "a dog, near", where Prompt-to-Prompt, which compares what stands between white
space (:meth:`Prompt.positions`), has "dog," only. Of a repeated word the first place counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from icd_bench.diffusion.attention.alignment import Prompt

Search = Callable[[Sequence[int], Sequence[Sequence[int]]], list[list[int]]]
"""From the prompt's ids and each word's ids to each word's positions in the prompt."""


@dataclass(frozen=True)
class FoundWord:
    """A word, and where it is in a prompt."""

    text: str
    ids: list[int]
    """Of its tokens."""
    positions: list[int]
    """Of its tokens in the prompt: fewer than ids where not all were found."""

    @property
    def is_whole(self) -> bool:
        """Whether all of the word was found."""
        return bool(self.ids) and len(self.positions) == len(self.ids)


def find_words(
    read: Callable[[str], Prompt], prompt: Prompt, words: Iterable[str], search: Search
) -> list[FoundWord]:
    """Look for words in a prompt.

    Args:
        read: tokenizes, as it did the prompt.
        prompt: where to look.
        words: single words, or several in a row.
        search: :func:`whole_words` or :func:`scanned_tokens`.
    """
    texts = list(words)
    ids = [_body(read(text)) for text in texts]
    return list(map(FoundWord, texts, ids, search(prompt.ids, ids)))


def found_mask(words: Iterable[FoundWord], max_tokens: int) -> Tensor:
    """Return (L,) in {0, 1}: one where a word is."""
    mask = torch.zeros(max_tokens)
    for word in words:
        mask[word.positions] = 1
    return mask


def _body(prompt: Prompt) -> list[int]:
    """Return a prompt's ids without start and end token."""
    return [prompt.ids[position] for span in prompt.spans for position in span]


def whole_words(ids: Sequence[int], words: Sequence[Sequence[int]]) -> list[list[int]]:
    """Find each word where all of its tokens stand in a row for the first time.

    A word is looked for from the place of the one before it on, so that words in the prompt's
    order are told from their repetitions, and only then from the start.
    """
    found: list[list[int]] = []
    start = 0
    for word in words:
        place = _in_a_row(ids, word, start) or _in_a_row(ids, word, 0)
        start = place.start if place else start
        found.append(list(place))
    return found


def _in_a_row(ids: Sequence[int], word: Sequence[int], start: int) -> range:
    wanted = tuple(word)
    for i in range(start, len(ids) - len(wanted) + 1):
        if tuple(ids[i : i + len(wanted)]) == wanted:
            return range(i, i + len(wanted))
    return range(0)


def scanned_tokens(ids: Sequence[int], words: Sequence[Sequence[int]]) -> list[list[int]]:
    """Find tokens as the official code does: in one scan of the prompt from left to right.

    Each token is looked for from the last one's place on, whatever word it is of; behind one that
    is not found, nothing is.
    """
    found: list[list[int]] = []
    start = 0
    for word in words:
        places: list[int] = []
        for token in word:
            start = next((i for i in range(start, len(ids)) if ids[i] == token), len(ids))
            if start < len(ids):
                places.append(start)
        found.append(places)
    return found
