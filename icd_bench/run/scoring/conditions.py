"""Under which conditions edits were made; rows that differ in them are not ranked together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from icd_bench.errors import UsageError


class Conditions(BaseModel):
    """What a method was given beyond the benchmark's sample; the defaults are nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompts: Literal["published", "rewritten"] = "published"
    masks: Literal["unused", "used"] = "unused"
    best_of: int = Field(default=1, ge=1)
    """Seeds among which the best picture was chosen."""

    def __str__(self) -> str:
        """Return what differs from the defaults, in few words."""
        told = {
            "prompts rewritten": self.prompts == "rewritten",
            "masks used": self.masks == "used",
            f"best of {self.best_of}": self.best_of > 1,
        }
        return ", ".join(words for words, holds in told.items() if holds)


def read_conditions(texts: Sequence[str]) -> Conditions:
    """Return the conditions of ``name=value`` texts.

    Raises:
        UsageError: a name or a value is unknown.
    """
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--condition {text}: write NAME=VALUE, as masks=used")
        values[name.strip()] = value.strip()
    try:
        return Conditions.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        known = ", ".join(Conditions.model_fields)
        raise UsageError(f"--condition {field}: {first['msg']}; known: {known}") from error
