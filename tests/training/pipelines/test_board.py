"""The log in TensorBoard's own files."""

from __future__ import annotations

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from icd_bench.training.pipelines.board import board


def test_figures_are_scalars_and_a_run_that_goes_on_replaces_its_end(tmp_path: Path) -> None:
    for steps, value in (((1, 2, 3), 0.5), ((3, 4), 0.25)):
        write = board(tmp_path)
        assert write is not None
        for step in steps:
            write(step, {"reverse": value})
    read = EventAccumulator(str(tmp_path)).Reload()
    events = {event.step: event.value for event in read.Scalars("reverse")}
    assert events == {1: 0.5, 2: 0.5, 3: 0.25, 4: 0.25}
