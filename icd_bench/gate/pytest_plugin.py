"""A pytest fixture that checks a method against a committed baseline.

::

    def test_my_method_is_no_worse(icd_bench_check):
        icd_bench_check(
            "baselines/mine.json", methods=("./mine.py:Mine",), benchmark="scenes", subset="ci"
        )

The run lies in pytest's cache, so a second test run computes only what has changed. With
``pytest --icd-bench-update`` the baseline is made or renewed instead. Loading the plugin imports
nothing but pytest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from icd_bench.gate.compare import Comparison

OPTION = "--icd-bench-update"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that renews baselines."""
    parser.getgroup("icd-bench").addoption(
        OPTION,
        action="store_true",
        help="write the baselines of icd_bench_check from the present results",
    )


@dataclass(frozen=True)
class BaselineCheck:
    """Runs a benchmark, or takes a finished run, and compares it with a baseline file."""

    root: Path
    """Where baselines are looked for, and methods given as files."""
    runs: Path
    """Where run folders are kept."""
    update: bool

    def __call__(
        self,
        baseline: str | Path,
        run: str | Path | None = None,
        allow_inconclusive: bool = False,
        **request: Any,
    ) -> Comparison | None:
        """Fail the test unless the run is no worse than the baseline.

        Args:
            baseline: file, relative to pytest's root folder.
            run: a finished run folder; None: run what ``request`` says.
            allow_inconclusive: pass as well where nothing can be claimed.
            **request: fields of :class:`icd_bench.run.RunRequest`.

        Returns:
            What was found; None where the baseline was written instead.
        """
        from icd_bench.gate.baseline import read_baseline
        from icd_bench.gate.compare import compare
        from icd_bench.gate.formats import to_markdown
        from icd_bench.gate.measure import measure

        path = self.root / baseline
        folder = self.root / run if run is not None else self._run(request)
        measured = measure(folder)
        if self.update:
            from icd_bench.gate.renew import make_baseline, renew_baseline

            write = renew_baseline if path.exists() else make_baseline
            write(path, measured)
            return None
        found = compare(read_baseline(path), measured)
        if found.verdict == "fail" or (found.verdict != "pass" and not allow_inconclusive):
            pytest.fail(
                f"{to_markdown(found)}\nrun: {folder}\nbaseline: {path} (renew it with "
                f"pytest {OPTION})",
                pytrace=False,
            )
        return found

    def _run(self, request: dict[str, Any]) -> Path:
        from icd_bench.run import RunRequest, execute
        from icd_bench.run.progress import QuietProgress

        name = sha256(repr(sorted(request.items())).encode()).hexdigest()[:12]
        return execute(RunRequest(**{"out": self.runs / name, **request}), QuietProgress()).path


@pytest.fixture
def icd_bench_check(request: pytest.FixtureRequest) -> Callable[..., Comparison | None]:
    """Return a function that checks a method against a baseline; see :class:`BaselineCheck`."""
    cache = request.config.cache
    runs = Path(cache.mkdir("icd-bench")) if cache else request.config.rootpath / ".icd-bench"
    return BaselineCheck(request.config.rootpath, runs, bool(request.config.getoption(OPTION)))
