"""Brings the data of a benchmark onto this machine, where its licence allows it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from hashlib import file_digest
from pathlib import Path
from shutil import copyfileobj
from urllib.error import URLError
from urllib.request import Request, urlopen

from icd_bench.data.card import Card, HubFiles, NamedPictures, RemoteFile
from icd_bench.errors import UsageError

AT_ONCE = 8
TIMEOUT_SECONDS = 60


def fetch_card_files(card: Card, folder: Path) -> None:
    """Fetch the files and the hub data set that a card names; what is there is kept.

    Raises:
        UsageError: a file cannot be fetched, or is not the one that the card means.
    """
    for file in card.files:
        if not is_the_file(folder / file.path, file.sha256):
            fetch_file(file, folder)
    if card.hub:
        _fetch_hub(card.hub, folder)


def fetch_file(file: RemoteFile, folder: Path) -> Path:
    """Fetch one file and check it.

    Raises:
        UsageError: it cannot be fetched, or is not the one that the card means.
    """
    path = folder / file.path
    _download(file.url, path, lambda part: _check(part, file))
    return path


def fetch_pictures(
    pictures: NamedPictures, names: Iterable[str], folder: Path, done: Callable[[], None]
) -> None:
    """Fetch the pictures with these names, several at once; what is there is kept.

    Args:
        pictures: where they come from.
        names: file names.
        folder: the benchmark's.
        done: called after each picture.

    Raises:
        UsageError: one cannot be fetched; those before it stay.
    """

    def fetch(name: str) -> None:
        path = folder / pictures.folder / name
        if not path.is_file():
            _download(pictures.url.format(name=name), path)
        done()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(fetch, dict.fromkeys(names)):
            pass


def is_the_file(path: Path, sha256: str) -> bool:
    """Return whether there is a file with this content."""
    if not path.is_file():
        return False
    with path.open("rb") as content:
        return file_digest(content, "sha256").hexdigest() == sha256


def _check(part: Path, file: RemoteFile) -> None:
    if not is_the_file(part, file.sha256):
        raise UsageError(
            f"{file.url}: has changed: its SHA-256 is not {file.sha256}; "
            "nothing was kept, and its results would not be comparable"
        )


def _download(url: str, path: Path, check: Callable[[Path], None] = lambda part: None) -> None:
    """Put the content of a URL at ``path``, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        request = Request(url, headers={"User-Agent": "icd-bench"})
        with urlopen(request, timeout=TIMEOUT_SECONDS) as answer, part.open("wb") as target:
            copyfileobj(answer, target)
        check(part)
        part.replace(path)
    except (URLError, TimeoutError, ConnectionError) as error:
        raise UsageError(f"{url}: cannot be fetched: {error}; try again") from error
    finally:
        part.unlink(missing_ok=True)


def _fetch_hub(hub: HubFiles, folder: Path) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        snapshot_download(
            hub.repository,
            repo_type="dataset",
            revision=hub.revision,
            allow_patterns=list(hub.patterns),
            local_dir=folder,
        )
    except (HfHubHTTPError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(f"{hub.repository}: cannot be fetched: {reason}; try again") from error
