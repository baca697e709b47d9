"""What the command line says, and with which exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from icd_bench.cli import app
from icd_bench.cli.app import main
from icd_bench.errors import MissingWeights

HEAVY = ("torch", "pandas", "transformers", "diffusers", "matplotlib", "rich", "scipy", "lpips")


def outcome(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, Sequence[str]]:
    """Return exit code, standard output and the lines of standard error."""
    code = main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err.splitlines()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["list", "methods"],
        ["list", "benchmarks"],
        ["list", "metrics", "--json"],
        ["list", "models"],
        ["plan", "--method", "icd,npi", "--bench", "scenes", "--limit", "2", "--no-measure"],
        ["cache", "info"],
        ["lst"],
    ],
)
def test_light_commands_import_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys; from icd_bench.cli.app import main; main(sys.argv[1:]);"
        f"sys.exit(', '.join(name for name in {HEAVY} if name in sys.modules) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, errors = outcome(capsys)
    assert (code, errors) == (0, [])
    for command in ("list", "run", "edit", "table", "train", "doctor"):
        assert f"\n  {command} " in out


def test_a_group_alone_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, errors = outcome(capsys, "train")
    assert (code, errors) == (0, [])
    assert "\n  scenes " in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = outcome(capsys, "--version")
    assert code == 0
    assert out.startswith("icd-bench 0.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu"], "Did you mean 'run'?"),
        (["train", "scnes"], "Did you mean 'scenes'?"),
        (["list", "method"], 'Did you mean "methods"?'),
        (["run", "--methd", "icd"], 'Did you mean "--method"?'),
        (["table", "--formt", "md"], 'Did you mean "--format"?'),
        (["table", "--format", "latx"], 'Did you mean "latex"?'),
        (["run", "--method", "idntity", "--bench", "scenes"], 'Did you mean "identity"?'),
        (["run", "--method", "identity", "--bench", "scene"], 'Did you mean "scenes"?'),
        (["run", "-m", "identity", "-b", "scenes", "--model", "scene"], 'Did you mean "scenes"?'),
        (["run", "-m", "icd", "-b", "scenes", "--set", "amplfy=2"], 'Did you mean "amplify"?'),
        (["run", "-m", "identity", "-b", "scenes", "--metrics", "pnsr"], 'Did you mean "psnr"?'),
        (["run", "-m", "icd", "-b", "scenes", "--dtype", "float61"], 'Did you mean "float16"?'),
        (["run", "-m", "icd", "-b", "scenes", "--device", "cuda:99"], "not on this machine"),
        (["run", "-m", "icd", "-b", "scenes", "--device", "gpu"], "not on this machine"),
        (["run", "--method", "identity"], "Missing option '--bench'"),
        (["run", "none.yaml"], "there is no such suite file"),
        (["run", "none.yaml", "--method", "icd"], "a suite says what to run"),
        (["run", "-m", "icd", "-b", "scenes", "--engine", "rya"], 'Did you mean "ray"?'),
        (["run", "-m", "icd", "-b", "scenes", "--workers", "2"], "inline has none"),
        (["run", "-m", "icd", "-b", "scenes", "--ray-address", "x"], "it is for --engine ray"),
        (["plan", "-m", "icd", "-b", "scenes", "--cache-size", "much"], "20GB, 500MB"),
        (["plan", "-m", "icd", "-b", "scenes", "--preset", "papr"], 'Did you mean "paper"?'),
        (["run", "-m", "identity", "-b", "scenes", "--limit", "x"], "--limit"),
        (["run", "-m", "identity", "-b", "scenes", "--limit", "0"], "at least 1"),
        (["run", "-m", "identity", "-b", "./nowhere/"], "no such folder"),
        (["edit", "none.png", "--source", "a", "--target", "b", "--out", "x.png"], "none.png"),
        (["table", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_one_line_and_code_2(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, errors = outcome(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert len(errors) == 1
    assert errors[0].startswith("icd-bench: ")
    assert message in errors[0]
    assert list(tmp_path.iterdir()) == []


def failing(error: BaseException) -> object:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (MissingWeights("no weights\nhere"), 2, "no weights here"),
        (OSError(28, "No space left on device", "runs/x"), 2, "No space left on device: 'runs/x'"),
        (KeyError("x"), 70, "internal error: KeyError: 'x' (at "),
        (KeyboardInterrupt(), 130, "interrupted; what was finished is kept"),
    ],
)
def test_errors_inside_a_command(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    message: str,
) -> None:
    monkeypatch.delenv(app.DEBUG_VARIABLE, raising=False)
    monkeypatch.setattr("icd_bench.cli.doctor.examine_machine", failing(error))
    found, _, errors = outcome(capsys, "doctor")
    assert found == code
    assert len(errors) == 1
    assert message in errors[0]


@pytest.mark.parametrize("how", ["option", "variable"])
def test_tracebacks_on_demand(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("icd_bench.cli.doctor.examine_machine", failing(KeyError("x")))
    monkeypatch.setenv(app.DEBUG_VARIABLE, "1" if how == "variable" else "0")
    option = ["--debug"] if how == "option" else []
    code, _, errors = outcome(capsys, *option, "doctor")
    assert code == 70
    assert "Traceback" in errors[0]


def test_a_closed_pipe_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m icd_bench list metrics --json | head -n 1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "[\n"
    assert done.stderr == ""


# --------------------------------------------------------------------------- list and doctor


@pytest.mark.parametrize(
    ("kind", "name"),
    [("methods", "icd"), ("benchmarks", "scenes"), ("metrics", "psnr"), ("models", "sd15")],
)
def test_list(capsys: pytest.CaptureFixture[str], kind: str, name: str) -> None:
    code, out, errors = outcome(capsys, "list", kind)
    assert (code, errors) == (0, [])
    assert f"\n{name} " in out
    code, out, errors = outcome(capsys, "list", kind, "--json")
    assert (code, errors) == (0, [])
    (card,) = (card for card in json.loads(out) if card["name"] == name)
    assert card["title"]


def test_list_methods_json_describes_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = outcome(capsys, "list", "methods", "--json")
    for card in json.loads(out):
        for field in card["setting"].values():
            assert field["description"]


def test_a_broken_plugin_is_reported_and_breaks_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = tmp_path / "broken-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(
        "[icd_bench.methods]\naaa = no_such_module:Method\nbbb = json:JSONDecoder\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    code, out, errors = outcome(capsys, "list", "methods")
    assert code == 0
    assert "\nicd " in out
    assert 'method "aaa" (no_such_module:Method) cannot be loaded' in errors[0]
    assert 'method "bbb" (json:JSONDecoder) cannot be used' in errors[1]
    _, out, _ = outcome(capsys, "doctor", "--json")
    (part,) = (part for part in json.loads(out)["parts"] if part["name"] == "aaa")
    assert "cannot be loaded" in part["missing"][0]


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, errors = outcome(capsys, "doctor", "--json")
    assert (code, errors) == (0, [])
    report = json.loads(out)
    assert report["versions"]["torch"] != "not installed"
    assert report["machine"]["processors"] >= 1
    names = {(part["kind"], part["name"]) for part in report["parts"]}
    assert {("model", "scenes"), ("metric", "lpips_alex"), ("method", "icd")} <= names
    code, out, errors = outcome(capsys, "doctor")
    assert (code, errors) == (0, [])
    assert "accelerator" in out


def test_doctor_says_how_to_get_what_is_missing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    _, out, _ = outcome(capsys, "doctor")
    assert "unet (3.4 GB): hf download stable-diffusion-v1-5/stable-diffusion-v1-5" in out
