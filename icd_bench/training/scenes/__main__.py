"""``python -m icd_bench.training.scenes STAGE --out DIR``: one stage, the export, or the bars."""

from __future__ import annotations

import argparse
from pathlib import Path

from .bars import SCENES
from .ship import export, measure_bars
from .stages import STAGES, train


def main() -> None:
    """``python -m icd_bench.training.scenes STAGE --out DIR``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=[*STAGES, "export", "bars"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--folder", type=Path, help="the model folder of export and bars")
    parser.add_argument("--scenes", type=int, default=SCENES, help="number of scenes of bars")
    given = parser.parse_args()
    if given.stage == "export":
        print(", ".join(export(given.out, given.folder)))
    elif given.stage == "bars":
        print(measure_bars(given.out, given.folder, given.scenes).record())
    else:
        print(train(given.stage, given.out, given.steps, given.seed, given.fresh))


main()
