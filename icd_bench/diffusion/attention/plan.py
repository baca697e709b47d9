"""From what is asked of Prompt-to-Prompt to what is done to a row, and what could not be done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Literal

import torch
from torch import Tensor

from icd_bench.diffusion.attention.alignment import (
    Prompt,
    equalizer,
    read_prompt,
    refinement_mapper,
    replacement_mapper,
)
from icd_bench.diffusion.attention.local_blend import Blend, LocatedBlend
from icd_bench.diffusion.attention.windows import (
    DEFAULT_WORD,
    CrossWindow,
    Window,
    cross_window,
    self_window,
)
from icd_bench.registry import suggest

MapperName = Literal["auto", "replace", "refine", "identity", "none"]


@dataclass(frozen=True)
class PromptEdit:
    """What Prompt-to-Prompt is asked to do to one target row."""

    target_prompt: str
    cross_window: CrossWindow
    """Share of the steps in which cross-attention comes from the source row; 0 is never."""
    self_window: Window
    """Share of the steps in which self-attention maps come from the source row; 0 is never."""
    mapper: MapperName = "auto"
    """How the source's map becomes the target's: word for word (``replace``, needs equal numbers
    of words), by aligned tokens (``refine``), position by position (``identity``), or not at all
    (``none``). ``auto`` takes ``replace`` where the numbers of words are equal, else ``refine``."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Reweighting: factor on the map of each of these words of the target prompt, inside the
    cross window, without normalisation."""
    blend: Blend | None = None
    """LocalBlend: which part of the picture may change; None for all of it."""


@dataclass(frozen=True)
class TargetPlan:
    """What is done to one target row; L text tokens, N steps."""

    taken: Tensor
    """(L, L) what the source's map gives inside the cross window: ``source_map @ taken``."""
    kept: Tensor
    """(L,) what stays of the own map inside the cross window: ``own_map * kept``."""
    cross_window: Tensor
    """(N, L) in {0, 1}."""
    self_window: range
    blend: LocatedBlend | None
    warnings: tuple[str, ...]

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Return (take (L, L), keep (L,)) such that map = source_map @ take + own_map * keep."""
        inside = self.cross_window[step]
        return self.taken * inside, self.kept * inside + (1 - inside)


class Planner:
    """Plans target rows; reads a prompt and aligns a pair once for all settings.

    Args:
        tokenizer: of the text encoder, a transformers tokenizer.
        num_steps: steps N of the edit.
        num_tokens: text length L.
    """

    def __init__(self, tokenizer: Any, num_steps: int, num_tokens: int) -> None:
        self.num_steps, self.num_tokens = num_steps, num_tokens
        self._read = cache(partial(read_prompt, tokenizer, max_tokens=num_tokens))
        self._align = cache(self._new_mapper)

    def plan(self, source_prompt: str, edit: PromptEdit) -> TargetPlan:
        """Plan one target row. What cannot be done as asked is in the plan's ``warnings``."""
        source, target = self._read(source_prompt), self._read(edit.target_prompt)
        mapper, own = self._align(source, target, self._mapper_name(source, target, edit.mapper))
        factors = equalizer(target, edit.weights, self.num_tokens)
        blend = (
            LocatedBlend.locate(edit.blend, source, target, self.num_steps, self.num_tokens)
            if edit.blend
            else None
        )
        return TargetPlan(
            taken=mapper * factors,
            kept=own * factors,
            cross_window=cross_window(
                self.num_steps, edit.cross_window, target.positions, self.num_tokens
            ),
            self_window=self_window(self.num_steps, edit.self_window),
            blend=blend if blend and blend.has_place() else None,
            warnings=tuple(self._warnings(source, target, edit, blend)),
        )

    def _mapper_name(self, source: Prompt, target: Prompt, asked: MapperName) -> MapperName:
        if asked in ("auto", "replace"):
            return "replace" if len(source.words) == len(target.words) else "refine"
        return asked

    def _new_mapper(
        self, source: Prompt, target: Prompt, name: MapperName
    ) -> tuple[Tensor, Tensor]:
        """Return the mapper (L, L) and which target tokens keep their own map, (L,) in {0, 1}."""
        if name == "refine":
            mapper = refinement_mapper(source, target, self.num_tokens)
            return mapper, 1 - mapper.sum(dim=0)
        if name == "replace":
            mapper = replacement_mapper(source, target, self.num_tokens)
            return mapper, torch.zeros(self.num_tokens)
        if name == "identity":
            return torch.eye(self.num_tokens), torch.zeros(self.num_tokens)
        return torch.zeros(self.num_tokens, self.num_tokens), torch.ones(self.num_tokens)

    def _warnings(
        self, source: Prompt, target: Prompt, edit: PromptEdit, located: LocatedBlend | None
    ) -> Iterator[str]:
        for prompt in dict.fromkeys((source, target)):
            if prompt.num_tokens > self.num_tokens:
                yield (
                    f'prompt "{prompt.text[:40]}..." has {prompt.num_tokens} tokens: '
                    f"only the first {self.num_tokens} are read"
                )
        if edit.mapper == "replace" and len(source.words) != len(target.words):
            yield (
                f"source prompt has {len(source.words)} words, target prompt "
                f"{len(target.words)}: cross-attention is refined instead of replaced"
            )
        yield from _absent("reweighted", edit.weights, target)
        if isinstance(edit.cross_window, Mapping):
            words = [word for word in edit.cross_window if word != DEFAULT_WORD]
            yield from _absent("windowed", words, target)
        if edit.blend is not None:
            yield from _absent("blend", edit.blend.source_words, source)
            yield from _absent("blend", edit.blend.target_words, target)
            yield from _absent("excluded", edit.blend.source_excluded, source)
            yield from _absent("excluded", edit.blend.target_excluded, target)
        if located and not located.has_place():
            yield "no blend word is in its prompt: LocalBlend is off, the edit is unlimited"


def _absent(role: str, words: Iterable[str], prompt: Prompt) -> Iterator[str]:
    for word in words:
        if not prompt.positions(word):
            hint = suggest(word, prompt.words)
            yield f'{role} word "{word}" is not in "{prompt.text}" and is ignored.{hint}'
