"""A study from a run: settings, samples, lists, a blind bundle and the key to it.

::

    STUDY/plan.json   what the analysis is held to
    STUDY/key.json    what the opaque names stand for; keep it
    STUDY/bundle/     all that raters may see
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from icd_bench.errors import UsageError
from icd_bench.pictures import read_picture
from icd_bench.reports.study.bundle import (
    Bundle,
    Question,
    Task,
    damage,
    encode_picture,
    read_bundle,
    write_bundle,
)
from icd_bench.reports.study.edits import Chosen, Match, RunEdits, choose_settings, read_edits
from icd_bench.reports.study.key import (
    CROWD,
    Key,
    Showing,
    ShownMethod,
    opaque_name,
    read_key,
    write_key,
)
from icd_bench.reports.study.plan import Exclusions, PlannedPair, StudyPlan, read_plan, write_plan
from icd_bench.reports.study.schedule import (
    Item,
    balanced_samples,
    make_schedule,
    planned_pairs,
)
from icd_bench.reports.study.sheet import offline_sheet
from icd_bench.reports.study.votes import CORRUPTED

QUESTIONS: Final = {
    "overall": "Which edit do you prefer, taking both the wanted change and the preservation of "
    "the original into account?",
    "follows": "Which edit shows better what is wanted?",
    "preserves": "Which edit keeps better what should stay as it was?",
}
"""Questions by name; the first is that of the iCD paper."""
USUAL_EXCLUSIONS: Final = Exclusions(
    min_check_pass_rate=0.7, min_median_seconds=1.0, max_one_side_share=0.9
)
PLAN, KEY, BUNDLE, VOTES = "plan.json", "key.json", "bundle", "votes.csv"


@dataclass(frozen=True)
class DesignRequest:
    """What a study shall be."""

    run: Path
    methods: tuple[str, ...]
    raters: int
    votes_per_pair: int = 5
    questions: tuple[str, ...] = ("overall",)
    """Names of ``QUESTIONS``, or ``NAME=Text?``."""
    samples: int | None = None
    fields: Mapping[str, Chosen] = field(default_factory=dict)
    """Method -> values of fields; see ``edits.choose_settings``."""
    match: Match | None = None
    check_share: float = 0.09
    spacing: int = 5
    exclusions: Exclusions = USUAL_EXCLUSIONS
    title: str = "Compare two edits"
    seed: int = 0


@dataclass(frozen=True)
class Study:
    """A study folder, read."""

    folder: Path
    plan: StudyPlan
    key: Key
    bundle: Bundle

    @property
    def bundle_folder(self) -> Path:
        """All that raters may see."""
        return self.folder / BUNDLE


def read_study(folder: Path) -> Study:
    """Read a study folder.

    Raises:
        UsageError: something of it is missing or damaged.
    """
    return Study(
        folder, read_plan(folder / PLAN), read_key(folder / KEY), read_bundle(folder / BUNDLE)
    )


def design_study(request: DesignRequest, folder: Path) -> Study:
    """Design a study and write its folder, which must be new or empty.

    Raises:
        UsageError: the request does not fit the run, or the folder has things in it.
        UnknownName: a method, field, metric or question that does not exist.
    """
    if folder.exists() and (folder.is_file() or any(folder.iterdir())):
        raise UsageError(f"{folder}: is not empty; choose another --out")
    questions = _questions(request.questions)
    edits = read_edits(request.run)
    settings = choose_settings(edits, request.methods, request.fields, request.match)
    shown = {method: edits.at(method, setting) for method, setting in settings.items()}
    categories = _shared_samples(shown, request)
    pairs = planned_pairs(categories, request.methods)
    raters = [f"rater-{number + 1:02d}" for number in range(request.raters)]
    schedule = partial(
        make_schedule,
        pairs,
        check_share=request.check_share,
        spacing=request.spacing,
        seed=request.seed,
    )
    own = schedule(raters, votes_per_pair=request.votes_per_pair)
    crowd = schedule([CROWD], votes_per_pair=1)
    lists = own.lists | crowd.lists
    planned = {pair.pair_id: pair for pair in (*pairs, *own.checks, *crowd.checks)}

    secret = secrets.token_hex(32)
    key = Key(
        study=secrets.token_hex(4),
        secret=secret,
        run=str(request.run.resolve()),
        methods={
            method: ShownMethod(
                method=method,
                setting=json.loads(settings[method]),
                cells={sample: str(rows.at[sample, "cell_id"]) for sample in categories},
            )
            for method, rows in shown.items()
        },
        showings=tuple(
            _showing(secret, rater, item) for rater, items in lists.items() for item in items
        ),
    )
    plan = StudyPlan(
        title=request.title,
        questions=tuple(question.id for question in questions),
        pairs=tuple(planned.values()),
        exclusions=request.exclusions,
        seed=request.seed,
    )
    bundle = Bundle(
        study=key.study,
        title=request.title,
        questions=questions,
        tasks={
            s.task: _task(key, s, planned[s.pair_id], next(iter(shown.values())))
            for s in key.showings
        },
        lists={rater: tuple(s.task for s in key.showings if s.rater == rater) for rater in raters},
        crowd=tuple(s.task for s in key.showings if s.rater == CROWD),
        votes_per_pair=request.votes_per_pair,
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_plan(plan, folder / PLAN)
    write_key(key, folder / KEY)
    write_bundle(bundle, _pictures(key, planned, edits, shown), folder / BUNDLE)
    study = Study(folder, plan, key, bundle)
    write_sheets(study)
    return study


def write_sheets(study: Study) -> list[Path]:
    """Write the offline page of each rater."""
    place = study.bundle_folder / "sheets"
    place.mkdir(exist_ok=True)
    written = []
    for rater in study.bundle.lists:
        path = place / f"{rater}.html"
        path.write_text(offline_sheet(study.bundle, study.bundle_folder, rater), encoding="utf-8")
        written.append(path)
    return written


def _questions(given: Sequence[str]) -> tuple[Question, ...]:
    questions = []
    for text in given:
        name, own, wording = text.partition("=")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise UsageError(f"question {name!r}: a name has small letters, digits and _")
        if not own and name not in QUESTIONS:
            known = ", ".join(QUESTIONS)
            raise UsageError(f"no question {name!r}; there are {known}, or NAME=your own text")
        questions.append(Question(id=name, text=wording.strip() if own else QUESTIONS[name]))
    if not questions or len({question.id for question in questions}) < len(questions):
        raise UsageError("a study asks at least one question, each once")
    return tuple(questions)


def _shared_samples(shown: Mapping[str, pd.DataFrame], request: DesignRequest) -> dict[str, str]:
    first, *others = shown.values()
    shared = [sample for sample in first.index if all(sample in rows.index for rows in others)]
    if not shared:
        raise UsageError(f"{request.run}: the methods {', '.join(shown)} share no sample")
    categories = {str(sample): str(first.at[sample, "category"]) for sample in shared}
    chosen = balanced_samples(categories, request.samples, request.seed)
    return {sample: categories[sample] for sample in chosen}


def _showing(secret: str, rater: str, item: Item) -> Showing:
    parts = ("task", rater, item.pair.pair_id, str(item.repeat))
    return Showing(
        task=opaque_name(secret, *parts),
        pair_id=item.pair.pair_id,
        rater=rater,
        flipped=item.flipped,
        repeat=item.repeat,
    )


def _task(key: Key, showing: Showing, pair: PlannedPair, rows: pd.DataFrame) -> Task:
    places = [key.name("picture", pair.pair_id, place) for place in ("0", "1")]
    left, right = reversed(places) if showing.flipped else places
    return Task(
        id=showing.task,
        source_prompt=str(rows.at[pair.sample, "source_prompt"]),
        target_prompt=str(rows.at[pair.sample, "target_prompt"]),
        source=key.name("source", pair.sample),
        left=left,
        right=right,
    )


def _pictures(
    key: Key,
    planned: Mapping[str, PlannedPair],
    edits: RunEdits,
    shown: Mapping[str, pd.DataFrame],
) -> dict[str, bytes]:
    rows = next(iter(shown.values()))
    side = int(rows["resolution"].iloc[0])
    root = edits.folder.path
    pictures: dict[str, bytes] = {}

    def edit_of(pair: PlannedPair, method: str) -> NDArray[np.uint8]:
        return read_picture(root / str(shown[method].at[pair.sample, "image"]))

    for pair in planned.values():
        source = key.name("source", pair.sample)
        if source not in pictures:
            digest = str(rows.at[pair.sample, "sample_digest"])
            path = edits.folder.sample_path(digest, side, "source")
            pictures[source] = encode_picture(read_picture(root / path), side)
        for place, method in enumerate(pair.methods):
            name = key.name("picture", pair.pair_id, str(place))
            if method == CORRUPTED:
                pixels = damage(edit_of(pair, pair.methods[0]), int(name[:8], 16))
            else:
                pixels = edit_of(pair, method)
            pictures[name] = encode_picture(pixels, side)
    return pictures
