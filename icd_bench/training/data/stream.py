"""The endless order in which rows are read.

Every epoch visits each row once, in an order that follows from seed, epoch and shard. Where there
are as many shards as processes or more, a process reads shards of its own, else its share of the
rows of every shard. A place in the order is four numbers, so a stream goes on where it was.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from itertools import count
from typing import Any, Final

import torch
from torch import Tensor

from icd_bench.errors import BadSample, UsageError
from icd_bench.pictures import decode_picture
from icd_bench.training.batch import WHOLE, Share

from .fit import Fit, fit_picture
from .rows import Row, Source

NAMED: Final = 5
"""Bad rows of each kind that are kept by name."""


@dataclass(frozen=True)
class Place:
    """The next row to read: its epoch, and positions in the orders of shards, windows and rows."""

    epoch: int = 0
    shard: int = 0
    window: int = 0
    row: int = 0


@dataclass(frozen=True)
class Pair:
    """A decoded picture (3, H, W), 8 bits, and its caption."""

    picture: Tensor
    caption: str


class Stream:
    """Captioned pictures, decoded in threads ahead of their use.

    Args:
        source: what is read.
        side: of the pictures in pixels.
        fit: how they become squares.
        seed: of the order.
        share: which rows are this process's.
        workers: threads that read and decode.
    """

    def __init__(
        self, source: Source, side: int, fit: Fit = "crop", seed: int = 0, share: Share = WHOLE,
        workers: int = 4,
    ) -> None:  # fmt: skip
        self._source, self._side, self._fit = source, side, fit
        self._seed, self._share = seed, share
        self._threads = ThreadPoolExecutor(workers)
        self._ahead = 4 * workers
        self._start_at(Place())
        self.used = 0
        """Rows given so far."""
        self.bad: dict[str, dict[str, Any]] = {}
        """Field at fault -> how many rows were left out, and messages of the first."""

    def take(self, rows: int) -> tuple[Tensor, list[str]]:
        """Return the next pictures (R, 3, H, W) in [0, 1], and their captions.

        Raises:
            UsageError: a whole epoch had no row that can be used.
        """
        pairs = [self._next() for _ in range(rows)]
        pictures = torch.stack([pair.picture for pair in pairs])
        return pictures.float() / 255, [pair.caption for pair in pairs]

    def state(self) -> dict[str, Any]:
        """The place after the last row that was given."""
        return {"place": asdict(self._place), "used": self.used, "bad": deepcopy(self.bad)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a place."""
        self.used, self.bad = state["used"], deepcopy(state["bad"])
        self._start_at(Place(**state["place"]))

    def _start_at(self, place: Place) -> None:
        self._place = place
        self._fruitless_since = place.epoch
        self._rows = self._order(place)
        self._waiting: deque[tuple[Place, Future[Pair | BadSample]]] = deque()

    def _next(self) -> Pair:
        while True:
            while len(self._waiting) < self._ahead:
                after, row = next(self._rows)
                future = self._threads.submit(self._decode, row, after.epoch)
                self._waiting.append((after, future))
            self._place, future = self._waiting.popleft()
            found = future.result()
            if isinstance(found, Pair):
                self.used += 1
                self._fruitless_since = self._place.epoch
                return found
            self._leave_out(found)

    def _leave_out(self, problem: BadSample) -> None:
        kind = self.bad.setdefault(problem.field, {"rows": 0, "first": []})
        kind["rows"] += 1
        if len(kind["first"]) < NAMED:
            kind["first"].append(str(problem))
        if self._place.epoch - self._fruitless_since > 1:
            raise UsageError(f"no row of the data can be used; one of them: {problem}")

    def _decode(self, row: Row, epoch: int) -> Pair | BadSample:
        try:
            content, captions = row.load()
            picture = decode_picture(content, row.where, "image")
        except BadSample as problem:
            return problem
        fitted = fit_picture(picture, self._side, self._fit)
        return Pair(fitted, captions[epoch % len(captions)])

    def _order(self, start: Place) -> Iterator[tuple[Place, Row]]:
        """Yield rows from a place on, each with the place after it."""
        for epoch in count(start.epoch):
            empty = True
            first = start if epoch == start.epoch else Place(epoch)
            shards = shuffled(self._source.shards, self._seed, epoch)
            apart = len(shards) >= self._share.of
            own = self._share(shards) if apart else shards
            for at, shard in enumerate(own.tolist()):
                if at < first.shard:
                    continue
                for number, window in enumerate(self._source.windows(shard)):
                    place = Place(epoch, at, number)
                    if (at, number) < (first.shard, first.window):
                        continue
                    order = shuffled(len(window), self._seed, epoch, shard, number)
                    rows = (order if apart else self._share(order)).tolist()
                    begin = first.row if place == replace(first, row=0) else 0
                    for done, row in enumerate(rows[begin:], begin + 1):
                        empty = False
                        yield replace(place, row=done), window[row]
            if empty and first == Place(epoch):
                raise UsageError("the data hold no row for this process")


def shuffled(rows: int, *seeds: int) -> Tensor:
    """Return the numbers below ``rows`` in an order that follows from the seeds."""
    digest = hashlib.sha256("/".join(map(str, seeds)).encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return torch.randperm(rows, generator=generator)


def left_out(states: list[dict[str, Any]]) -> dict[str, int]:
    """Return how many rows were left out by field at fault, over the states of all processes."""
    total: dict[str, int] = {}
    for state in states:
        for field, kind in state["bad"].items():
            total[field] = total.get(field, 0) + int(kind["rows"])
    return total
