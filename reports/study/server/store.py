"""Answers in SQLite: on the disk when a call returns, none lost, none doubled.

Answers are only ever added. What a rater says of a task is the last answer to each question; a
withdrawn one leaves the question open.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from icd_bench.errors import UsageError
from icd_bench.reports.study.bundle import Bundle
from icd_bench.reports.study.votes import OUTCOMES

ANSWERS: Final = "answers.sqlite"
WITHDRAWN: Final = "withdrawn"
IDLE: Final = timedelta(hours=2)
"""A rater who has not answered for so long leaves open pairs to others."""
HANDFUL: Final = 10
"""Pairs that are handed over at once."""

UNTOUCHED: Final = "NOT EXISTS (SELECT 1 FROM answers WHERE task = t.task)"
"""Of a task ``t``: nobody has answered anything about it."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS study (name TEXT NOT NULL, opened TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tasks (
  task TEXT PRIMARY KEY, pair TEXT NOT NULL, rater TEXT NOT NULL, place INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS tasks_of_rater ON tasks (rater, place);
CREATE TABLE IF NOT EXISTS answers (
  number INTEGER PRIMARY KEY AUTOINCREMENT, answer TEXT NOT NULL UNIQUE, task TEXT NOT NULL,
  question TEXT NOT NULL, rater TEXT NOT NULL, outcome TEXT NOT NULL, seconds REAL NOT NULL,
  at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS answers_of_task ON answers (task, question, number);
CREATE VIEW IF NOT EXISTS current AS
  SELECT * FROM answers AS a WHERE outcome != 'withdrawn' AND number = (
    SELECT max(number) FROM answers WHERE task = a.task AND question = a.question
  );
"""


class Refused(Exception):
    """An answer that this study cannot take; the message is for the rater's page."""


@dataclass(frozen=True)
class RaterProgress:
    """How far a rater is."""

    rater: str
    done: int
    """Tasks with all questions answered."""
    total: int
    last: str
    """Time of the last answer (ISO 8601, UTC); empty where there is none."""


class AnswerStore:
    """The answers of one study; safe to use from several threads."""

    def __init__(self, path: Path, bundle: Bundle) -> None:
        """Open or make the file.

        Raises:
            UsageError: the file belongs to another study, or is no database.
        """
        self.bundle = bundle
        self._questions = {question.id for question in bundle.questions}
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA busy_timeout=5000")
            self._db.executescript(SCHEMA)
            self._take_up(path)
        except sqlite3.DatabaseError as error:
            raise UsageError(f"{path}: cannot keep the answers ({error})") from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def tasks_of(self, rater: str) -> list[str]:
        """Return a rater's tasks in order."""
        rows = self._read("SELECT task FROM tasks WHERE rater = ? ORDER BY place", rater)
        return [row["task"] for row in rows]

    def answers_of(self, rater: str) -> list[dict[str, Any]]:
        """Return a rater's current answers, in the order in which they were given."""
        rows = self._read(
            "SELECT answer, c.task, question, outcome, seconds, at FROM current AS c "
            "JOIN tasks USING (task) WHERE tasks.rater = ? ORDER BY number",
            rater,
        )
        return [dict(row) for row in rows]

    def record(self, rater: str, answer: dict[str, Any]) -> None:
        """Store an answer; one that is there already is stored once.

        Raises:
            Refused: unknown task, question or outcome, or the task is another rater's.
        """
        name, task, question = (str(answer.get(key, "")) for key in ("answer", "task", "question"))
        outcome, seconds = answer.get("outcome"), answer.get("seconds")
        if not 8 <= len(name) <= 64:
            raise Refused("an answer needs a name of its own")
        if question not in self._questions:
            raise Refused("there is no such question")
        if outcome not in (*OUTCOMES, WITHDRAWN):
            raise Refused("there is no such outcome")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise Refused("seconds is not a number")
        if not 0 <= seconds < 1e6:
            raise Refused("seconds is out of range")
        with self._writing() as db:
            row = db.execute("SELECT rater FROM tasks WHERE task = ?", (task,)).fetchone()
            if row is None or row["rater"] != rater:
                raise Refused("this pair is not, or no more, on your list")
            db.execute(
                "INSERT INTO answers (answer, task, question, rater, outcome, seconds, at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (answer) DO NOTHING",
                (name, task, question, rater, outcome, float(seconds), _now()),
            )

    def hand_over(self, rater: str, idle: timedelta = IDLE) -> int:
        """Give a rater up to ``HANDFUL`` untouched tasks of raters who have been idle.

        Only of pairs that the rater has not on the list. Returns how many.
        """
        since = (datetime.now(UTC) - idle).isoformat(timespec="milliseconds")
        with self._writing() as db:
            rows = db.execute(
                "SELECT task, min(pair) AS pair FROM tasks AS t WHERE rater != :rater "
                f"AND {UNTOUCHED} "
                "AND coalesce((SELECT max(at) FROM answers WHERE rater = t.rater), "
                "             (SELECT opened FROM study)) < :since "
                "AND pair NOT IN (SELECT pair FROM tasks WHERE rater = :rater) "
                "GROUP BY pair ORDER BY place LIMIT :handful",
                {"rater": rater, "since": since, "handful": HANDFUL},
            ).fetchall()
            place = db.execute("SELECT coalesce(max(place), 0) FROM tasks").fetchone()[0]
            db.executemany(
                "UPDATE tasks SET rater = ?, place = ? WHERE task = ?",
                [(rater, place + number, row["task"]) for number, row in enumerate(rows, start=1)],
            )
        return len(rows)

    def reassign(self, rater: str) -> int:
        """Give all untouched tasks of a rater to the others; return how many were taken.

        Each goes to whoever has least to do and has not its pair; where nobody is, it stays.

        Raises:
            Refused: there is no such rater.
        """
        if rater not in self.bundle.lists:
            raise Refused("there is no such rater")
        with self._writing() as db:
            tasks = db.execute(
                f"SELECT task, pair FROM tasks AS t WHERE rater = ? AND {UNTOUCHED} ORDER BY place",
                (rater,),
            ).fetchall()
            place = db.execute("SELECT coalesce(max(place), 0) FROM tasks").fetchone()[0]
            load = {name: 0 for name in self.bundle.lists if name != rater}
            load |= dict(
                db.execute(
                    f"SELECT rater, count(*) FROM tasks AS t WHERE rater != ? AND {UNTOUCHED} "
                    "GROUP BY rater",
                    (rater,),
                ).fetchall()
            )
            moved = 0
            for row in tasks:
                having = db.execute("SELECT rater FROM tasks WHERE pair = ?", (row["pair"],))
                free = load.keys() - {name for (name,) in having}
                if free:
                    taker = min(free, key=lambda name: (load[name], name))
                    load[taker] += 1
                    moved += 1
                    db.execute(
                        "UPDATE tasks SET rater = ?, place = ? WHERE task = ?",
                        (taker, place + moved, row["task"]),
                    )
        return moved

    def progress(self) -> list[RaterProgress]:
        """Return how far each rater is, those too who have no task any more."""
        answered = (
            "SELECT task FROM current GROUP BY task HAVING count(*) = ?"  # one row a question
        )
        rows = self._read(
            "SELECT rater, count(*) AS total, "
            f"count(CASE WHEN task IN ({answered}) THEN 1 END) AS done, "
            "coalesce((SELECT max(at) FROM answers WHERE rater = tasks.rater), '') AS last "
            "FROM tasks GROUP BY rater ORDER BY rater",
            len(self._questions),
        )
        known = {
            row["rater"]: RaterProgress(row["rater"], row["done"], row["total"], row["last"])
            for row in rows
        }
        return [known.get(rater, RaterProgress(rater, 0, 0, "")) for rater in self.bundle.lists]

    def pair_counts(self) -> dict[int, int]:
        """Return how many pairs have how many judgements (tasks answered in full)."""
        rows = self._read(
            "SELECT votes, count(*) AS pairs FROM (SELECT count(done.task) AS votes FROM tasks "
            "LEFT JOIN (SELECT task FROM current GROUP BY task HAVING count(*) = ?) AS done "
            "USING (task) GROUP BY pair) GROUP BY votes ORDER BY votes",
            len(self._questions),
        )
        return {row["votes"]: row["pairs"] for row in rows}

    def all_answers(self) -> list[dict[str, Any]]:
        """Return all current answers with their number and rater."""
        rows = self._read(
            "SELECT number, task, question, rater, outcome, seconds FROM current ORDER BY number"
        )
        return [dict(row) for row in rows]

    def _take_up(self, path: Path) -> None:
        with self._writing() as db:
            row = db.execute("SELECT name FROM study").fetchone()
            if row is None:
                db.execute("INSERT INTO study VALUES (?, ?)", (self.bundle.study, _now()))
            elif row["name"] != self.bundle.study:
                raise UsageError(f"{path}: holds the answers of another study, {row['name']}")
            db.executemany(
                "INSERT INTO tasks VALUES (?, ?, ?, ?) ON CONFLICT (task) DO NOTHING",
                [
                    (task, _pair(self.bundle, task), rater, place)
                    for rater, tasks in self.bundle.lists.items()
                    for place, task in enumerate(tasks)
                ],
            )

    def _read(self, query: str, *values: object) -> list[sqlite3.Row]:
        with self._lock:
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")


def _pair(bundle: Bundle, task: str) -> str:
    """Name a pair by its pictures: the same for both sides, and for nobody a method."""
    return "-".join(sorted((bundle.tasks[task].left, bundle.tasks[task].right)))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
