"""``icd-bench paper``: which experiments begin, and what is checked before."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest

from icd_bench import registry
from icd_bench.cli.app import main
from icd_bench.paper.experiments import EXPERIMENTS


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """What would be measured."""
    report = Mock(summary=lambda result: "", write=lambda result, folder: ())
    report.draw_training.return_value = ()
    monkeypatch.setattr(registry, "reports", Mock(load=Mock(return_value=report)))
    run = Mock()
    monkeypatch.setattr("icd_bench.paper.run.run_experiment", run)
    return run


@pytest.mark.parametrize("asked", [["all"], ["all", "table1"], ["training", "table4", "all"]])
def test_all_stands_for_every_experiment_once_wherever_it_is(asked: list[str], begun: Mock) -> None:
    assert main(["paper", *asked]) == 0
    names = [call.args[0] for call in begun.call_args_list]
    assert sorted(names) == sorted(EXPERIMENTS)
    if asked[0] != "all":
        assert names[0] == "table4"


def test_nothing_begins_while_a_later_experiment_lacks_weights(
    begun: Mock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert main(["paper", "table1", "table4", "--model", "sd15"]) == 2
    assert "icd_reverse:3 (about 270 MB)" in capsys.readouterr().err
    assert not begun.called


def test_results_of_pinned_weights_are_kept_under_the_name_of_the_model(
    begun: Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icd_bench.paper.run.require_weights", Mock())
    assert main(["paper", "fig5", "--model", "sd15@dbaranchuk/icd-lora-sd15=v1"]) == 0
    assert begun.call_args.args[2] == Path("runs/paper/sd15")
