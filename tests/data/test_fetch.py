"""Fetching, from files of this machine under their URLs."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from official_folders import INSTRUCTIONS, PHOTOS

from icd_bench.cli.app import main
from icd_bench.data.card import Card, NamedPictures, RemoteFile
from icd_bench.data.fetch import fetch_card_files, fetch_pictures
from icd_bench.data.yaml_files import read_yaml
from icd_bench.errors import UsageError
from icd_bench.registry import benchmarks

SOURCE = INSTRUCTIONS / "editing_coco.csv"


def card(url: str, digest: str) -> Card:
    texts = dict.fromkeys(("licence", "citation", "source", "size", "how_to_get", "checksum"), "x")
    file = RemoteFile(path="in/a.csv", url=url, sha256=digest)
    return Card(name="x", title="x", files=(file,), **texts)


def test_a_file_is_fetched_once_and_checked(tmp_path: Path) -> None:
    digest = sha256(SOURCE.read_bytes()).hexdigest()
    wanted = card(SOURCE.as_uri(), digest)
    fetch_card_files(wanted, tmp_path)
    copy = tmp_path / "in/a.csv"
    assert copy.read_bytes() == SOURCE.read_bytes()
    before = copy.stat().st_mtime_ns
    fetch_card_files(wanted, tmp_path)
    assert copy.stat().st_mtime_ns == before
    copy.write_text("broken")
    fetch_card_files(wanted, tmp_path)
    assert copy.read_bytes() == SOURCE.read_bytes()


def test_another_content_is_refused_and_not_kept(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has changed"):
        fetch_card_files(card(SOURCE.as_uri(), "0" * 64), tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_cannot_be_fetched(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be fetched"):
        fetch_card_files(card((tmp_path / "none").as_uri(), "0" * 64), tmp_path)


def test_pictures_are_fetched_by_name(tmp_path: Path) -> None:
    pictures = NamedPictures(url=PHOTOS[0].parent.as_uri() + "/{name}", folder="photos")
    done: list[int] = []
    names = [photo.name for photo in PHOTOS] * 2
    fetch_pictures(pictures, names, tmp_path, lambda: done.append(1))
    assert len(done) == 2
    for photo in PHOTOS:
        assert (tmp_path / "photos" / photo.name).read_bytes() == photo.read_bytes()


def test_every_built_in_card_is_complete() -> None:
    for name in benchmarks.names():
        found: Card | None = getattr(benchmarks.load(name), "card", None)
        if found is not None:
            assert found.name == name
            assert found.info == benchmarks.load(name).info
            assert found.can_be_fetched == found.how_to_get.startswith("icd-bench data get")


def test_a_card_with_a_mistake_names_the_field(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("name: x\nlicense: MIT\n")
    with pytest.raises(UsageError, match="license"):
        read_yaml(path, Card)


def test_what_may_not_be_fetched_says_how_to_get_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "get", "piebench"]) == 2
    assert "must not be passed on" in capsys.readouterr().err
    assert main(["data", "get", "folder"]) == 2
    assert "Your own benchmark" in capsys.readouterr().err
