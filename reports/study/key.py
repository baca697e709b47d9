"""The key of a blind study: what every opaque name stands for. It never leaves the study folder."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from icd_bench.errors import UsageError

CROWD = ""
"""Rater of the showings for crowd platforms, where whoever comes judges."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Showing(_Frozen):
    """One screen: a pair with its sides, planned for one rater."""

    task: str
    """Opaque name, by which answers are joined."""
    pair_id: str
    rater: str
    flipped: bool
    """The pair's second method stands left."""
    repeat: bool = False
    """The pair's second showing to this rater, sides swapped."""


class ShownMethod(_Frozen):
    """What a method label stands for."""

    method: str
    setting: dict[str, Any]
    cells: dict[str, str]
    """Sample -> cell of the run."""


class Key(_Frozen):
    """Everything that assessors must not know."""

    study: str
    """Name of the study, random; it is in every file of the bundle."""
    secret: str = Field(min_length=64, pattern="^[0-9a-f]+$")
    run: str
    """The run folder."""
    methods: dict[str, ShownMethod]
    showings: tuple[Showing, ...]
    """In the order in which each rater sees them."""

    def name(self, *parts: str) -> str:
        """Return an opaque name (20 hex digits) of something: a keyed hash (HMAC-SHA-256)."""
        return opaque_name(self.secret, *parts)

    @property
    def raters(self) -> tuple[str, ...]:
        """Planned raters."""
        return tuple(dict.fromkeys(s.rater for s in self.showings if s.rater != CROWD))

    def token(self, rater: str) -> str:
        """Return the secret part of a rater's link."""
        return opaque_name(self.secret, "link", rater, digits=32)

    @property
    def admin_token(self) -> str:
        """The secret part of the link to the progress page."""
        return opaque_name(self.secret, "admin", digits=32)


def opaque_name(secret: str, *parts: str, digits: int = 20) -> str:
    """Return hex digits of the HMAC-SHA-256 of ``parts`` under ``secret`` (hex)."""
    message = "\0".join(parts).encode()
    return hmac.new(bytes.fromhex(secret), message, hashlib.sha256).hexdigest()[:digits]


def read_key(path: Path) -> Key:
    """Read a key.

    Raises:
        UsageError: the file cannot be read or is no key.
    """
    try:
        return Key.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: the key cannot be read ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "key"
        raise UsageError(f"{path}: {field}: {first['msg']}") from error


def write_key(key: Key, path: Path) -> None:
    """Write ``key`` as JSON, readable by its owner alone."""
    path.touch(mode=0o600)
    path.write_text(key.model_dump_json(indent=1) + "\n", encoding="utf-8")
