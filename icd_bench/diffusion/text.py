"""Prompts to embeddings, each distinct prompt once."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from icd_bench.diffusion.text_conditions import pack_text
from icd_bench.errors import UnusableWeights

if TYPE_CHECKING:
    from icd_bench.models import ModelSpec

_REMEMBERED: Final = 1024
"""Prompts whose embeddings are kept, the latest used."""


class TextEncoder:
    """Tokenizer and CLIP-style text encoder of a pipeline.

    Args:
        tokenizer: a transformers ``CLIPTokenizer``; its ``model_max_length`` is L.
        model: a transformers ``CLIPTextModel``.
    """

    def __init__(self, tokenizer: Any, model: Any) -> None:
        self.tokenizer = tokenizer
        self._model = model.eval().requires_grad_(False)
        self._known: OrderedDict[str, Tensor] = OrderedDict()
        self._encoding = threading.Lock()

    def twin(self) -> TextEncoder:
        """Return this encoder for another thread; what is encoded is known to both."""
        other = copy.copy(self)
        # Tokenizers of transformers refuse to be used by two threads at once.
        other.tokenizer = copy.deepcopy(self.tokenizer)
        return other

    @property
    def length(self) -> int:
        """Tokens L of a text, with its start and end."""
        return int(self.tokenizer.model_max_length)

    @torch.no_grad()
    def __call__(self, prompts: Sequence[str]) -> Tensor:
        """Return the embeddings (R, L, D), float32; longer prompts are cut."""
        with self._encoding:
            return self._remembered(prompts)

    def _remembered(self, prompts: Sequence[str]) -> Tensor:
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._known]
        if new:
            self._known.update(zip(new, self._encode(new).float(), strict=True))
        embeddings = torch.stack([self._known[prompt] for prompt in prompts])
        for prompt in prompts:
            self._known.move_to_end(prompt)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return embeddings

    def warnings(self, prompt: str) -> tuple[str, ...]:
        """Return one-line warnings about a prompt."""
        ids = self.tokenizer(prompt, truncation=False, verbose=False).input_ids
        if len(ids) <= self.length:
            return ()
        return (
            f'prompt "{prompt[:40]}…" has {len(ids) - 2} tokens; the model reads the first '
            f"{self.length - 2}",
        )

    def _encode(self, prompts: Sequence[str]) -> Tensor:
        """Return the last hidden states (R, L, D)."""
        states: Tensor = self._model(self._tokens(self.tokenizer, prompts)).last_hidden_state
        return states

    def _tokens(self, tokenizer: Any, prompts: Sequence[str]) -> Tensor:
        """Return token ids (R, L), padded or cut, where the model is."""
        tokens = tokenizer(
            list(prompts),
            padding="max_length",
            max_length=self.length,
            truncation=True,
            return_tensors="pt",
        )
        ids: Tensor = tokens.input_ids.to(self._model.device)
        return ids


class DualTextEncoder(TextEncoder):
    """The two text encoders of Stable Diffusion XL (arXiv 2307.01952, sec. 2.1).

    Embeddings are the penultimate hidden states of both, side by side, with the second one's
    pooled vector packed behind (see :mod:`icd_bench.diffusion.text_conditions`): (R, L + 1, D).
    The empty prompt is all zeros, what the model was trained with in place of a prompt.

    Args:
        tokenizer: of the first encoder; words are located with it.
        model: a transformers ``CLIPTextModel``.
        second_tokenizer: of the second encoder; it pads with another token.
        second_model: a transformers ``CLIPTextModelWithProjection``.
    """

    def __init__(
        self, tokenizer: Any, model: Any, second_tokenizer: Any, second_model: Any
    ) -> None:
        super().__init__(tokenizer, model)
        self._second_tokenizer = second_tokenizer
        self._second_model = second_model.eval().requires_grad_(False)

    def _encode(self, prompts: Sequence[str]) -> Tensor:
        """Return packed texts (R, L + 1, D)."""
        first = self._model(self._tokens(self.tokenizer, prompts), output_hidden_states=True)
        second = self._second_model(
            self._tokens(self._second_tokenizer, prompts), output_hidden_states=True
        )
        states = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
        text = pack_text(states, second.text_embeds)
        text[torch.tensor([prompt == "" for prompt in prompts])] = 0
        return text


def load_text_encoder(spec: ModelSpec, device: torch.device, dtype: torch.dtype) -> TextEncoder:
    """Load the text encoder, or both, of a model.

    Raises:
        MissingWeights: a part is not on this machine.
        UnusableWeights: a folder cannot be read.
    """
    first = _load_pair(spec, "CLIPTextModel", "", device, dtype)
    if spec.family != "sdxl":
        return TextEncoder(*first)
    second = _load_pair(spec, "CLIPTextModelWithProjection", "_2", device, dtype)
    return DualTextEncoder(*first, *second)


def _load_pair(
    spec: ModelSpec, kind: str, suffix: str, device: torch.device, dtype: torch.dtype
) -> tuple[Any, Any]:
    """Return a tokenizer and its text encoder."""
    import transformers

    # A bar for a second's work would break into the run's own progress.
    transformers.utils.logging.disable_progress_bar()
    tokenizer, model = (spec.folder_of(part + suffix) for part in ("tokenizer", "text_encoder"))
    try:
        words = transformers.CLIPTokenizer.from_pretrained(tokenizer, local_files_only=True)
        encoder = getattr(transformers, kind).from_pretrained(
            model,
            dtype=dtype,
            variant=spec.part("text_encoder" + suffix).variant,
            use_safetensors=True,
            local_files_only=True,
        )
    except (OSError, ValueError) as error:
        raise UnusableWeights(f"{tokenizer}, {model}: not readable ({error})") from error
    return words, encoder.to(device)
