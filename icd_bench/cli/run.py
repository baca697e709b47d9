"""``icd-bench run``: edit benchmarks with some methods and score the edits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .output import say
from .request import takes_requests
from .table import print_table

if TYPE_CHECKING:
    from icd_bench.run import RunRequest

SOME_CELLS_FAILED = 1


@takes_requests
def run(requests: tuple[RunRequest, ...]) -> int:
    """Edit a benchmark, score the edits and print the table; or all that a suite file names.

    The same command goes on where it was interrupted; what is done is not done again.
    """
    from icd_bench.run import execute, make_plan

    for request in requests[1:]:  # what a later one lacks shall be known before the first begins
        make_plan(request)
    summaries = [execute(request) for request in requests]
    print_table([summary.path for summary in summaries], "rich")
    print()
    for summary in summaries:
        print(f"results  {summary.path / 'results.parquet'}")
        print(f"pictures {summary.path / 'images'}")
    failed = sum(summary.failed for summary in summaries)
    if failed:
        say(f"{failed} edits failed; the same command tries them again")
        return SOME_CELLS_FAILED
    return 0
