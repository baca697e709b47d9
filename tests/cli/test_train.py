"""The training command: which stages, with what, and where the model goes."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock, create_autospec

import pytest

from icd_bench.cli.app import main
from icd_bench.training import scenes
from icd_bench.training.icd import Weights
from icd_bench.training.pipelines import DataSettings, IcdSettings, RunSettings


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


@pytest.fixture
def pipelines(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """Stands in for the trainings of pipelines, with their signatures."""
    from icd_bench.training import pipelines

    trainer = Mock()
    for name in ("train_cfg_distill", "train_icd"):
        setattr(trainer, name, create_autospec(getattr(pipelines, name)))
        monkeypatch.setattr(pipelines, name, getattr(trainer, name))
    return trainer


GIVEN = ["--model", "sd15", "--data", "pictures", "--out", "made"]


def test_trainings_of_pipelines_have_the_papers_defaults(pipelines: Mock) -> None:
    assert main(["train", "cfg-distill", *GIVEN]) == 0
    assert main(["train", "icd", *GIVEN]) == 0
    (distilled,) = pipelines.train_cfg_distill.call_args.args
    settings, icd = pipelines.train_icd.call_args.args
    assert settings == distilled == RunSettings("sd15", DataSettings("pictures"), Path("made"))
    assert icd == IcdSettings()
    assert (settings.steps, settings.lr, settings.clip) == (6000, 8e-6, 1.0)
    assert (icd.rank, icd.alpha, icd.schedule) == (64, 8, "official")
    assert icd.weights == Weights(1.0, 1.0, 1.5, 1.5)


def test_options_reach_the_training(pipelines: Mock) -> None:
    options = (
        "--timesteps 3 --losses forward,forward-preserve --forward-preserve-weight 2 --schedule "
        "paper --scales 1,7.5 --steps 9 --batch-size 64 --micro-batch 8 --lr 1e-5 --lr-schedule "
        "cosine --warmup 5 --precision bf16 --gradient-checkpointing --fit squash --stream "
        "--caption-column says --workers 2 --validation-pictures 3 --cpu --fresh"
    )
    assert main(["train", "icd", *GIVEN, *options.split()]) == 0
    settings, icd = pipelines.train_icd.call_args.args
    assert icd == IcdSettings("3", Weights(0, 1, 2, 0), "paper")
    data = DataSettings("pictures", caption_column="says", stream=True, fit="squash", workers=2)
    assert settings == RunSettings(
        "sd15", data, Path("made"), 9, 64, 8, (1.0, 7.5), 1e-5, "cosine", 5, precision="bf16",
        gradient_checkpointing=True, watched=3, cpu=True, fresh=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--losses", "forwards"], 'unknown loss "forwards". Did you mean "forward"?'),
        (["--schedule", "papers"], 'Did you mean "paper"?'),
        (["--lr-schedule", "step"], "unknown learning-rate schedule"),
        (["--fit", "pad"], 'unknown fit "pad"'),
        (["--scales", "0.5"], "1 is unguided"),
        (["--scales", "eight"], "give numbers"),
        (["--clip", "0"], "--clip 0 leaves no gradient"),
        (["--lr", "0"], "--lr 0 trains nothing"),
        (
            ["--losses", "forward-preserve", "--forward-preserve-weight", "0"],
            "every loss of --losses has weight 0",
        ),
    ],
)
def test_wrong_options_of_a_training(
    options: list[str], message: str, pipelines: Mock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "icd", *GIVEN, *options]) == 2
    assert message in capsys.readouterr().err
    pipelines.train_icd.assert_not_called()
