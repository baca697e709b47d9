"""EDICT's reading of Prompt-to-Prompt (arXiv 2211.12446): windows in noise time, tokens by diff."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import torch
from torch import Tensor

from icd_bench.diffusion.attention.alignment import equalizer
from icd_bench.diffusion.attention.plan import Planner, PromptEdit, TargetPlan
from icd_bench.diffusion.attention.windows import bounds


@dataclass(frozen=True)
class AlwaysReweightedPlan(TargetPlan):
    """A plan whose reweighting does not end with the cross window."""

    factors: Tensor
    """(L,)"""

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Return (take (L, L), keep (L,)) such that map = source_map @ take + own_map * keep."""
        inside = self.cross_window[step]
        return self.taken * inside, self.kept * inside + self.factors * (1 - inside)


class NoiseTimePlanner(Planner):
    """Plans target rows as EDICT does.

    Windows (first, last) are in noise time, both ends included; a number x means (0, x). Target
    tokens take the map of the source tokens that a diff of the padded token ids puts in their
    place; tokens of inserts, and of replacements of another length, keep their own.

    Args:
        tokenizer: of the text encoder, a transformers tokenizer.
        times: noise time t / T of each of the N steps.
        num_tokens: text length L.
    """

    def __init__(self, tokenizer: Any, times: Sequence[float], num_tokens: int) -> None:
        super().__init__(tokenizer, len(times), num_tokens)
        self._tokenizer, self._times = tokenizer, times

    def plan(self, source_prompt: str, edit: PromptEdit) -> TargetPlan:
        """Plan one target row; ``edit``'s mapper and blend are not used.

        Raises:
            ValueError: the cross window is per word.
        """
        if isinstance(edit.cross_window, Mapping):
            raise ValueError("windows in noise time are of all tokens together, not per word")
        source, target = self._read(source_prompt), self._read(edit.target_prompt)
        mapper = diff_mapper(self._padded(source_prompt), self._padded(edit.target_prompt))
        factors = equalizer(target, edit.weights, self.num_tokens)
        within = torch.tensor(self._inside(edit.cross_window), dtype=torch.float32)
        steps = [step for step, active in enumerate(self._inside(edit.self_window)) if active]
        return AlwaysReweightedPlan(
            taken=mapper * factors,
            kept=(1 - mapper.sum(dim=0)) * factors,
            cross_window=within[:, None].expand(-1, self.num_tokens),
            self_window=range(steps[0], steps[-1] + 1) if steps else range(0),
            blend=None,
            warnings=tuple(self._warnings(source, target, edit, None)),
            factors=factors,
        )

    def _inside(self, window: float | tuple[float, float]) -> list[bool]:
        first, last = bounds(window)
        return [first <= time <= last for time in self._times]

    def _padded(self, prompt: str) -> list[int]:
        ids: list[int] = self._tokenizer(
            prompt, padding="max_length", max_length=self.num_tokens, truncation=True
        ).input_ids
        return ids


def diff_mapper(source: Sequence[int], target: Sequence[int]) -> Tensor:
    """Return the mapper (L, L) from source to target tokens by difflib's opcodes."""
    mapper = torch.zeros(len(source), len(target))
    for kind, a0, a1, b0, b1 in SequenceMatcher(None, source, target).get_opcodes():
        if kind in ("equal", "replace") and a1 - a0 == b1 - b0:
            mapper[range(a0, a1), range(b0, b1)] = 1
    return mapper
