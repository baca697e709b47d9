"""Classes of third parties: what lacks something is told before anything is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from icd_bench import registry
from icd_bench.cli.app import main
from icd_bench.errors import UnknownName, UsageError

LINES = """
from icd_bench.api import BenchmarkInfo, Method, MethodInfo, MetricInfo, Setting

METHOD = MethodInfo(name="x", version="1", title="t", paper="p")

class Sound:
    info = METHOD
    Setting = Setting
    def invert(self, backbone, batch, setting): ...
    def edit(self, backbone, batch, inversion, settings): ...

class WithOptions(Sound):
    def __init__(self, strength=1): ...

class WithoutInfo(Sound):
    info = None

class Empty: ...

class WithoutSetting:
    info = METHOD
    def invert(self, backbone, batch, setting): ...
    def edit(self, backbone, batch, inversion, settings): ...

class Protocolled(Method):
    def invert(self, backbone, batch, setting): ...

class OtherSetting(Sound):
    Setting = dict

class NeedsArgument(Sound):
    def __init__(self, strength): ...

class Raises(Sound):
    def __init__(self): raise ValueError("no luck today")

def function(): ...

class Bench:
    info = BenchmarkInfo(name="b", title="t", licence="l", source="s", size="1", how_to_get="h")
    def samples(self): ...

class Metric:
    info = MetricInfo(name="m", title="t", direction="higher", unit="", citation="")
    def load(self, device="cpu"): ...
    def signature(self): ...
    def score(self, batch): ...

class SetMetric(Metric):
    score = property()
    enough = 2
    def features(self, images): ...
    def distance(self, edited, sources): ...

class Scoreless:
    info = Metric.info
    def load(self, device="cpu"): ...
    def signature(self): ...
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(LINES)
    return path


@pytest.mark.parametrize("kind", ["methods", "benchmarks", "metrics"])
def test_every_built_in_class_has_what_its_kind_must_have(kind: str) -> None:
    known = getattr(registry, kind)
    assert all(isinstance(known.load(name), type) for name in known.names())


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("methods", "Sound"),
        ("methods", "WithOptions"),
        ("benchmarks", "Bench"),
        ("metrics", "Metric"),
        ("metrics", "SetMetric"),
    ],
)
def test_a_sound_class_is_loaded(kind: str, name: str, file: Path) -> None:
    assert getattr(registry, kind).load(f"{file}:{name}").__name__ == name


@pytest.mark.parametrize(
    ("kind", "name", "problem"),
    [
        ("methods", "Empty", "the class Empty has no info, Setting, invert, edit"),
        ("methods", "WithoutInfo", "info of the class WithoutInfo is no MethodInfo"),
        ("methods", "WithoutSetting", "the class WithoutSetting has no Setting"),
        ("methods", "Protocolled", "the class Protocolled has no info, Setting"),
        ("methods", "OtherSetting", "Setting of the class OtherSetting is no subclass"),
        ("methods", "NeedsArgument", "missing a required argument: 'strength'"),
        ("methods", "function", "it is no class, but a function"),
        ("methods", "METHOD", "it is no class, but a MethodInfo"),
        ("methods", "Bench", "the class Bench has no Setting, invert, edit"),
        ("benchmarks", "Empty", "the class Empty has no info, samples"),
        ("benchmarks", "Metric", "the class Metric has no samples"),
        ("metrics", "Scoreless", "the class Scoreless has no score"),
        ("metrics", "Bench", "the class Bench has no load, signature, score"),
    ],
)
def test_what_a_class_lacks_is_told(kind: str, name: str, problem: str, file: Path) -> None:
    known = getattr(registry, kind)
    with pytest.raises(UsageError) as error:
        known.load(f"{file}:{name}")
    assert f'{known.kind} "{file}:{name}" cannot be used: ' in str(error.value)
    assert problem in str(error.value)


def test_a_file_without_a_class_name_lists_the_classes_that_fit(file: Path) -> None:
    with pytest.raises(UsageError) as error:
        registry.methods.load(str(file))
    assert f"Write {file}:Class. It has: Sound, WithOptions, Raises." in str(error.value)
    with pytest.raises(UsageError, match=r"It has: Bench\."):
        registry.benchmarks.load(str(file))
    with pytest.raises(UnknownName, match='Did you mean "Sound"'):
        registry.methods.load(f"{file}:Sond")


def test_a_file_is_run_once(tmp_path: Path) -> None:
    file = tmp_path / "counting.py"
    file.write_text(LINES + "\nopen(__file__ + '.ran', 'a').write('x')\n")
    assert registry.methods.load(f"{file}:Sound") is registry.methods.load(f"{file}:Sound")
    registry.metrics.load(f"{file}:Metric")
    assert (tmp_path / "counting.py.ran").read_text() == "x"


def test_a_benchmark_that_is_installed_takes_a_folder_and_a_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = tmp_path / "other-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(
        "[icd_bench.benchmarks]\naaa = other_benchmarks:Bench\n"
    )
    (tmp_path / "other_benchmarks.py").write_text(LINES)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError, match=r"Bench\(location=None, split=None\) cannot be called"):
        registry.benchmarks.load("aaa")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (":Empty", "has no info, Setting, invert, edit"),
        (":NeedsArgument", "'strength'"),
        (":Raises", "cannot be made: ValueError: no luck today"),
        (":function", "no class"),
        ("", "Sound"),
    ],
)
@pytest.mark.parametrize(
    "command", [("check-method",), ("run", "--no-anchors", "--bench", "scenes", "--method")]
)
def test_the_command_line_says_it_in_one_line(
    command: tuple[str, ...],
    name: str,
    problem: str,
    file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*command, f"{file}{name}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(file) in line
    assert problem in line
