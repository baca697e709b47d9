"""A CLIP tokenizer in which every word of a world is one token.

Any other text still has an encoding: the 256 byte symbols of CLIP's alphabet are all in the
vocabulary, so an unknown word falls apart into characters.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from transformers import CLIPTokenizer

MAX_LENGTH = 32
START, END = "<|startoftext|>", "<|endoftext|>"

Merge = tuple[str, str]


def build_tokenizer(words: Iterable[str], max_length: int = MAX_LENGTH) -> CLIPTokenizer:
    """Return a tokenizer with one token for each of ``words`` (lower case)."""
    with TemporaryDirectory() as folder:
        write_vocabulary(Path(folder), words)
        tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(
            folder, model_max_length=max_length, local_files_only=True
        )
    return tokenizer


def write_vocabulary(folder: Path, words: Iterable[str]) -> None:
    """Write CLIP's ``vocab.json`` and ``merges.txt``."""
    merges = word_merges(words)
    symbols = byte_symbols()
    tokens = [*symbols, *(s + "</w>" for s in symbols), *(a + b for a, b in merges), START, END]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    text = json.dumps(vocabulary, ensure_ascii=False)
    (folder / "vocab.json").write_text(text, encoding="utf-8")
    lines = ["#version: 0.2", *(f"{a} {b}" for a, b in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def word_merges(words: Iterable[str]) -> list[Merge]:
    """Return merges under which byte-pair encoding makes one token of each word.

    Later merges have lower priority, so those of a new word never undo an earlier word.
    """
    merges: list[Merge] = []
    for word in sorted(set(words)):
        pieces = apply_merges(word, merges)
        while len(pieces) > 1:
            merges.append((pieces[0], pieces[1]))
            pieces = apply_merges(word, merges)
    return merges


def apply_merges(word: str, merges: Sequence[Merge]) -> list[str]:
    """Return the pieces of a word: the pair of best rank is joined first."""
    rank = {merge: index for index, merge in enumerate(merges)}
    pieces = [*word[:-1], word[-1] + "</w>"]
    while len(pieces) > 1:
        pairs = [(rank.get((a, b), len(rank)), i) for i, (a, b) in enumerate(pairwise(pieces))]
        best, at = min(pairs)
        if best == len(rank):
            break
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
    return pieces


def byte_symbols() -> list[str]:
    """The printable stand-ins of the 256 bytes, in the order of GPT-2's and CLIP's vocabulary."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(others))]


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    """Return the tokenizer saved in ``folder``."""
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    return tokenizer
