"""The audit of the pinned versions says what it found, and never that all is well unseen."""

from __future__ import annotations

import importlib.util
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / ".ci" / "audit"
SOUND = {"name": "numpy", "version": "2.4.6", "vulns": []}
UNKNOWN = {"name": "torch", "skip_reason": "Dependency not found on PyPI"}
BROKEN = {
    "name": "pillow",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-2099-1", "fix_versions": ["13.0.1"]}],
}


@pytest.fixture
def audit() -> Any:
    loader = SourceFileLoader("audit", str(PROGRAM))
    spec = importlib.util.spec_from_loader("audit", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_a_vulnerability_fails_and_is_named(audit: Any) -> None:
    code, lines = audit.judge([SOUND, BROKEN, UNKNOWN])
    assert code == 1
    assert lines[0] == "pillow 1.0: PYSEC-2099-1: mended in 13.0.1"
    assert "not looked up: torch" in lines


def test_nothing_known_passes(audit: Any) -> None:
    assert audit.judge([SOUND]) == (0, ["audit: 1 of 1 packages, 0 vulnerable"])


def test_an_audit_that_did_not_happen_says_so(audit: Any) -> None:
    for found in ([UNKNOWN, UNKNOWN], []):
        code, (line,) = audit.judge(found)
        assert code == 0
        assert "AUDIT NOT RUN" in line


@pytest.mark.parametrize(
    ("stdout", "stderr", "code", "said"),
    [
        ("", "requests.exceptions.ConnectionError: no route", 0, "AUDIT NOT RUN"),
        ("", "No module named pip_audit", 2, "does not work"),
        ("", "", 2, "it printed nothing"),
        ('{"dependencies": [], "fixes": []}', "", 0, "AUDIT NOT RUN"),
    ],
)
def test_outcomes_of_the_program(
    audit: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stdout: str,
    stderr: str,
    code: int,
    said: str,
) -> None:
    done = audit.subprocess.CompletedProcess([], 0, stdout, stderr)
    monkeypatch.setattr(audit.subprocess, "run", lambda *args, **options: done)
    assert audit.main() == code
    assert said in capsys.readouterr().out
