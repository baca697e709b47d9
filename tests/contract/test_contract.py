"""The checks that anybody can run on a method: what is sound passes, what is not fails."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from icd_bench import registry
from icd_bench.cli.app import main
from icd_bench.contract import CHECKS, Subject, check_method
from icd_bench.contract.subject import neighbours
from icd_bench.errors import BadSetting
from icd_bench.models import find_model

BROKEN = Path(__file__).with_name("broken.py")
PUSH = Path(__file__).parents[1] / "plugin" / "icd_bench_example" / "push.py"


@pytest.fixture(scope="module")
def sound() -> Subject:
    return Subject.load(f"{BROKEN}:Sound", samples=2)


def broken(sound: Subject, name: str) -> dict[str, str]:
    """Promise -> how a method of ``broken.py`` breaks it."""
    reference = f"{BROKEN}:{name}"
    method = registry.methods.load(reference)()
    subject = replace(sound, reference=reference, method=method)
    return {f.name: f.detail for f in check_method(subject) if not f.kept}


def test_a_sound_method_keeps_every_promise(sound: Subject) -> None:
    findings = list(check_method(sound))
    assert [f.name for f in findings] == list(CHECKS)
    assert [(f.name, f.detail) for f in findings if not f.kept] == []


@pytest.mark.parametrize(
    ("name", "promise", "words"),
    [
        ("GlobalNoise", "determinism", "batch.seeds"),
        ("GlobalNoise", "seeds", "global"),
        ("Entangled", "batch invariance", "differ by"),
        ("EntangledSettings", "sweep invariance", "differ by"),
        ("Recalling", "threads", "keep nothing of a call"),
        ("OutOfRange", "size", "[0, 1]"),
        ("WrongSize", "size", "images are"),
        ("Forgetful", "stored inversion", "1 rows for 2 samples"),
        ("Greedy", "shared inversion", "inversion_field"),
        ("Miscounting", "counted rows", "the backbone counted 2"),
        ("SilentCopy", "no silent copy", "without a warning"),
        ("Raising", "size", "no luck today"),
        ("Undeclared", "declared", "info.title is empty"),
    ],
)
def test_a_broken_promise_is_found_and_told(
    name: str, promise: str, words: str, sound: Subject
) -> None:
    assert words in broken(sound, name)[promise]


def test_a_changed_weight_is_found() -> None:
    subject = Subject.load(f"{BROKEN}:Untidy", samples=2)
    found = {f.name: f.detail for f in check_method(subject) if not f.kept}
    assert "weights" in found["tidiness"]


def test_torch_at_import_is_found(sound: Subject, tmp_path: Path) -> None:
    file = tmp_path / "heavy.py"
    lines = BROKEN.read_text().replace("from collections", "import torch\nfrom collections", 1)
    file.write_text(lines)
    reference = f"{file}:Sound"
    subject = replace(sound, reference=reference, method=registry.methods.load(reference)())
    found = {f.name: f.detail for f in check_method(subject) if not f.kept}
    assert list(found) == ["light import"]
    assert "inside functions" in found["light import"]


def test_an_impossible_sweep_is_told_as_such() -> None:
    class Wrong(registry.methods.load(f"{BROKEN}:Sound")):  # type: ignore[misc]
        pass

    Wrong.info = replace(Wrong.info, sweep={"strength": (2.0,)})
    with pytest.raises(BadSetting, match="declared sweep of sound"):
        neighbours(Wrong(), find_model("scenes"))


def test_the_example_of_the_guide_keeps_every_promise(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sets = ["--set", "steps=4", "--set", "noised=2"]
    code = main(["check-method", f"{PUSH}:Push", *sets, "--samples", "2", "--json"])
    findings = json.loads(capsys.readouterr().out)
    assert code == 0, findings
    (rows,) = [f["detail"] for f in findings if f["name"] == "counted rows"]
    assert rows == "0 + 0 + 4 a setting"


def test_a_broken_method_ends_the_command_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-method", f"{BROKEN}:SilentCopy", "--samples", "2"]) == 1
    out = capsys.readouterr().out
    assert "BROKEN  no silent copy" in out
    assert "13 of 14 promises kept" in out


def test_an_unknown_method_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-method", "ddmi"]) == 2
    assert 'Did you mean "ddim"?' in capsys.readouterr().err
