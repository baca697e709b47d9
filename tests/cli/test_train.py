"""The training command: which stages, with what, and where the model goes."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock, create_autospec

import pytest

from icd_bench.cli.app import main
from icd_bench.training import scenes


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """Stands in for the training itself, with its signatures."""
    trainer = Mock()
    trainer.train = create_autospec(scenes.train, return_value={"psnr": 31.25})
    trainer.export = create_autospec(scenes.export, return_value=["pipeline", "clip"])
    monkeypatch.setattr(scenes, "train", trainer.train)
    monkeypatch.setattr(scenes, "export", trainer.export)
    return trainer


def test_all_stages_in_order_and_the_model(
    trainer: Mock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "scenes", "--out", "made", "--seed", "3"]) == 0
    calls = trainer.train.call_args_list
    assert [call.args[0] for call in calls] == list(scenes.STAGES)
    assert all(call.kwargs == {"steps": None, "seed": 3, "fresh": False} for call in calls)
    trainer.export.assert_called_once_with(Path("made"), Path("made/model"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "autoencoder: psnr 31.25"
    assert lines[-1] == "made/model: pipeline, clip"


def test_some_stages_write_no_model_unless_asked(trainer: Mock) -> None:
    assert main(["train", "scenes", "clip", "--steps", "5", "--fresh"]) == 0
    trainer.train.assert_called_once_with(
        "clip", Path("checkpoints/scenes"), steps=5, seed=0, fresh=True
    )
    trainer.export.assert_not_called()
    assert main(["train", "scenes", "clip", "--model", "here"]) == 0
    trainer.export.assert_called_once_with(Path("checkpoints/scenes"), Path("here"))


def test_unknown_stages_are_found_before_any_training(
    trainer: Mock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "scenes", "clip", "denoise"]) == 2
    assert 'Did you mean "denoiser"?' in capsys.readouterr().err
    trainer.train.assert_not_called()
