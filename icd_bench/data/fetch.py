"""Brings the data of a benchmark onto this machine, where its licence allows it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import file_digest
from http.client import HTTPException
from pathlib import Path
from shutil import copyfileobj
from urllib.error import URLError
from urllib.request import Request, urlopen

from icd_bench.data.card import Card, HubFiles, NamedPictures, RemoteFile
from icd_bench.errors import UsageError

AT_ONCE = 8
TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class MissingPictures:
    """The pictures that a benchmark's folder still lacks."""

    failed: dict[str, str]
    """File name -> why it could not be fetched."""
    elsewhere: tuple[str, ...]
    """File names that are not at the card's URL."""

    def __bool__(self) -> bool:
        return bool(self.failed or self.elsewhere)


def fetch_card_files(card: Card, folder: Path) -> None:
    """Fetch the files and the hub data set that a card names; what is there is kept.

    Raises:
        UsageError: a file cannot be fetched, is not the one that the card means, or would replace
            another one.
    """
    wanted = [file for file in card.files if not is_the_file(folder / file.path, file.sha256)]
    for file in wanted:
        _refuse_to_replace(folder / file.path)
    for file in wanted:
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
    pictures: NamedPictures,
    names: Iterable[str],
    folder: Path,
    progress: Callable[[int, int], None],
) -> MissingPictures:
    """Fetch the pictures with these names, several at once; what is there is kept.

    One that cannot be fetched does not stop the others.

    Args:
        pictures: where they come from.
        names: file names.
        folder: the benchmark's.
        progress: called after each picture that is fetched from the URL: which one it is, of how
            many.

    Returns:
        What the folder lacks afterwards.
    """
    target = folder / pictures.folder
    unique = dict.fromkeys(names)
    here = [name for name in unique if fnmatchcase(name, pictures.names)]

    def fetch(name: str) -> str:
        try:
            if not (target / name).is_file():
                _download(pictures.url.format(name=name), target / name)
        except UsageError as error:
            return str(error)
        return ""

    failed = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for number, (name, problem) in enumerate(
            zip(here, pool.map(fetch, here), strict=True), start=1
        ):
            if problem:
                failed[name] = problem
            progress(number, len(here))
    others = (name for name in unique if not fnmatchcase(name, pictures.names))
    return MissingPictures(failed, tuple(n for n in others if not (target / n).is_file()))


def is_the_file(path: Path, sha256: str) -> bool:
    """Return whether there is a file with this content."""
    if not path.is_file():
        return False
    with path.open("rb") as content:
        return file_digest(content, "sha256").hexdigest() == sha256


def _refuse_to_replace(path: Path) -> None:
    """Raise UsageError where there is a file: it may be a set of the user's own."""
    if path.exists():
        raise UsageError(
            f"{path}: is there already, with other content than the published file; nothing was "
            "fetched: name another folder with --to, or delete this file if nobody needs it"
        )


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
            announced = answer.headers["Content-Length"]
            copyfileobj(answer, target)
            _check_length(announced, target.tell())
        check(part)
        part.replace(path)
    except (URLError, HTTPException, TimeoutError, ConnectionError) as error:
        raise UsageError(f"{url}: cannot be fetched: {error}; try again") from error
    finally:
        part.unlink(missing_ok=True)


def _check_length(announced: str | None, received: int) -> None:
    """Raise URLError where a body is shorter than announced: ``copyfileobj`` does not notice."""
    if announced is not None and int(announced) != received:
        raise URLError(f"the transfer ended after {received} of {announced} bytes")


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
