"""Token alignment of two prompts: which source token's map a target token takes.

Prompt-to-Prompt (arXiv 2208.01626) edits cross-attention maps whose last axis counts the L token
positions of a padded prompt, start and end token included. Alignment is expressed as a matrix
``mapper`` (L, L): ``target_map = source_map @ mapper``. A column of zeros is a target token that
has no counterpart and keeps its own map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

GAP, MATCH, MISMATCH = 0, 1, -1


@dataclass(frozen=True)
class Prompt:
    """A prompt as the text encoder sees it."""

    text: str
    ids: tuple[int, ...]
    """Token ids with start and end token, without padding, cut to the text length L."""
    words: tuple[str, ...]
    """What stands between white space; punctuation belongs to the word it is glued to."""
    spans: tuple[range, ...]
    """Token positions of each word, empty where the prompt was cut."""
    num_tokens: int
    """Before cutting."""

    def positions(self, word: str) -> list[int]:
        """Return the token positions of every occurrence of a word, or of words in a row."""
        wanted = tuple(word.split())
        starts = [
            i
            for i in range(len(self.words) - len(wanted) + 1)
            if wanted and self.words[i : i + len(wanted)] == wanted
        ]
        return [p for i in starts for span in self.spans[i : i + len(wanted)] for p in span]


def read_prompt(tokenizer: Any, text: str, max_tokens: int) -> Prompt:
    """Tokenize a prompt and locate its words.

    Args:
        tokenizer: a transformers tokenizer that reads words independently of each other.
        text: the prompt.
        max_tokens: text length L; the prompt is cut to it as the tokenizer cuts.
    """
    body = _ids(tokenizer, text, add_special_tokens=False)
    whole = _ids(tokenizer, text)
    start = next(i for i in range(len(whole)) if whole[i : i + len(body)] == body)
    kept = whole
    if len(whole) > max_tokens:
        kept = _ids(tokenizer, text, truncation=True, max_length=max_tokens)
    end = start + len(body) - (len(whole) - len(kept))

    words = tuple(text.split())
    spans: list[range] = []
    for word in words:
        stop = start + len(_ids(tokenizer, word, add_special_tokens=False))
        spans.append(range(start, min(stop, end)))
        start = stop
    return Prompt(text, tuple(kept), words, tuple(spans), num_tokens=len(whole))


def _ids(tokenizer: Any, text: str, **options: Any) -> list[int]:
    ids: list[int] = tokenizer(text, verbose=False, **options).input_ids
    return ids


def align_tokens(source: Sequence[int], target: Sequence[int]) -> list[int]:
    """Align two token sequences globally (Needleman-Wunsch; gap 0, match 1, mismatch -1).

    Of equally good alignments the one is taken that, read from the end, rather adds a target
    token than drops a source token, and rather drops one than matches two.

    Returns:
        For every target token the position of its source token, or -1 where it is new.
    """
    score = [[GAP * (i + j) for j in range(len(target) + 1)] for i in range(len(source) + 1)]

    def paired(i: int, j: int) -> int:
        return score[i - 1][j - 1] + (MATCH if source[i - 1] == target[j - 1] else MISMATCH)

    for i in range(1, len(source) + 1):
        for j in range(1, len(target) + 1):
            score[i][j] = max(score[i][j - 1] + GAP, score[i - 1][j] + GAP, paired(i, j))

    counterpart = [-1] * len(target)
    i, j = len(source), len(target)
    while i and j:
        if score[i][j] == score[i][j - 1] + GAP:
            j -= 1
        elif score[i][j] == score[i - 1][j] + GAP:
            i -= 1
        else:
            i, j = i - 1, j - 1
            counterpart[j] = i
    return counterpart


def refinement_mapper(source: Prompt, target: Prompt, max_tokens: int) -> Tensor:
    """Return the mapper (L, L) of a prompt that was extended: tokens in both take their maps.

    As in the official code the padding after the target takes the same positions of the source,
    words among them where the source is longer.
    """
    padding = range(len(target.ids), max_tokens)
    counterpart = [*align_tokens(source.ids, target.ids), *padding]
    mapper = torch.zeros(max_tokens, max_tokens)
    for position, source_position in enumerate(counterpart):
        if source_position >= 0:
            mapper[source_position, position] = 1
    return mapper


def replacement_mapper(source: Prompt, target: Prompt, max_tokens: int) -> Tensor:
    """Return the mapper (L, L) of a prompt in which words were exchanged one for one.

    n tokens of a changed word feed its m tokens one to one where n = m, else with weight 1/m each.
    As in the official code positions behind the last changed word are not shifted.

    Raises:
        ValueError: the prompts have different numbers of words.
    """
    if len(source.words) != len(target.words):
        raise ValueError(
            f'"{source.text}" has {len(source.words)} words, "{target.text}" has '
            f"{len(target.words)}: only prompts with equally many can be mapped word for word"
        )
    mapper = torch.zeros(max_tokens, max_tokens)
    i = j = 0
    for n, word in enumerate(target.words):
        old, new = source.spans[n], target.spans[n]
        if word == source.words[n] or not old or not new:
            continue
        unchanged = min(old.start - i, new.start - j)
        mapper[range(i, i + unchanged), range(j, j + unchanged)] = 1
        same_length = len(old) == len(new)
        weights = torch.eye(len(old)) if same_length else torch.tensor(1 / len(new))
        mapper[old.start : old.stop, new.start : new.stop] = weights
        i, j = old.stop, new.stop
    rest = range(j, max_tokens - max(i - j, 0))
    mapper[rest, rest] = 1
    return mapper


def equalizer(target: Prompt, weights: Mapping[str, float], max_tokens: int) -> Tensor:
    """Return the factor of every token position, (L,): ones, and ``weights`` at their words."""
    factors = torch.ones(max_tokens)
    for word, weight in weights.items():
        factors[target.positions(word)] = weight
    return factors


def word_mask(prompt: Prompt, words: Sequence[str], max_tokens: int) -> Tensor:
    """Return (L,) in {0, 1}: one at the token positions of ``words``."""
    mask = torch.zeros(max_tokens)
    for word in words:
        mask[prompt.positions(word)] = 1
    return mask
