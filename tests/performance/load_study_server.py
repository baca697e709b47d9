"""Simulated raters at a study's server, all at once: errors and latency.

``python tests/performance/load_study_server.py [RATERS] [SECONDS]`` makes a study of a small run,
serves it and prints a JSON line. A rater opens the page, looks at the pictures of each pair and
answers after about a second. Exit code 1: an error, or the 95th percentile is 200 ms or more.
"""

from __future__ import annotations

import json
import random
import socket
import sqlite3
import sys
import tempfile
import threading
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "reports/study"))

from study_runs import make_study
from test_study_server import Served, serving

from icd_bench.reports.study.design import Study

LOOKS_FOR = 1.0
"""Mean seconds of a rater's answer: about eight times as fast as people."""
LONGEST_LOOK = 4.0
"""The server closes a connection that nothing came over for five seconds."""
LIMIT = 0.2


def main(raters: int = 50, seconds: float = 60.0) -> int:
    """Run the load test."""
    with tempfile.TemporaryDirectory() as folder:
        votes = max(1, raters // 5)
        study = make_study(Path(folder), pictures=120, raters=raters, votes_per_pair=votes)
        took: list[float] = []
        failed: list[str] = []
        with serving(study, _free_port()) as served:
            until = time.monotonic() + seconds
            threads = [
                threading.Thread(target=_rate, args=(served, study, rater, until, took, failed))
                for rater in study.bundle.lists
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        stored = sqlite3.connect(study.folder / "answers.sqlite").execute(
            "SELECT count(*), count(DISTINCT task) FROM answers"
        )
        answers, tasks = stored.fetchone()
    took.sort()
    p95 = took[int(0.95 * len(took))]
    measured = {
        "raters": raters,
        "seconds": seconds,
        "requests": len(took),
        "answers": answers,
        "errors": len(failed),
        "median_ms": round(1000 * took[len(took) // 2], 1),
        "p95_ms": round(1000 * p95, 1),
        "max_ms": round(1000 * took[-1], 1),
    }
    print(json.dumps(measured))
    for line in sorted(set(failed))[:5]:
        print(line, file=sys.stderr)
    return int(bool(failed) or answers != tasks or p95 >= LIMIT)


def _rate(
    served: Served, study: Study, rater: str, until: float, took: list[float], failed: list[str]
) -> None:
    generator = random.Random(rater)
    connection = HTTPConnection("127.0.0.1", served.port, timeout=20)
    root = f"/s/{served.token[rater]}"

    def ask(method: str, path: str, body: str | None = None) -> None:
        began = time.perf_counter()
        headers = {"Content-Type": "application/json"} if body else {}
        try:
            connection.request(method, path, body, headers)
            reply = connection.getresponse()
            reply.read()
        except (OSError, HTTPException) as error:
            failed.append(f"{type(error).__name__} {method} {path[:8]}")
            connection.close()
            return
        took.append(time.perf_counter() - began)
        if reply.status != 200:
            failed.append(f"{reply.status} {method} {path[:8]}")

    time.sleep(generator.random() * LOOKS_FOR)
    ask("GET", root)
    for number, task in enumerate(study.bundle.lists[rater]):
        if time.monotonic() > until:
            return
        for name in study.bundle.tasks[task].pictures:
            ask("GET", f"{root}/pictures/{name}")
        time.sleep(min(generator.expovariate(1 / LOOKS_FOR), LONGEST_LOOK))
        answer = {
            "answer": f"{rater}-{number:06d}",
            "task": task,
            "question": "overall",
            "outcome": generator.choice(("left", "right", "tie")),
            "seconds": LOOKS_FOR,
        }
        ask("POST", f"{root}/answers", json.dumps(answer))


def _free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return int(place.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main(*(int(word) for word in sys.argv[1:])))
