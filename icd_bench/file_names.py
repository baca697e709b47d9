"""Names of files and folders, made from what users and data sets say."""

from __future__ import annotations

import re

LONGEST = 150
"""Bytes; file systems allow 255, and endings are added."""


def file_name(text: str) -> str:
    """Return a text as a file can be called: letters, digits and ``+-_.``, others as ``_``.

    Different texts may get one name, for long ones are cut; see :func:`file_name_with_digest`.
    """
    return re.sub(r"[^\w+.-]", "_", text).encode()[:LONGEST].decode(errors="ignore")


def file_name_with_digest(words: str, digest: str) -> str:
    """Return a name to read and, after it, eight digits of what tells it from all others."""
    return f"{file_name(words)}-{digest[:8]}"
