"""What a page that is sent around must not tell: where things lie on the machine that made it."""

from __future__ import annotations

import re

_POSIX = r"(?<![\w.…/:\]}>-])(?:~[\w.-]*)?/(?:[^\s/'\"<>|:,;=]+/)+"
_WINDOWS = r"(?<!\w)[A-Za-z]:[\\/](?:[^\s\\/'\"<>|:,;=]+[\\/])+"
_SPACED = r"(?<=['\"])(?:~[\w.-]*)?/(?:[^/'\"<>|]+/)+"
_FOLDERS = re.compile(f"{_SPACED}|{_POSIX}|{_WINDOWS}")
_HOME_ITSELF = re.compile(r"(?<![\w./])/(?:home|root|Users)/[\w.-]+(?![\w/])")


def without_folders(text: str) -> str:
    """Return a text in which absolute paths keep their last part only: ``…/name``.

    Addresses (``https://host/a/b``) and relative paths stay as they are.
    """
    return _FOLDERS.sub("…/", _HOME_ITSELF.sub("…", text))
