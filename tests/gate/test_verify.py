from __future__ import annotations

import json
import shutil
import stat
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from gate_runs import write_run
from PIL import Image

from icd_bench import registry
from icd_bench.api import Setting
from icd_bench.cli.app import main
from icd_bench.errors import CorruptRun, UsageError
from icd_bench.gate import archive, inputs
from icd_bench.gate.archive import export_run, import_run
from icd_bench.gate.inputs import check_inputs
from icd_bench.gate.measure import measure
from icd_bench.gate.verify import verify
from icd_bench.models import find_model
from icd_bench.run.planning.plan import needs_of
from icd_bench.run.planning.rows import open_benchmark, read_rows
from icd_bench.run.storage.records import RunRecords
from icd_bench.run.storage.store import RunFolder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", samples=6)


def test_a_run_is_what_was_stored(run: Path) -> None:
    found = verify(run)
    assert found.findings == ()
    assert found.files == 6 + 6 + 2
    assert not found.unfinished


def test_every_kind_of_file_is_checked(run: Path) -> None:
    victims = [
        path
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name not in ("lock", "run.json")
    ]
    assert len(victims) == 14
    for path in victims:
        data = path.read_bytes()
        path.write_bytes(data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])
        found = verify(run).findings
        assert [one.path for one in found if one.problem in ("changed", "unreadable")]
        path.write_bytes(data)
        assert verify(run).findings == ()
    for path in victims:
        data = path.read_bytes()
        path.unlink()
        relative = path.relative_to(run).as_posix()
        assert relative in {one.path for one in verify(run).findings if one.problem == "missing"}
        path.write_bytes(data)


def test_files_of_unknown_origin_and_unfinished_runs_are_told(run: Path) -> None:
    extra = run / "images" / "zz" / "zz.png"
    extra.parent.mkdir()
    extra.write_bytes(b"")
    assert [one.problem for one in verify(run).findings] == ["unknown"]
    extra.unlink()
    with RunFolder.open(run).writer() as writer:
        writer.record({"kind": "dropped", "cells": []})
    assert verify(run).unfinished
    assert verify(run).findings == ()


def test_a_broken_description_is_found(run: Path) -> None:
    (run / "run.json").write_text("{")
    assert [one.problem for one in verify(run).findings] == ["unreadable"]


def test_the_commands(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(run)]) == 0
    assert main(["export", str(run), "--out", str(tmp_path / "a.zip")]) == 0
    assert main(["import", str(tmp_path / "a.zip"), "--out", str(tmp_path / "there")]) == 0
    capsys.readouterr()
    next((run / "images").rglob("*.png")).write_bytes(b"")
    assert main(["verify", str(run), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["findings"][0]["problem"] == "changed"
    assert main(["verify", str(tmp_path)]) == 2
    assert main(["export", str(run), "--out", str(tmp_path / "a.zip")]) == 2
    assert main(["import", str(tmp_path / "none.zip")]) == 2


# ------------------------------------------------------------------- weights and data


@pytest.fixture
def lpips_run(tmp_path: Path) -> Path:
    """Return a run with scores of LPIPS as it is here."""
    metric = registry.metrics.load("lpips_alex")()
    card = {"direction": "lower", "unit": "", "signature": metric.signature()}
    return write_run(tmp_path / "made", samples=2, metrics={"lpips_alex": card})


def edit_manifest(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((run / "run.json").read_text())
    change(manifest)
    (run / "run.json").write_text(json.dumps(manifest))


def inputs_of(manifest: dict[str, Any], cells: Sequence[dict[str, Any]]) -> list[str]:
    """Return what is said of the inputs of a run with these cells."""
    records = {str(index): SimpleNamespace(**cell) for index, cell in enumerate(cells)}
    found = check_inputs(manifest, cast(RunRecords, SimpleNamespace(cells=records)))
    return [f"{one.name}: {one.change or one.obstacle}" for one in found]


def cell_of(model: str, method: str, setting: Setting) -> dict[str, Any]:
    """Return what is known of a cell, of no sample."""
    return {
        "benchmark": "",
        "split": "",
        "sample_id": "",
        "sample_digest": "",
        "sample_index": 0,
        "model": model,
        "method": method,
        "setting": setting.model_dump(mode="json"),
    }


def test_weights_are_hashed_again() -> None:
    spec, icd = find_model("scenes"), registry.methods.load("icd")
    setting = icd.Setting()
    here = spec.digest(needs_of(icd.info, setting))
    cell = cell_of("scenes", "icd", setting)

    def said(**changes: Any) -> str:
        manifest: dict[str, Any] = {"metrics": {}, "commands": []}
        return inputs_of(manifest, [{**cell, "model_digest": here, **changes}])[0]

    assert said() == "weights of scenes for icd: "
    assert "SHA-256 was 0123, is " in said(model_digest="0123")
    assert "unknown model" in said(model="elsewhere")
    assert "unknown method" in said(method="nobodys")


def test_weights_of_a_pinned_model_are_those_of_its_commits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the newest revision has says nothing of a run that was pinned to another."""

    class Weights:
        def __init__(self, revision: str) -> None:
            self.revision = revision

        def digest(self, needs: object) -> str:
            return f"of {self.revision}"

    monkeypatch.setattr(inputs, "find_model", lambda name: Weights("main"))
    monkeypatch.setattr(inputs, "pinned", lambda spec, pins: Weights(pins))
    cell = cell_of("sd14", "sdedit", registry.methods.load("sdedit").Setting())
    command = {"model": "sd14", "model_commits": {"CompVis/stable-diffusion-v1-4": "a"}}
    manifest = {"metrics": {}, "commands": [command]}

    def said(digest: str) -> str:
        return inputs_of(manifest, [{**cell, "model_digest": digest}])[0]

    here = "weights of sd14 for sdedit: "
    assert said("of main") == said("of CompVis/stable-diffusion-v1-4=a") == here
    assert said("of b") == f"{here}SHA-256 was of b, is of CompVis/stable-diffusion-v1-4=a"


def test_weights_of_metrics_are_hashed_again(lpips_run: Path) -> None:
    assert verify(lpips_run).findings == ()
    other = "lpips|net:alex|weights:0123|v1"
    edit_manifest(lpips_run, lambda m: m["metrics"]["lpips_alex"].update(signature=other))
    (finding,) = verify(lpips_run).findings
    assert (finding.path, finding.problem) == ("weights of metric lpips_alex", "changed")


def test_rows_of_the_benchmark_are_hashed_again(tmp_path: Path) -> None:
    album = tmp_path / "album"
    album.mkdir()
    Image.new("RGB", (8, 8), "red").save(album / "a.png")
    rows = "image,source,target\na.png,a cat,a dog\na.png,a cat,a fox\n"
    (album / "prompts.csv").write_text(rows)
    usable, _ = read_rows(open_benchmark(str(album))[0], None)
    cells = [
        {
            "model": "m",
            "method": "icd",
            "setting": {},
            "model_digest": "",
            "split": "",
            "benchmark": "folder",
            "sample_index": index,
            "sample_id": row.sample_id,
            "sample_digest": row.digest,
        }
        for index, row in enumerate(usable)
    ]
    manifest: dict[str, Any] = {"metrics": {}, "commands": [{"benchmark": str(album)}]}

    def changed() -> list[str]:
        return [line for line in inputs_of(manifest, cells) if line.startswith("data")]

    assert changed() == ["data of folder: "]
    (album / "prompts.csv").write_text(rows.replace("a dog", "a cow"))
    (line,) = changed()
    assert usable[0].sample_id in line
    shutil.rmtree(album)
    (line,) = changed()
    assert "there is no" in line or "no such" in line


# ------------------------------------------------------------------------------ archives


def test_an_exported_run_is_the_same_elsewhere(run: Path, tmp_path: Path) -> None:
    export_run(run, tmp_path / "a.zip")
    export_run(run, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    there = import_run(tmp_path / "a.zip", tmp_path / "there")
    assert there == tmp_path / "there" / "run"
    assert verify(there).findings == ()
    assert measure(there) == measure(run)
    with pytest.raises(UsageError, match="is there already"):
        import_run(tmp_path / "a.zip", tmp_path / "there")


def hostile(path: Path, name: str, kind: int = stat.S_IFREG, data: bytes = b"x") -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("run/run.json", "{}")
        entry = zipfile.ZipInfo("placeholder")
        entry.filename = name
        entry.external_attr = (kind | 0o644) << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        file.writestr(entry, data)
    return path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../evil", stat.S_IFREG),
        ("run/../../evil", stat.S_IFREG),
        ("/tmp/evil", stat.S_IFREG),
        ("run\\..\\..\\evil", stat.S_IFREG),
        ("C:evil", stat.S_IFREG),
        ("run/link", stat.S_IFLNK),
        ("run/pipe", stat.S_IFIFO),
        ("elsewhere/evil", stat.S_IFREG),
    ],
)
def test_archives_that_leave_their_folder_are_refused(tmp_path: Path, name: str, kind: int) -> None:
    there = tmp_path / "deep" / "there"
    with pytest.raises(UsageError, match=r"would leave|not an exported run"):
        import_run(hostile(tmp_path / "evil.zip", name, kind), there)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["evil.zip"]


def test_bombs_are_refused(tmp_path: Path) -> None:
    bomb = hostile(tmp_path / "bomb.zip", "run/zeros", data=bytes(2**22))
    with pytest.raises(UsageError, match="would become"):
        import_run(bomb, tmp_path / "there")


def test_damaged_archives_are_named(run: Path, tmp_path: Path) -> None:
    export_run(run, tmp_path / "a.zip")
    data = (tmp_path / "a.zip").read_bytes()
    for number, cut in enumerate((0, 10, len(data) // 2, len(data) - 5)):
        path = tmp_path / f"{number}.zip"
        path.write_bytes(data[:cut])
        with pytest.raises(CorruptRun, match=f"{number}.zip"):
            import_run(path, tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_a_failed_export_leaves_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive, "_add", full)
    with pytest.raises(OSError, match="No space"):
        export_run(run, tmp_path / "a.zip")
    assert not list(tmp_path.glob("a.zip*"))
