"""Unified attention control of InfEdit (Xu et al. 2023, arXiv 2312.04965), section 4.

Three branches: the source, the target, and a mutual one that has the source's prompt and draws the
source's content in the target's layout. Q, K and V of self-attention come from

    branch      while (i + 1) / N < self window     afterwards
    target      source, source, target              its own
    mutual      source, source, source              target, source, source

and while (i + 1) / N <= cross window the target's cross-attention map is the mutual's, mapped to
the target's tokens. In the first phase the mutual branch is the source branch, number for number,
so it needs rows of its own only afterwards (:meth:`UnifiedAttention.has_mutual`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from icd_bench.diffusion.attention.alignment import Prompt, align_tokens, read_prompt
from icd_bench.diffusion.attention.control import (
    AttentionControl,
    AttentionSizes,
    Layer,
    attention_maps,
)
from icd_bench.diffusion.attention.mixing import CrossMix, RowEdit
from icd_bench.diffusion.attention.rows import Row
from icd_bench.diffusion.attention.word_search import (
    FoundWord,
    find_words,
    found_mask,
    scanned_tokens,
    whole_words,
)
from icd_bench.errors import UsageError
from icd_bench.registry import suggest

NOISE_THRESHOLD = 0.15
"""The mask's threshold is at least this over alpha_t: early maps say little."""

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


class UnifiedAttention(AttentionControl):
    """Unified attention control of one edit call of B samples x K settings.

    Args:
        tokenizer: of the text encoder, a transformers tokenizer.
        source_prompts: B prompts.
        edits: B x K edits.
        num_steps: steps N of the edit.
        source_text: embeddings (B, L, D) of the source prompts.
        target_text: embeddings (B, L, D) of the target prompts.
        sizes: where LocalBlend reads maps.
        deterministic: whether steps add less noise than they could, so that the source branch
            goes on with the mutual branch's prediction.

    Attributes:
        rows: the B * (2 K + 1) rows of the edit, per sample [source, target 1 .. K, mutual 1 .. K].
    """

    def __init__(
        self,
        tokenizer: Any,
        source_prompts: Sequence[str],
        edits: Sequence[Sequence[UnifiedEdit]],
        num_steps: int,
        source_text: Tensor,
        target_text: Tensor,
        sizes: AttentionSizes | None = None,
        deterministic: bool = False,
    ) -> None:
        self.sizes, self.num_steps = sizes or AttentionSizes(), num_steps
        self._length = tokenizer.model_max_length
        read = cache(partial(read_prompt, tokenizer, max_tokens=self._length))
        self.plans = {
            Row(sample, setting): _plan(
                read,
                source_prompts[sample],
                edit,
                num_steps,
                source_text[sample],
                target_text[sample],
                self._length,
                deterministic,
            )
            for sample, of_sample in enumerate(edits)
            for setting, edit in enumerate(of_sample)
        }
        self.rows = [row for b in range(len(edits)) for row in unified_rows(b, len(edits[b]))]
        self._maps: dict[Row, Tensor] = {}
        self._empty: set[Row] = set()
        self._call = _Call()

    @property
    def warnings(self) -> tuple[tuple[tuple[str, ...], ...], ...]:
        """What could not be done as asked: B x K tuples of one-line warnings."""
        warnings: dict[int, list[tuple[str, ...]]] = {row.sample: [] for row in self.rows}
        for row, plan in self.plans.items():
            empty = ("LocalBlend's mask is empty: the edit has none of the target's content",)
            warnings[row.sample].append(plan.warnings + (empty if row in self._empty else ()))
        return tuple(tuple(settings) for settings in warnings.values())

    def has_mutual(self, row: Row, step: int) -> bool:
        """Return whether a target row's mutual branch needs a row of its own at a step."""
        return step in self.plans[row].mutual_steps

    def null_row_readers(self, step: int, sample: int) -> frozenset[int]:
        """Return the settings whose null-text rows take their layout from the source's."""
        return frozenset(
            row.setting
            for row, plan in self.plans.items()
            if row.sample == sample and row.setting is not None and step not in plan.own_layout
        )

    def begin(self, step: int, rows: Sequence[Row]) -> None:
        """Announce a U-Net call; see :meth:`AttentionControl.begin`."""
        place = {row: position for position, row in enumerate(rows)}
        q, k, v = (list(range(len(rows))) for _ in "qkv")
        edits: dict[int, RowEdit] = {}
        read: list[_Read] = []
        for row, position in place.items():
            if row.setting is None:
                continue
            plan = self.plans[Row(row.sample, row.setting)]
            source = place.get(Row(row.sample, None, row.conditional))
            mutual = place.get(Row(row.sample, row.setting, row.conditional, mutual=True), source)
            if row.mutual:
                target = place.get(Row(row.sample, row.setting, row.conditional))
                if source is None or target is None:
                    raise ValueError(f"{row} is in a U-Net call without its source and target")
                q[position], k[position], v[position] = target, source, source
                continue
            if step not in plan.own_layout:
                if source is None:
                    raise ValueError(f"{row} is in a U-Net call without its source row")
                q[position] = k[position] = source
            if not row.conditional or mutual is None or source is None:
                continue
            if step in plan.cross_window:
                edits[position] = RowEdit(mutual, False, plan.take, plan.keep)
            if plan.blends:
                read.append(_Read(row, position, source, mutual))
        mix = CrossMix.of(len(rows), edits, self._length)
        self._call = _Call(q, k, v, mix, read)

    def self_attention(self, layer: Layer, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend with the queries, keys and values of the phase."""
        call = self._call
        return functional.scaled_dot_product_attention(q[call.q], k[call.k], v[call.v])

    def cross_attention(self, layer: Layer, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend with the mutual branch's maps, mapped to the target's tokens, in the window."""
        call = self._call
        if q.shape[-2] == self.sizes.blend[0] * self.sizes.blend[1]:
            for read in call.read:
                self._record(read, q, k)
        if call.mix is None:
            return functional.scaled_dot_product_attention(q, k, v)
        if call.mix.keep.device != q.device:
            call.mix = call.mix.to(q.device)
        return call.mix.attend(q, k, v)

    def _record(self, read: _Read, q: Tensor, k: Tensor) -> None:
        """Sum up the source's and the mutual's map in the target's tokens, (2, image tokens, L)."""
        plan, branches = self.plans[read.row], [read.source, read.mutual]
        maps = attention_maps(q[branches], k[branches]).mean(dim=1)
        own = attention_maps(q[[read.position]], k[[read.position]]).mean(dim=1)
        mapped = maps @ plan.take.to(maps) + own * plan.keep.to(own)
        self._maps[read.row] = self._maps.get(read.row, 0) + mapped

    def blend(self, step: int, latents: Tensor, alpha: float) -> Tensor:
        """Return the latents with every limited target row put back where it may not change.

        Outside of the edited words' place a target row takes its mutual branch, in the kept words'
        place its source. Words that are both take the mutual branch before the last step.

        Args:
            step: index of the step that was just made; blending starts after the second.
            latents: (R, C, h, w) in the order of ``rows``.
            alpha: sqrt(alphas_cumprod) of the step's timestep.
        """
        if step == 0:
            return latents
        index = {row: position for position, row in enumerate(self.rows)}
        blended = latents.clone()
        for row, plan in self.plans.items():
            if not plan.blends:
                continue
            target = latents[index[row]]
            source = latents[index[Row(row.sample)]]
            # In the first phase the mutual latents are the source's.
            mutual = latents[index[Row(row.sample, row.setting, mutual=True)]]
            edited, kept, both = self.masks(row, alpha, target.shape[-2:])
            if plan.edited.any():
                target = torch.where(edited, target, mutual)
            target = torch.where(kept, source, target)
            if step == self.num_steps - 2:
                target = torch.where(both, mutual, target)
                self._note_empty(row, bool(plan.edited.any()) and not edited.any())
            blended[index[row]] = target
        return blended

    def masks(self, row: Row, alpha: float, size: Sequence[int]) -> Tensor:
        """Return where the edited, the kept, and the words that are both are, (3, h, w) bool.

        Args:
            row: a target row.
            alpha: sqrt(alphas_cumprod) at this step.
            size: h, w.

        Raises:
            UsageError: the network has no cross-attention layer of the size that is read.
        """
        if row not in self._maps:
            raise UsageError(
                f"LocalBlend reads cross-attention maps of {self.sizes.blend[0]}x"
                f"{self.sizes.blend[1]} tokens, but no layer of this network has that many"
            )
        plan, (source, mutual) = self.plans[row], self._maps[row]
        both = plan.edited * plan.kept
        wanted = (
            (mutual, plan.edited, max(NOISE_THRESHOLD / alpha, plan.edited_threshold)),
            (source, plan.kept - both, plan.kept_threshold),
            (mutual, both, plan.edited_threshold),
        )
        places = []
        for maps, words, threshold in wanted:
            attention = (maps * words.to(maps)).amax(dim=-1).view(1, 1, *self.sizes.blend)
            attention = functional.interpolate(attention, size=tuple(size))[0, 0]
            # 0 / 0 where there are no words: not a number exceeds no threshold
            places.append(attention / attention.max() > threshold)
        return torch.stack(places)

    def _note_empty(self, row: Row, is_empty: bool) -> None:
        (self._empty.add if is_empty else self._empty.discard)(row)


@dataclass
class _Read:
    """A target row whose maps LocalBlend reads: positions in the call."""

    row: Row
    position: int
    source: int
    mutual: int


class _Call:
    """Where the rows of one U-Net call take their attention from."""

    def __init__(
        self,
        q: Sequence[int] = (),
        k: Sequence[int] = (),
        v: Sequence[int] = (),
        mix: CrossMix | None = None,
        read: Sequence[_Read] = (),
    ) -> None:
        self.q, self.k, self.v = list(q), list(k), list(v)
        self.mix, self.read = mix, list(read)


def unified_rows(sample: int, settings: int) -> list[Row]:
    """Return a sample's rows: source, targets 1 .. K, mutual branches 1 .. K."""
    return [
        Row(sample),
        *(Row(sample, setting) for setting in range(settings)),
        *(Row(sample, setting, mutual=True) for setting in range(settings)),
    ]


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


def _plan(
    read: Callable[[str], Prompt],
    source_prompt: str,
    edit: UnifiedEdit,
    num_steps: int,
    source_text: Tensor,
    target_text: Tensor,
    length: int,
    deterministic: bool,
) -> UnifiedPlan:
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
