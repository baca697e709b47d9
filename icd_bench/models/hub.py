"""Weights in the local cache of the Hugging Face hub.

Nothing is ever downloaded here, with or without ``HF_HUB_OFFLINE``: several gigabytes are fetched
by the command that a message names, not on the way.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from icd_bench.errors import UsageError
from icd_bench.models.parts import Part


def snapshot(repository: str, revision: str = "") -> Path | None:
    """Return the folder of a repository's cached revision, or None.

    The folder's name is the commit that a branch or tag meant when it was fetched.

    Raises:
        UsageError: the hub allows no repository of this name.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, revision=revision or None, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    except HFValidationError as error:
        raise UsageError(
            f'"{repository}" is neither a folder here nor a hub id ({error}); '
            "give a model's name, folder or owner/name (see: icd-bench list models)"
        ) from error


def fetch_command(part: Part) -> str:
    """Return the command that fetches a part's files into the cache."""
    patterns = [f'--include "{path.as_posix()}"' for path in part.paths(Path())]
    return " ".join([fetch_all_command(part.repository, part.revision), *patterns])


def fetch_all_command(repository: str, revision: str = "") -> str:
    """Return the command that fetches a whole repository into the cache."""
    pin = f" --revision {shlex.quote(revision)}" if revision else ""
    return f"hf download {repository}{pin}"
