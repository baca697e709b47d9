"""``icd-bench weights``."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from icd_bench.cli.app import main
from icd_bench.metrics.weights import HOME_VARIABLE


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *names: None)
    return tmp_path / "home"


def test_list_says_how_to_get_what_is_not_there(capsys, home):
    assert main(["weights", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("dinov2-base") and "hf download" in line for line in lines)
    (home / "vgg16").mkdir(parents=True)
    (home / "vgg16" / "model.safetensors").write_bytes(b"x")
    main(["weights", "list"])
    assert any(str(home / "vgg16") in line for line in capsys.readouterr().out.splitlines())


def test_convert_writes_where_path_says(capsys, tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "ImageReward.pt")
    assert main(["weights", "convert", "image-reward", str(tmp_path / "ImageReward.pt")]) == 0
    main(["weights", "path", "image-reward"])
    written, folder = capsys.readouterr().out.splitlines()
    assert Path(written).parent == Path(folder)
    assert load_file(written)["a"].tolist() == [1, 1]


def test_unknown_networks_get_a_suggestion(capsys):
    assert main(["weights", "path", "vgg19"]) == 2
    assert 'Did you mean "vgg16"' in capsys.readouterr().err
