from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest
from study_runs import leaks, make_study, secrets_of

from icd_bench.errors import UsageError
from icd_bench.reports.study.commands import import_answers
from icd_bench.reports.study.design import Study
from icd_bench.reports.study.server.app import STATIC
from icd_bench.reports.study.server.limits import RateLimit
from icd_bench.reports.study.server.store import AnswerStore, Refused

SERVE = "from icd_bench.cli.app import main; raise SystemExit(main())"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return make_study(tmp_path_factory.mktemp("server"))


@pytest.fixture
def store(study: Study, tmp_path: Path) -> Iterator[AnswerStore]:
    kept = AnswerStore(tmp_path / "answers.sqlite", study.bundle)
    yield kept
    kept.close()


def vote(task: str, number: int = 0, outcome: str = "left", **changes: Any) -> dict[str, Any]:
    name = f"answer-{task}-{number}"
    return {
        "answer": name,
        "task": task,
        "question": "overall",
        "outcome": outcome,
        "seconds": 1.5,
    } | changes


# ------------------------------------------------------------------------------- store


def test_an_answer_is_stored_once_and_the_last_one_counts(study: Study, store: AnswerStore) -> None:
    task = study.bundle.lists["rater-01"][0]
    for answer in (vote(task), vote(task), vote(task, 1, "tie"), vote(task)):
        store.record("rater-01", answer)
    assert [(a["task"], a["outcome"]) for a in store.answers_of("rater-01")] == [(task, "tie")]
    store.record("rater-01", vote(task, 2, "withdrawn"))
    assert store.answers_of("rater-01") == []
    assert store.all_answers() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"task": "0" * 20},
        {"question": "beauty"},
        {"outcome": "best"},
        {"seconds": -1},
        {"seconds": True},
        {"seconds": float("nan")},
        {"seconds": "1; DROP TABLE answers"},
        {"answer": ""},
    ],
)
def test_what_the_study_does_not_know_is_refused(
    study: Study, store: AnswerStore, changes: dict[str, Any]
) -> None:
    with pytest.raises(Refused):
        store.record("rater-01", vote(study.bundle.lists["rater-01"][0]) | changes)
    with pytest.raises(Refused, match="list"):
        store.record("rater-02", vote(study.bundle.lists["rater-01"][0]))
    assert store.all_answers() == []


def test_open_pairs_of_idle_raters_go_to_others(study: Study, store: AnswerStore) -> None:
    pair_of = {showing.task: showing.pair_id for showing in study.key.showings}
    answered = study.bundle.lists["rater-02"][0]
    store.record("rater-02", vote(answered))
    assert store.hand_over("rater-01") == 0
    before = store.tasks_of("rater-01")
    got = store.hand_over("rater-01", idle=timedelta(seconds=-5))
    after = store.tasks_of("rater-01")
    assert 0 < got == len(after) - len(before)
    assert after[: len(before)] == before
    new = [pair_of[task] for task in after[len(before) :]]
    assert len(set(new)) == len(new)
    assert not set(new) & {pair_of[task] for task in before}
    assert answered not in after
    everybody = [task for rater in study.bundle.lists for task in store.tasks_of(rater)]
    assert sorted(everybody) == sorted(t for own in study.bundle.lists.values() for t in own)


def test_open_pairs_are_reassigned_by_hand(study: Study, store: AnswerStore) -> None:
    pair_of = {showing.task: showing.pair_id for showing in study.key.showings}
    first, *rest = store.tasks_of("rater-01")
    store.record("rater-01", vote(first))
    before = {rater: store.tasks_of(rater) for rater in study.bundle.lists}
    moved = store.reassign("rater-01")
    kept = store.tasks_of("rater-01")
    assert first in kept
    assert 0 < moved == len(rest) + 1 - len(kept)
    others = [rater for rater in study.bundle.lists if rater != "rater-01"]
    gained = [len(store.tasks_of(rater)) - len(before[rater]) for rater in others]
    assert sum(gained) == moved
    assert max(gained) - min(gained) <= 3
    for rater in others:
        new = store.tasks_of(rater)[len(before[rater]) :]
        old = {pair_of[task] for task in before[rater]}
        assert not {pair_of[task] for task in new} & old
    everybody = [task for rater in study.bundle.lists for task in store.tasks_of(rater)]
    assert sorted(everybody) == sorted(task for own in before.values() for task in own)
    with pytest.raises(Refused, match="no such rater"):
        store.reassign("rater-99")
    assert [entry.rater for entry in store.progress()] == list(study.bundle.lists)


def test_answers_of_another_study_are_not_mixed(study: Study, tmp_path: Path) -> None:
    AnswerStore(tmp_path / "a.sqlite", study.bundle).close()
    other = study.bundle.model_copy(update={"study": "another"})
    with pytest.raises(UsageError, match="another study"):
        AnswerStore(tmp_path / "a.sqlite", other)
    (tmp_path / "b.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(UsageError, match="cannot keep"):
        AnswerStore(tmp_path / "b.sqlite", study.bundle)


def test_progress_counts_pairs_and_raters(study: Study, store: AnswerStore) -> None:
    first, second = study.bundle.lists["rater-03"][:2]
    store.record("rater-03", vote(first))
    store.record("rater-03", vote(second, outcome="skip"))
    store.record("rater-03", vote(second, 1, "withdrawn"))
    progress = {entry.rater: entry for entry in store.progress()}
    assert (progress["rater-03"].done, progress["rater-01"].done) == (1, 0)
    assert progress["rater-03"].total == len(study.bundle.lists["rater-03"])
    assert store.pair_counts()[1] == 1


def test_answers_survive_in_the_strictest_mode(study: Study, store: AnswerStore) -> None:
    assert store._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert store._db.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_a_rate_limit_refills() -> None:
    now = [0.0]
    limit = RateLimit(rate=2, burst=3, clock=lambda: now[0])
    assert [limit.allows("a") for _ in range(4)] == [True, True, True, False]
    assert limit.allows("b")
    now[0] = 0.5
    assert [limit.allows("a"), limit.allows("a")] == [True, False]


# -------------------------------------------------------------------------------- server


class Served:
    """A server in a process of its own, and a way to talk to it."""

    def __init__(self, study: Study, port: int) -> None:
        self.study, self.port = study, port
        words = ["study", "serve", str(study.folder), "--port", str(port)]
        self.process = subprocess.Popen([sys.executable, "-c", SERVE, *words])
        self.token = {rater: study.key.token(rater) for rater in study.bundle.lists}
        deadline = time.monotonic() + 60
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                assert self.ask("GET", "/static/assess.css")[0] == 200
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the server does not start")

    def ask(
        self, method: str, path: str, content: Any = None, kind: str = "application/json"
    ) -> tuple[int, str, dict[str, str]]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        body = content if isinstance(content, str | bytes) else json.dumps(content)
        headers = {"Content-Type": kind} if content is not None else {}
        connection.request(method, path, None if content is None else body, headers)
        reply = connection.getresponse()
        text = reply.read().decode(errors="replace")
        connection.close()
        return reply.status, text, {k.lower(): v for k, v in reply.getheaders()}

    def fetch(self, path: str) -> bytes:
        """Return every byte of an answer, its head included."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(
                f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
            )
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def vote(self, rater: str, answer: dict[str, Any]) -> int:
        return self.ask("POST", f"/s/{self.token[rater]}/answers", answer)[0]

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def serving(study: Study, port: int) -> Iterator[Served]:
    served = Served(study, port)
    try:
        yield served
    finally:
        served.process.kill()
        served.process.wait()


@pytest.fixture
def free_port() -> Callable[[], int]:
    def find() -> int:
        with socket.socket() as place:
            place.bind(("127.0.0.1", 0))
            return int(place.getsockname()[1])

    return find


def test_the_server_gives_nothing_away(tmp_path: Path, free_port: Callable[[], int]) -> None:
    study = make_study(tmp_path)
    with serving(study, free_port()) as served:
        token = served.token["rater-01"]
        status, page, headers = served.ask("GET", f"/s/{token}")
        assert status == 200
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers
        assert '"source_prompt": "a \\u003cb>red' in page
        assert served.token["rater-02"] not in page
        name = study.bundle.tasks[study.bundle.lists["rater-01"][0]].left
        status, _, headers = served.ask("GET", f"/s/{token}/pictures/{name}")
        assert (status, headers["content-type"]) == (200, "image/png")
        for path in (
            f"/s/{token}/pictures/../../../key.json",
            f"/s/{token}/pictures/..%2f..%2f..%2fkey.json",
            f"/s/{token}/pictures/%2e%2e%2f%2e%2e%2fkey.json",
            f"/s/{token}/pictures/{'0' * 20}",
            "/static/../design.py",
            "/static/..%2fdesign.py",
            "/key.json",
            "/",
        ):
            status, text, _ = served.ask("GET", path)
            assert status == 404, path
            assert study.key.secret not in text
        answers = f"/s/{token}/answers"
        task = study.bundle.lists["rater-01"][0]
        assert served.ask("POST", answers, "x" * 5000)[0] == 413
        assert served.ask("POST", answers, "[1]")[0] == 400
        assert served.ask("POST", answers, "{")[0] == 400
        assert served.ask("POST", answers, vote(task), kind="text/plain")[0] == 415
        assert served.ask("GET", answers)[0] == 405
        assert served.vote("rater-02", vote(task)) == 409
        assert served.ask("GET", f"/admin/{token}")[0] == 404
        status, text, _ = served.ask("GET", f"/admin/{study.key.admin_token}/progress")
        assert (status, json.loads(text)["raters"][0]["done"]) == (200, 0)
        reassign = f"/admin/{study.key.admin_token}/reassign"
        assert served.ask("POST", f"/admin/{token}/reassign", {"rater": "rater-01"})[0] == 404
        assert served.ask("POST", reassign, {"rater": "nobody"})[0] == 409
        assert served.ask("POST", reassign, {"rater": "rater-01"}, kind="text/plain")[0] == 415
        status, text, _ = served.ask("POST", reassign, {"rater": "rater-01"})
        assert (status, json.loads(text)["moved"] > 0) == (200, True)
        links = [f"/s/{link}" for link in served.token.values()]
        links += ["/nothing", *(f"/static/{name}" for name in STATIC)]
        shown = {name for task in study.bundle.tasks.values() for name in task.pictures}
        links += [f"/s/{token}/pictures/{name}" for name in sorted(shown)]
        for link in links:
            assert not leaks(served.fetch(link), secrets_of(study)), link
        # The owner's page explains that there are repeats, but does not know more either.
        owners = served.fetch(f"/admin/{study.key.admin_token}")
        assert leaks(owners, secrets_of(study)) == ["repeat"]
        wrong = [served.ask("GET", f"/s/{number:032x}")[0] for number in range(30)]
        assert wrong[0] == 404
        assert wrong[-1] == 429


def test_no_vote_is_lost_or_doubled_when_the_server_is_killed(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    study = make_study(tmp_path)
    port = free_port()
    acknowledged: dict[str, list[str]] = {"rater-01": [], "rater-02": []}
    with serving(study, port) as served:
        started = threading.Event()

        def go_on_voting(rater: str) -> None:
            for task in study.bundle.lists[rater]:
                try:
                    if served.vote(rater, vote(task, outcome="tie")) == 200:
                        acknowledged[rater].append(task)
                except (OSError, HTTPException):
                    return
                if len(acknowledged[rater]) == 3:
                    started.set()

        raters = [threading.Thread(target=go_on_voting, args=(rater,)) for rater in acknowledged]
        for thread in raters:
            thread.start()
        assert started.wait(30)
        time.sleep(random.Random(0).random() * 0.02)
        served.kill()
        for thread in raters:
            thread.join()
    with serving(study, port) as served:
        for rater, kept in acknowledged.items():
            page = served.ask("GET", f"/s/{served.token[rater]}")[1]
            data = json.loads(re.findall(r'id="study">(.*?)</script>', page, re.DOTALL)[0])
            there = [answer["task"] for answer in data["answers"]]
            assert set(kept) <= set(there)
            # Sent again, as a page does that heard no answer: each is there once.
            for task in study.bundle.lists[rater]:
                assert served.vote(rater, vote(task, outcome="tie")) == 200
        served.kill()
    rows = sqlite3.connect(study.folder / "answers.sqlite").execute(
        "SELECT task, count(*) FROM answers GROUP BY task"
    )
    wanted = {task: 1 for rater in acknowledged for task in study.bundle.lists[rater]}
    assert dict(rows.fetchall()) == wanted
    path, votes = import_answers(study.folder, [study.folder / "answers.sqlite"], "server")
    assert path == study.folder / "votes.csv"
    assert len(votes) == len(wanted)
    assert set(votes["outcome"]) == {"tie"}
