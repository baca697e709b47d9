"""What is wrong with the rows of a benchmark, and how many of them each metric can use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256

from icd_bench import registry
from icd_bench.api import BlendWords, MetricInfo, Sample
from icd_bench.errors import BadSample, UsageError


@dataclass(frozen=True)
class Problem:
    """One thing that is odd about one row."""

    kind: str
    sample: str
    """Id, or file and row."""
    detail: str = ""


@dataclass(frozen=True)
class Lint:
    """What was found in a benchmark."""

    rows: int
    problems: tuple[Problem, ...]
    usable: dict[str, int]
    """Metric -> rows that have what it needs."""
    digest: str
    """SHA-256 (hex) over all usable samples, whatever their order: equal for equal data."""

    @property
    def broken(self) -> int:
        """Rows that cannot be edited at all."""
        return sum(problem.kind in UNUSABLE for problem in self.problems)


BROKEN_ROW, BROKEN_FILE, TAKEN_ID = "unusable row", "broken file", "id taken twice"
UNUSABLE = (BROKEN_ROW, BROKEN_FILE, TAKEN_ID)
"""Kinds of problems of which a row has at most one: no run uses it."""
BACKGROUND, REGION = "background", "edited region"
"""The sides of a mask: a full one has no background, an empty one no edited region."""


def lint(samples: Iterable[Sample | BadSample]) -> Lint:
    """Read every row, picture and mask of a benchmark."""
    problems: list[Problem] = []
    needs: list[frozenset[str]] = []
    ids: set[str] = set()
    pictures: dict[str, str] = {}
    digests: list[str] = []
    for sample in samples:
        if isinstance(sample, BadSample):
            problems.append(Problem(BROKEN_ROW, sample.where, str(sample)))
            needs.append(frozenset({"nothing"}))
            continue
        if sample.id in ids:
            detail = f"id {sample.id}: is taken by an earlier row"
            problems.append(Problem(TAKEN_ID, sample.id, detail))
            needs.append(frozenset({"nothing"}))
            continue
        ids.add(sample.id)
        digests.append(sample.digest)
        problems += _words(sample)
        try:
            problems += _picture(sample, pictures)
            mask_problems, mask_parts = _mask(sample)
        except BadSample as error:
            problems.append(Problem(BROKEN_FILE, sample.id, str(error)))
            needs.append(frozenset({"nothing"}))
            continue
        problems += mask_problems
        needs.append(mask_parts | _parts(sample))
    digest = sha256("".join(sorted(digests)).encode()).hexdigest()
    return Lint(len(needs), tuple(problems), _usable(needs), digest)


def missing_words(words: BlendWords, source: str, target: str) -> tuple[str, ...]:
    """Return the blend words that their prompt does not have, spelled and punctuated exactly so."""
    pairs = [(word, source) for word in words.source] + [(word, target) for word in words.target]
    return tuple(word for word, prompt in pairs if not _has(prompt.split(), word.split()))


def _has(prompt: list[str], words: list[str]) -> bool:
    starts = range(len(prompt) - len(words) + 1)
    return any(prompt[start : start + len(words)] == words for start in starts)


def _words(sample: Sample) -> Iterator[Problem]:
    if sample.source_prompt == sample.target_prompt and not sample.metadata.get("reconstruction"):
        yield Problem("source and target prompt are the same", sample.id, sample.source_prompt)
    missing = missing_words(sample.blend_words, sample.source_prompt, sample.target_prompt)
    if missing:
        words = ", ".join(f'"{word}"' for word in missing)
        yield Problem("blend words that the prompt does not have", sample.id, words)


def _picture(sample: Sample, pictures: dict[str, str]) -> Iterator[Problem]:
    """Yield what is odd about a picture; ``pictures`` maps content to the first sample with it."""
    pixels = sample.read_image()
    if sample.metadata.get("canvas"):
        return
    content = sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    first = pictures.setdefault(content, sample.id)
    if first != sample.id:
        yield Problem("the same picture as another row", sample.id, first)
    if (pixels == pixels[:1, :1]).all():
        yield Problem("picture of one colour", sample.id)
    if sample.read_target is not None:
        sample.read_target()


def _mask(sample: Sample) -> tuple[list[Problem], frozenset[str]]:
    """Return what is odd about a mask, and which sides of it there are to score."""
    if sample.read_mask is None:
        return [], frozenset()
    mask = sample.read_mask()
    if not mask.any():
        return [Problem("empty mask: nothing may change", sample.id)], frozenset({BACKGROUND})
    if mask.all():
        return [Problem("full mask: no background to score", sample.id)], frozenset({REGION})
    return [], frozenset({BACKGROUND, REGION})


def _parts(sample: Sample) -> frozenset[str]:
    present = {"target": sample.read_target is not None, "scene": "choices" in sample.metadata}
    return frozenset(part for part, there in present.items() if there)


def _usable(rows: list[frozenset[str]]) -> dict[str, int]:
    counts = {}
    for name in registry.metrics.names():
        try:
            info: MetricInfo = registry.metrics.load(name).info
        except UsageError:
            continue
        needs = _needs(info)
        counts[info.name] = sum("nothing" not in row and needs <= row for row in rows)
    return counts


def _needs(info: MetricInfo) -> set[str]:
    """Return the parts of a sample that a metric needs; of a mask, the side that it looks at.

    By its group: whether the prompt is followed shows where the picture may change, what is kept
    shows everywhere else.
    """
    side = REGION if info.group == "editing" else BACKGROUND
    return {side if part == "mask" else part for part in info.needs}
