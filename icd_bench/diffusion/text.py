"""Prompts to embeddings, each distinct prompt once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from icd_bench.errors import UsageError

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

    @classmethod
    def load(
        cls, tokenizer: Path, model: Path, device: torch.device, dtype: torch.dtype
    ) -> TextEncoder:
        """Load from a tokenizer's and a text encoder's folder.

        Raises:
            UsageError: a folder cannot be read.
        """
        import transformers

        text_model: Any = transformers.CLIPTextModel
        # A bar for a second's work would break into the run's own progress.
        transformers.utils.logging.disable_progress_bar()
        try:
            words = transformers.CLIPTokenizer.from_pretrained(tokenizer, local_files_only=True)
            encoder = text_model.from_pretrained(
                model, dtype=dtype, use_safetensors=True, local_files_only=True
            )
        except (OSError, ValueError) as error:
            raise UsageError(f"{tokenizer}, {model}: not readable ({error})") from error
        return cls(words, encoder.to(device))

    @property
    def length(self) -> int:
        """Tokens L of a text, with its start and end."""
        return int(self.tokenizer.model_max_length)

    @torch.no_grad()
    def __call__(self, prompts: Sequence[str]) -> Tensor:
        """Return the last hidden states (R, L, D), float32; longer prompts are cut."""
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._known]
        if new:
            tokens = self.tokenizer(
                new,
                padding="max_length",
                max_length=self.length,
                truncation=True,
                return_tensors="pt",
            )
            states = self._model(tokens.input_ids.to(self._model.device)).last_hidden_state
            self._known.update(zip(new, states.float(), strict=True))
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
