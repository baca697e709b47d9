"""Reads the YAML files that come with the package: cards, errata, published numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from icd_bench.errors import UsageError


class Entry(BaseModel):
    """A part of such a file; fields that are not known are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Kind = TypeVar("Kind", bound=Entry)


def read_yaml(path: Path, kind: type[Kind]) -> Kind:
    """Read a file that holds one entry.

    Raises:
        UsageError: the file is missing, is not YAML, or a field is wrong; the message names it.
    """
    try:
        return kind.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        wrong = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise UsageError(f"{path}: {'; '.join(wrong)}") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
