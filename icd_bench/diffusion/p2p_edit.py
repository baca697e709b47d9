"""Prompt-to-Prompt as an option of a method: its settings, and the rows of one edit call.

The mechanism is in :mod:`icd_bench.diffusion.attention`; here are the fields that the methods
share, and how a batch of samples and settings becomes rows, text and a control. Importing this
module loads no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeGuard, TypeVar

from pydantic import model_validator

from icd_bench.api import (
    Batch,
    BlendWords,
    Edits,
    Preset,
    Setting,
    edit_field,
    inversion_field,
)

if TYPE_CHECKING:
    from torch import Tensor

    from icd_bench.diffusion.attention import (
        AttentionControl,
        AttentionSizes,
        Blend,
        MutualEdit,
        PromptEdit,
        Row,
    )
    from icd_bench.diffusion.backbone import Backbone
    from icd_bench.diffusion.cost import RowCount

AmplifyWords = Literal["new", "blend"]

PIE_BENCH: Final = Preset(
    "PnP Inversion's evaluation of all methods on Stable Diffusion 1.4",
    {
        "steps": 50,
        "guidance_scale": 7.5,
        "cross_replace": 0.4,
        "self_replace": 0.6,
        "mapper": "refine",
        "amplify": 2.0,
        "amplify_words": "blend",
        "blend_threshold": 0.3,
        "blend_start": 0.2,
    },
)
"""How methods with Prompt-to-Prompt are compared on PIE-Bench."""

PIE_BENCH_MASACTRL: Final = Preset(
    "PnP Inversion's evaluation of MasaCtrl on Stable Diffusion 1.4",
    {
        "steps": 50,
        "guidance_scale": 7.5,
        "source_prompt": "empty",
        "attention": "masactrl",
        "mutual_steps": 4,
        "mutual_layers": None,
        "mutual_masks": False,
    },
)
"""How methods with MasaCtrl are compared there; by default it acts from layer 10 of 16 on."""

NPI_EXAMPLE: Final = Preset(
    "example of NPI in ProxNPI's official code; its own authors released none",
    {
        "steps": 50,
        "guidance_scale": 7.5,
        "cross_replace": 0.8,
        "self_replace": 0.6,
        "mapper": "refine",
        "amplify": 2.0,
        "amplify_words": "new",
    },
)
"""What ProxNPI's example starts from, too."""

NO_STEP: Final = "no step is run: the edit is the source picture"
"""Warning of a row whose setting is too weak to change anything."""

S = TypeVar("S", bound=Setting)
T = TypeVar("T")

STOP_WORDS: Final = frozenset(
    "a an the of on in and with to is at by for from its it as".split()  # noqa: SIM905
)
"""Words that are never amplified as new words."""


class P2PSetting(Setting):
    """Fields of every method that edits with Prompt-to-Prompt (arXiv 2208.01626)."""

    cross_replace: float = edit_field(
        0.4, "share of the steps in which cross-attention is the source's", ge=0, le=1
    )
    self_replace: float = edit_field(
        0.6, "share of the steps in which self-attention is the source's", ge=0, le=1
    )
    mapper: Literal["auto", "replace", "refine"] = edit_field(
        "auto", "how source tokens become target tokens; auto: replace for equal word counts"
    )
    amplify: float = edit_field(
        1.0, "factor on the attention of the amplified words, within the cross window", ge=0, le=100
    )
    amplify_words: AmplifyWords = edit_field(
        "blend", "amplified: the target's new words (iCD) or its blend words (PnP Inversion)"
    )
    blend: bool = edit_field(True, "LocalBlend, where the sample has blend words")
    blend_threshold: float = edit_field(
        0.3, "LocalBlend: attention above this share of its maximum may change", ge=0, le=1
    )
    blend_start: float = edit_field(
        0.2, "LocalBlend: share of the steps before it first acts", ge=0, le=1
    )


class AttentionSetting(P2PSetting):
    """Fields of the methods whose edits Prompt-to-Prompt or MasaCtrl (arXiv 2304.08465) drives."""

    attention: Literal["p2p", "masactrl"] = edit_field(
        "p2p", "masactrl: mutual self-attention, for non-rigid edits, instead of all fields above"
    )
    mutual_steps: int | tuple[int, ...] = edit_field(
        4, "masactrl: first step (from 0) in which it acts, or the list of all"
    )
    mutual_layers: int | tuple[int, ...] | None = edit_field(
        None,
        "masactrl: first transformer block (from 0) in which it acts, or the list of all; default "
        "from 5/8 of the blocks on (10 of the 16 of Stable Diffusion)",
    )
    mutual_masks: bool = edit_field(
        False, "masactrl: object to object, background to background; objects are the blend words"
    )
    mutual_threshold: float = edit_field(
        0.1, "masactrl: attention from this share of its range on is the object", ge=0, le=1
    )


class SourcePromptSetting(AttentionSetting):
    """Fields of the methods whose inversion and source row can do without the source prompt."""

    source_prompt: Literal["given", "empty"] = inversion_field(
        "given", "prompt of inversion and source row; empty: as in PnP Inversion's MasaCtrl runs"
    )

    @model_validator(mode="after")
    def _reads_no_word_of_an_empty_prompt(self) -> Self:
        reads = self.attention == "p2p" or self.mutual_masks
        if self.source_prompt == "empty" and reads:
            raise ValueError(
                "source_prompt=empty leaves no words for attention=p2p to align or mutual_masks to "
                "find: it goes with attention=masactrl, mutual_masks=false"
            )
        return self

    def inversion_fields(self) -> dict[str, Any]:
        """Return the fields that the inversion depends on, without a source prompt as given.

        The inversion is then that of the methods which have no such field, and shared with them.
        """
        fields = super().inversion_fields()
        if self.source_prompt == "given":
            del fields["source_prompt"]
        return fields

    def seen_by_source(self, batch: Batch) -> Batch:
        """Return the batch with the source prompts that inversion and source rows are given."""
        if self.source_prompt == "given":
            return batch
        return replace(batch, source_prompts=("",) * len(batch))


def p2p_default(name: str, value: Any) -> Any:
    """Return a field of the settings above with another default, for a subclass."""
    field = copy(AttentionSetting.model_fields[name])
    field.default = value
    return field


@dataclass
class P2PEdit:
    """Rows of one edit call: per sample its source row, then its K target rows."""

    backbone: Backbone
    control: AttentionControl
    rows: list[Row]
    """B * (K + 1) rows."""
    source_text: Tensor
    """(R, L, D): every row's source prompt."""
    text: Tensor
    """(R, L, D): every row's own prompt."""
    prompt_warnings: tuple[tuple[str, ...], ...]
    """B."""
    settings: int
    """K."""

    def expand(self, latents: Tensor) -> Tensor:
        """Return (R, C, h, w): the latents (B, C, h, w) of every row's sample."""
        return latents.to(self.backbone.device)[[row.sample for row in self.rows]]

    def put_source(self, latents: Tensor, source: Tensor) -> Tensor:
        """Return the latents (R, C, h, w) with ``source`` (B, C, h, w) in the source rows."""
        replaced = latents.clone()
        replaced[:: self.settings + 1] = source.to(latents)
        return replaced

    def per_row(self, source: float, targets: Sequence[float]) -> Tensor:
        """Return (R,): a value for source rows, and one for the target rows of each setting."""
        import torch

        return torch.tensor([source, *targets] * (len(self.rows) // (self.settings + 1)))

    def finish(
        self, latents: Tensor, count: RowCount, notes: Sequence[tuple[str, ...]] | None = None
    ) -> Edits:
        """Return the edits that the target rows' final latents show.

        Args:
            latents: (R, C, h, w).
            count: rows of the edit.
            notes: the method's own warnings, of all R rows.
        """
        targets = latents[[row.setting is not None for row in self.rows]]
        own = notes or [()] * len(self.rows)
        of_row = {(row.sample, row.setting): own[i] for i, row in enumerate(self.rows)}
        warnings = tuple(
            tuple((*of_sample, *of_setting, *of_row[b, k]) for k, of_setting in enumerate(settings))
            for b, (of_sample, settings) in enumerate(
                zip(self.prompt_warnings, self.control.warnings, strict=True)
            )
        )
        return to_edits(self.backbone, targets, count, warnings)


def p2p_edit(
    backbone: Backbone,
    batch: Batch,
    settings: Sequence[P2PSetting],
    steps: int,
    sizes: AttentionSizes | None = None,
) -> P2PEdit:
    """Return the rows and the control of one edit call.

    Args:
        backbone: edits.
        batch: B samples.
        settings: K settings.
        steps: of the edit, N.
        sizes: where attention is controlled; default that of the backbone.
    """
    from icd_bench.diffusion.attention import MutualSelfAttention, PromptToPrompt, edit_rows

    tokenizer, sizes = backbone.text_encoder.tokenizer, sizes or backbone.attention_sizes
    control: AttentionControl = PromptToPrompt(
        tokenizer,
        batch.source_prompts,
        [
            [_prompt_edit(source, target, words, setting) for setting in settings]
            for source, target, words in zip(
                batch.source_prompts, batch.target_prompts, batch.blend_words, strict=True
            )
        ],
        num_steps=steps,
        sizes=sizes,
    )
    if any(map(_is_mutual, settings)):
        blocks = backbone.attention_blocks
        mutual = [
            [_mutual_edit(target, words, setting, steps, blocks) for setting in settings]
            for target, words in zip(batch.target_prompts, batch.blend_words, strict=True)
        ]
        control = MutualSelfAttention(
            tokenizer, batch.source_prompts, mutual, sizes=sizes, inner=control
        )
    rows = edit_rows(len(batch), len(settings))
    sources = [batch.source_prompts[row.sample] for row in rows]
    own = [
        (batch.source_prompts if row.setting is None else batch.target_prompts)[row.sample]
        for row in rows
    ]
    return P2PEdit(
        backbone,
        control,
        rows,
        backbone.encode_prompts(sources),
        backbone.encode_prompts(own),
        tuple(map(same_prompts, batch.source_prompts, batch.target_prompts)),
        len(settings),
    )


def sizes_of(backbone: Backbone, self_downscale: int) -> AttentionSizes:
    """Return where attention is controlled, with another limit for self-attention.

    Args:
        backbone: edits.
        self_downscale: self-attention is replaced in layers at least so many times smaller than the
            latents, by the side.
    """
    tokens = (backbone.latent_shape[-1] // self_downscale) ** 2
    return replace(backbone.attention_sizes, self_tokens=tokens)


def to_edits(
    backbone: Backbone,
    latents: Tensor,
    count: RowCount,
    warnings: tuple[tuple[tuple[str, ...], ...], ...],
) -> Edits:
    """Return the edits that final latents (B * K, C, h, w), sample-major, show."""
    images = backbone.decode_latents(latents)
    images = images.reshape(len(warnings), -1, *images.shape[1:])
    own, source = (tuple(map(tuple, rows)) for rows in (count.own, count.source))
    return Edits(images, tuple(count.shared), own, warnings, source)


def edit_in_groups(
    settings: Sequence[S], key: Callable[[S], Hashable], edit: Callable[[Sequence[S]], Edits]
) -> Edits:
    """Edit settings that cannot share a source row apart, and put the edits in order again.

    Args:
        settings: K settings.
        key: settings with equal keys share a source row.
        edit: edits some of the settings.
    """
    import torch

    groups: dict[Hashable, list[int]] = {}
    for position, setting in enumerate(settings):
        groups.setdefault(key(setting), []).append(position)
    parts = [edit([settings[i] for i in members]) for members in groups.values()]

    order = [i for members in groups.values() for i in members]
    back = sorted(range(len(order)), key=order.__getitem__)
    return Edits(
        images=torch.cat([part.images for part in parts], dim=1)[:, back],
        nfe_shared=tuple(map(sum, zip(*(part.nfe_shared for part in parts), strict=True))),
        nfe=_joined([part.nfe for part in parts], back),
        warnings=_joined([part.warnings for part in parts], back),
        nfe_source=_joined([part.nfe_source for part in parts], back),
    )


def _prompt_edit(source: str, target: str, words: BlendWords, setting: P2PSetting) -> PromptEdit:
    from icd_bench.diffusion.attention import PromptEdit

    if _is_mutual(setting):
        return PromptEdit(target, cross_window=0.0, self_window=0.0)
    amplified = words.target if setting.amplify_words == "blend" else new_words(source, target)
    return PromptEdit(
        target_prompt=target,
        cross_window=setting.cross_replace,
        self_window=setting.self_replace,
        mapper=setting.mapper,
        weights=dict.fromkeys(amplified, setting.amplify) if setting.amplify != 1 else {},
        blend=_blend(words, setting),
    )


def _is_mutual(setting: P2PSetting) -> TypeGuard[AttentionSetting]:
    return isinstance(setting, AttentionSetting) and setting.attention == "masactrl"


def _mutual_edit(
    target: str, words: BlendWords, setting: P2PSetting, steps: int, blocks: int
) -> MutualEdit | None:
    from icd_bench.diffusion.attention import MutualEdit, WordMasks

    if not _is_mutual(setting):
        return None
    layers = blocks * 5 // 8 if setting.mutual_layers is None else setting.mutual_layers
    return MutualEdit(
        target,
        steps=_from(setting.mutual_steps, steps),
        layers=_from(layers, blocks),
        masks=WordMasks(words.source, words.target, setting.mutual_threshold)
        if setting.mutual_masks
        else None,
    )


def _from(first: int | tuple[int, ...], end: int) -> Container[int]:
    """Return all numbers from a first one on, or the listed ones."""
    return range(first, end) if isinstance(first, int) else first


def _blend(words: BlendWords, setting: P2PSetting) -> Blend | None:
    from icd_bench.diffusion.attention import Blend

    if not (setting.blend and words):
        return None
    return Blend(words.source, words.target, setting.blend_threshold, setting.blend_start)


def new_words(source: str, target: str) -> list[str]:
    """Return the words of the target prompt that the source lacks, without stop words."""
    known = {*source.split(), *STOP_WORDS}
    return [word for word in dict.fromkeys(target.split()) if word not in known]


def same_prompts(source: str, target: str) -> tuple[str, ...]:
    """Return a warning where the prompts ask for no edit."""
    if source.split() != target.split():
        return ()
    return ("source and target prompt are the same: the edit is a reconstruction",)


def target_warnings(backbone: Backbone, batch: Batch) -> list[tuple[str, ...]]:
    """Return what is wrong with each sample's target prompt: it asks for nothing, or is cut."""
    return [
        (*same_prompts(source, target), *backbone.prompt_warnings(target))
        for source, target in zip(batch.source_prompts, batch.target_prompts, strict=True)
    ]


def _joined(
    parts: Sequence[Sequence[Sequence[T]]], order: Sequence[int]
) -> tuple[tuple[T, ...], ...]:
    """Join parts (B, K_i) along the settings, then reorder these."""
    samples = ([x for part in of_sample for x in part] for of_sample in zip(*parts, strict=True))
    return tuple(tuple(values[i] for i in order) for values in samples)
