"""Pins: at which revision each hub repository of a model known by name is read.

    sd14@REVISION                                   a model of one repository
    sd15@REPOSITORY=REVISION,REPOSITORY=REVISION    any; a repository left out stays unpinned

REPOSITORY is its name, or ``owner/name``.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from icd_bench.errors import UnknownName, UsageError
from icd_bench.models.spec import ModelSpec
from icd_bench.registry import suggest

REVISION: Final = r"[\w-][\w.-]*(/[\w-][\w.-]*)*"
"""Form of a branch, a tag or a commit; it is a path below the cache, so no ".." is one."""


def pinned(spec: ModelSpec, pins: str) -> ModelSpec:
    """Return a model at the revisions that ``pins`` gives, under its own name.

    The name stays, because methods' defaults and published numbers go by it; weights are told
    apart by their digest and by the commits that a run records.

    Raises:
        UnknownName: a repository is none of the model's; the message lists them.
        UsageError: the pins cannot be read, or do not say of which repository they are.
    """
    revisions: dict[str, str] = {}
    for pin in pins.split(","):
        name, _, revision = pin.strip().rpartition("=")
        if not re.fullmatch(REVISION, revision):
            raise UsageError(
                f'model "{spec.name}@{pins}": "{revision}" is no revision; give a branch, a tag or '
                f"a commit: {_usage(spec)}"
            )
        repository = _repository(spec, name.strip())
        if repository in revisions:
            raise UsageError(
                f'model "{spec.name}@{pins}" pins {repository} twice; give one revision of it'
            )
        revisions[repository] = revision
    parts = (replace(p, revision=revisions.get(p.repository, "")) for p in spec.parts)
    return replace(spec, parts=tuple(parts))


def _repository(spec: ModelSpec, name: str) -> str:
    """Return the repository of a model with this name; none names its only one."""
    by_name = {one.rpartition("/")[2]: one for one in spec.repositories}
    if not by_name:
        raise UsageError(f'model "{spec.name}" is in no hub repository: there is nothing to pin')
    if not name and len(by_name) == 1:
        return spec.repositories[0]
    if not name:
        raise UsageError(
            f'model "{spec.name}" is made of {len(by_name)} repositories; say which one the '
            f"revision is of: {_usage(spec)}"
        )
    found = name if name in by_name.values() else by_name.get(name)
    if found is None:
        raise UnknownName(
            f'model "{spec.name}" has no repository "{name}".{suggest(name, by_name)} '
            f"It has: {', '.join(by_name)}."
        )
    return found


def _usage(spec: ModelSpec) -> str:
    """Return how the model's repositories are pinned."""
    names = [repository.rpartition("/")[2] for repository in spec.repositories]
    if len(names) < 2:
        return f"{spec.name}@REVISION"
    return f"{spec.name}@{','.join(f'{name}=REVISION' for name in names)}"
