"""Fetching, from files of this machine under their URLs."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from official_folders import INSTRUCTIONS, PHOTOS

from icd_bench.benchmarks.coco_edit import COCOEdit
from icd_bench.cli.app import main
from icd_bench.data.card import Card, NamedPictures, RemoteFile
from icd_bench.data.fetch import fetch_card_files, fetch_pictures
from icd_bench.data.yaml_files import read_yaml
from icd_bench.errors import UsageError
from icd_bench.registry import benchmarks

SOURCE = INSTRUCTIONS / "editing_coco.csv"
AUTHORS = (
    """108,108,bird.jpeg,a photograph of a bird perched on a branch,"""
    """a photograph of a rat perched on a branch,"('bird', 'rat')"\n"""
)
"""A row whose picture is not COCO's."""


@pytest.fixture
def short_answers() -> Iterator[str]:
    """A server that announces 100 bytes and sends 10."""

    class Short(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"0123456789")

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Short) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def local_coco(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Card of coco-edit with some of its rows, from files here; returns the photos' folder."""
    rows = tmp_path / "published.csv"
    rows.write_text(SOURCE.read_text() + AUTHORS)
    photos = tmp_path / "coco"
    photos.mkdir()
    for line in SOURCE.read_text().splitlines()[1:]:
        shutil.copy(PHOTOS[0], photos / line.split(",")[2])
    published = COCOEdit.card
    assert published.pictures is not None
    pictures = published.pictures.model_copy(update={"url": photos.as_uri() + "/{name}"})
    file = RemoteFile(
        path="editing_coco.csv",
        url=rows.as_uri(),
        sha256=sha256(rows.read_bytes()).hexdigest(),
    )
    changes = {"files": (file,), "pictures": pictures}
    monkeypatch.setattr(COCOEdit, "card", published.model_copy(update=changes))
    return photos


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


def test_a_file_of_ones_own_is_not_replaced(tmp_path: Path) -> None:
    own = tmp_path / "in" / "a.csv"
    own.parent.mkdir()
    own.write_text("a set of my own")
    with pytest.raises(UsageError, match=r"a\.csv: is there already.*another folder.*delete"):
        fetch_card_files(card(SOURCE.as_uri(), sha256(SOURCE.read_bytes()).hexdigest()), tmp_path)
    assert own.read_text() == "a set of my own"


def test_another_content_is_refused_and_not_kept(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has changed"):
        fetch_card_files(card(SOURCE.as_uri(), "0" * 64), tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_cannot_be_fetched(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be fetched"):
        fetch_card_files(card((tmp_path / "none").as_uri(), "0" * 64), tmp_path)


def test_a_body_that_ends_early_is_not_kept(tmp_path: Path, short_answers: str) -> None:
    pictures = NamedPictures(url=short_answers + "/{name}", folder="photos")
    missing = fetch_pictures(pictures, ["a.jpg"], tmp_path, lambda number, total: None)
    assert "ended after 10 of 100 bytes" in missing.failed["a.jpg"]
    with pytest.raises(UsageError, match="ended after 10 of 100 bytes"):
        fetch_card_files(card(short_answers, sha256(b"0123456789").hexdigest()), tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_pictures_are_fetched_by_name(tmp_path: Path) -> None:
    pictures = NamedPictures(url=PHOTOS[0].parent.as_uri() + "/{name}", folder="photos")
    told: list[tuple[int, int]] = []
    names = [photo.name for photo in PHOTOS] * 2
    assert not fetch_pictures(pictures, names, tmp_path, lambda *numbers: told.append(numbers))
    assert told == [(1, 2), (2, 2)]
    for photo in PHOTOS:
        assert (tmp_path / "photos" / photo.name).read_bytes() == photo.read_bytes()


def test_pictures_that_fail_or_are_elsewhere_do_not_stop_the_others(
    local_coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone, *there = sorted(local_coco.iterdir())
    away = gone.rename(tmp_path / gone.name)
    folder = tmp_path / "data"
    command = ["data", "get", "coco-edit", "--to", str(folder)]

    assert main(command) == 1
    said = capsys.readouterr().err
    assert f"1 picture ({gone.name}) not fetched; the first: file:" in said
    assert "1 picture (bird.jpeg) not at the address of the others: " in said
    assert "editing_images.tar" in said
    photos = folder / "train2014"
    assert sorted(photos.iterdir()) == [photos / photo.name for photo in there]

    away.rename(gone)
    assert main(command) == 1
    said = capsys.readouterr().err
    assert "not fetched" not in said
    assert "bird.jpeg" in said

    shutil.copy(PHOTOS[1], photos / "bird.jpeg")
    assert main(command) == 0
    assert "bird.jpeg" not in capsys.readouterr().err
    assert main(["data", "lint", f"coco-edit={folder}"]) == 1
    assert "5 rows, 5 usable" in capsys.readouterr().out


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
