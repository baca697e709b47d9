"""Counterbalanced sides: who sees which picture on the left."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np


def balance_sides(pairs: Sequence[str], raters: Sequence[str], seed: int = 0) -> list[bool]:
    """Decide for each showing whether the pair's first picture stands left.

    Within the showings given, the first picture is left and right equally often, plus or minus
    one: overall, for each pair, and for each rater. Showings are the edges of a bipartite graph
    of pairs and raters; odd vertices are joined to a dummy of the other side, so that all degrees
    are even, and the sides alternate along its Euler circuits, whose lengths are even.

    Args:
        pairs: pair of each of N showings.
        raters: rater of each of them.
        seed: of the order in which the circuits are walked.

    Returns:
        N truth values.
    """
    ends = [(("pair", p), ("rater", r)) for p, r in zip(pairs, raters, strict=True)]
    degree: dict[tuple[str, str], int] = defaultdict(int)
    for end in (vertex for edge in ends for vertex in edge):
        degree[end] += 1
    odd = [vertex for vertex, count in degree.items() if count % 2]
    added = [(vertex, ("dummy", vertex[0])) for vertex in odd]
    if sum(vertex[0] == "pair" for vertex in odd) % 2:
        added.append((("dummy", "pair"), ("dummy", "rater")))
    edges = [*ends, *added]

    generator = np.random.default_rng([seed, 7])
    at: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index in generator.permutation(len(edges)).tolist():
        for vertex in edges[index]:
            at[vertex].append(index)
    left = [False] * len(edges)
    used = [False] * len(edges)
    for start in list(at):
        vertex, side = start, bool(generator.integers(2))
        while (index := _unused(at[vertex], used)) is not None:
            used[index] = True
            left[index] = side
            first, second = edges[index]
            vertex, side = (second if vertex == first else first), not side
    return left[: len(ends)]


def _unused(indices: list[int], used: list[bool]) -> int | None:
    while indices:
        if not used[index := indices.pop()]:
            return index
    return None
