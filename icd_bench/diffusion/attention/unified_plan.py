"""What unified attention control does to one target row, worked out before the first step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from icd_bench.diffusion.attention.alignment import Prompt, align_tokens
from icd_bench.diffusion.attention.word_search import (
    FoundWord,
    find_words,
    found_mask,
    scanned_tokens,
    whole_words,
)
from icd_bench.registry import suggest

Similarity = Literal["aligned", "released"]


@dataclass(frozen=True)
class UnifiedEdit:
    """What is asked of unified attention control for one target row."""

    target_prompt: str
    cross_window: float
    """Share of the steps in which cross-attention is the mutual branch's."""
    self_window: float
    """Share of the steps in which the target's layout is the source's."""
    edited_words: tuple[str, ...] = ()
    """Words of the target prompt: only where they are may the picture change; none: anywhere."""
    kept_words: tuple[str, ...] = ()
    """Words of the target prompt whose place stays the source's."""
    edited_threshold: float = 0.55
    """Relative to the maximum of the edited words' map."""
    kept_threshold: float = 0.6
    similarity: Similarity = "aligned"
    """How new words find their counterpart (:func:`similar_alignment`), and words that are named
    their tokens: ``aligned`` takes whole words, ``released`` does as the official code."""

    @property
    def blends(self) -> bool:
        """Whether the edit is limited in space."""
        return bool(self.edited_words or self.kept_words)


@dataclass(frozen=True)
class UnifiedPlan:
    """What is done to one target row; L text tokens, N steps."""

    take: Tensor
    """(L, L): inside the cross window, map = mutual_map @ take + own_map * keep."""
    keep: Tensor
    """(L,)"""
    cross_window: range
    own_layout: range
    """Steps in which the target has its own layout: the second phase."""
    mutual_steps: range
    """Steps of the second phase in which the mutual branch matters to the result."""
    edited: Tensor
    """(L,) in {0, 1}"""
    kept: Tensor
    """(L,) in {0, 1}"""
    edited_threshold: float
    kept_threshold: float
    warnings: tuple[str, ...]

    @property
    def blends(self) -> bool:
        """Whether a word was found that limits the edit in space."""
        return bool(self.edited.any() or self.kept.any())


def similar_alignment(
    source: Prompt,
    target: Prompt,
    source_text: Tensor,
    target_text: Tensor,
    similarity: Similarity = "aligned",
) -> list[int]:
    """Align two prompts' tokens; in each gap the most similar pair of new tokens is aligned too.

    Args:
        source: source prompt.
        target: target prompt.
        source_text: its embedding (L, D).
        target_text: the target's embedding (L, D).
        similarity: ``aligned`` compares the pair's own embeddings; ``released`` repeats a slip of
            the official code, which reads the source's embedding at the target's position and
            the other way round, for results that depend on it.

    Returns:
        For every target token the position of its source token, or -1 where it has none.
    """
    counterpart = align_tokens(source.ids, target.ids)
    known = [j for j, i in enumerate(counterpart) if i >= 0]
    for left, right in pairwise(known):
        new = range(left + 1, right)
        gone = range(counterpart[left] + 1, counterpart[right])
        if not new or not gone:
            continue
        j, i = torch.tensor(new), torch.tensor(gone)
        if similarity == "released":
            pairs = source_text[j][:, None], target_text[i][None]
        else:
            pairs = target_text[j][:, None], source_text[i][None]
        best = int(functional.cosine_similarity(*pairs, dim=-1).argmax())
        counterpart[new[best // len(gone)]] = gone[best % len(gone)]
    return counterpart


def make_unified_plan(
    read: Callable[[str], Prompt],
    source_prompt: str,
    edit: UnifiedEdit,
    num_steps: int,
    source_text: Tensor,
    target_text: Tensor,
    length: int,
    deterministic: bool,
) -> UnifiedPlan:
    """Work out the plan of a target row.

    Args:
        read: tokenizes a prompt.
        source_prompt: of the row's sample.
        edit: what is asked for.
        num_steps: N.
        source_text: embedding of the source prompt (L, D).
        target_text: of the target prompt (L, D).
        length: L.
        deterministic: as :class:`UnifiedAttention` is told.
    """
    source, target = read(source_prompt), read(edit.target_prompt)
    counterpart = similar_alignment(source, target, source_text, target_text, edit.similarity)
    edited, kept, warnings = _limits(read, source, target, edit, counterpart, length)
    counterpart.extend(range(len(target.ids), length))
    take = torch.zeros(length, length)
    for position, source_position in enumerate(counterpart):
        if source_position >= 0:
            take[source_position, position] = 1

    shares = [(step + 1) / num_steps for step in range(num_steps)]
    cross_window = range(sum(share <= edit.cross_window for share in shares))
    own_layout = range(sum(share < edit.self_window for share in shares), num_steps)
    needed = [0, cross_window.stop]
    if deterministic or edited.any() or kept.any():
        needed.append(num_steps - 1)
    return UnifiedPlan(
        take=take,
        keep=1 - take.sum(dim=0),
        cross_window=cross_window,
        own_layout=own_layout,
        mutual_steps=range(own_layout.start, max(needed)),
        edited=edited,
        kept=kept,
        edited_threshold=edit.edited_threshold,
        kept_threshold=edit.kept_threshold,
        warnings=tuple(warnings),
    )


def _limits(
    read: Callable[[str], Prompt],
    source: Prompt,
    target: Prompt,
    edit: UnifiedEdit,
    counterpart: Sequence[int],
    length: int,
) -> tuple[Tensor, Tensor, list[str]]:
    """Return where edited and kept words are, (L,) each in {0, 1}, and what is to be told of it."""
    search = scanned_tokens if edit.similarity == "released" else whole_words
    edited_words = find_words(read, target, edit.edited_words, search)
    kept_words = find_words(read, target, edit.kept_words, search)
    edited, kept = found_mask(edited_words, length), found_mask(kept_words, length)
    if edit.similarity == "released":
        edited[_replacing(source, target, counterpart, edited_words)] = 1
    warnings = [
        *_incomplete("blend", edited_words, target),
        *_incomplete("kept", kept_words, target),
        *_unmatched(source, target, counterpart, kept_words),
    ]
    if edit.blends and not (edited.any() or kept.any()):
        warnings.append("no blend word is in its prompt: LocalBlend is off, the edit is unlimited")
    return edited, kept, warnings


def _replacing(
    source: Prompt, target: Prompt, counterpart: Sequence[int], words: Iterable[FoundWord]
) -> list[int]:
    """Return the target tokens whose counterpart is another token, and one of these words.

    The official code has them among the edited words: what replaces a blend word is edited too.
    """
    ids = {token for word in words for token in word.ids}
    return [
        j
        for j, i in enumerate(counterpart)
        if i >= 0 and source.ids[i] in ids and source.ids[i] != target.ids[j]
    ]


def _incomplete(role: str, words: Iterable[FoundWord], target: Prompt) -> Iterator[str]:
    for word in words:
        name = f'{role} word "{word.text}"'
        if word.is_whole:
            continue
        if word.positions:
            yield f'only a part of {name} is found in "{target.text}"'
        elif target.positions(word.text):
            yield f'{name} is in "{target.text}", but not behind the words before it'
        else:
            hint = suggest(word.text, target.words)
            yield f'{name} is not in "{target.text}".{hint}'


def _unmatched(
    source: Prompt, target: Prompt, counterpart: Sequence[int], words: Iterable[FoundWord]
) -> Iterator[str]:
    """Tell of kept words that are new where they were found; the official code refuses them."""
    for word in words:
        matched = [counterpart[position] for position in word.positions]
        if [source.ids[i] if i >= 0 else None for i in matched] != [
            target.ids[position] for position in word.positions
        ]:
            yield f'kept word "{word.text}" has no counterpart in "{source.text}"'
