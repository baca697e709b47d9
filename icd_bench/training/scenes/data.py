"""Training pairs: pictures with captions, drawn once and kept as memory-mapped arrays."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from icd_bench import registry
from icd_bench.errors import UsageError


@dataclass(frozen=True)
class World:
    """What training needs of a procedural benchmark.

    Args:
        pairs: ``(split, start, stop)`` -> iterator of ((H, W, 3) uint8, caption).
        vocabulary: every word a caption can hold.
        near: ``(caption, n, rng)`` -> n captions of scenes one attribute away.
        attributes: caption -> attribute name -> value.
        variants: ``(caption, attribute)`` -> captions that differ in that attribute alone.
    """

    pairs: Callable[[str, int, int], Iterator[tuple[NDArray[np.uint8], str]]]
    vocabulary: tuple[str, ...]
    near: Callable[[str, int, np.random.Generator], list[str]]
    attributes: Callable[[str], dict[str, str]]
    variants: Callable[[str, str], list[str]]


def load_world(name: str = "scenes") -> World:
    """Return the world behind a registered benchmark.

    Raises:
        UsageError: the benchmark is a fixed set of pictures, without a grammar to draw from.
    """
    benchmark = registry.benchmarks.load(name)
    package = benchmark.__module__.rpartition(".")[0]
    try:
        samples: Any = importlib.import_module(f"{package}.samples")
        grammar: Any = importlib.import_module(f"{package}.captions")
        facts: Any = importlib.import_module(f"{package}.attributes")
    except ImportError as error:
        raise UsageError(f'benchmark "{name}" draws no training pairs: {error}') from error

    def near(text: str, n: int, rng: np.random.Generator) -> list[str]:
        return [grammar.caption(s) for s in facts.distractors(grammar.parse(text), n, rng)]

    def variants(text: str, attribute: str) -> list[str]:
        return [grammar.caption(s) for s in facts.variants(grammar.parse(text), attribute)]

    return World(
        pairs=samples.training_pairs,
        vocabulary=grammar.VOCABULARY,
        near=near,
        attributes=lambda text: dict(facts.attributes(grammar.parse(text))),
        variants=variants,
    )


@dataclass(frozen=True)
class Pictures:
    """N captioned pictures of one split."""

    images: NDArray[np.uint8]
    """(N, H, W, 3)."""
    captions: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.captions)

    def batch(self, rows: Tensor) -> Tensor:
        """Return the pictures of ``rows`` (B,) as (B, 3, H, W) in [0, 1]."""
        return to_images(self.images[rows.numpy()])


def draw_pictures(world: World, split: str, count: int, cache: Path) -> Pictures:
    """Return the first ``count`` pictures of a split, drawn on first use and kept in ``cache``."""
    pixels, texts = cache / f"{split}-{count}.npy", cache / f"{split}-{count}.txt"
    if not texts.exists():
        cache.mkdir(parents=True, exist_ok=True)
        found = list(world.pairs(split, 0, count))
        np.save(pixels, np.stack([image for image, _ in found]))
        texts.write_text("\n".join(caption for _, caption in found), encoding="utf-8")
    captions = tuple(texts.read_text(encoding="utf-8").split("\n"))
    return Pictures(np.load(pixels, mmap_mode="r"), captions)


def to_images(pixels: NDArray[np.uint8]) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 255


def draw_rows(count: int, batch: int, generator: torch.Generator) -> Tensor:
    """Return ``batch`` random row numbers below ``count``."""
    return torch.randint(count, (batch,), generator=generator)
