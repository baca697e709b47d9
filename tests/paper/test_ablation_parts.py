"""Adapters of other losses are parts of a model whose need is their own."""

from __future__ import annotations

import shutil
from pathlib import Path

from icd_bench.models import find_model, local_model
from icd_bench.training.icd import FORWARD, REVERSE
from icd_bench.training.scenes.ablations import ABLATIONS


def test_every_ablation_is_shipped_and_no_method_s_results_depend_on_it() -> None:
    parts = {part.name: part for part in find_model("scenes").parts}
    for ablation in ABLATIONS.values():
        name = f"{ablation.timesteps}-{ablation.losses}"
        for module in ablation.moved:
            direction = {REVERSE: "reverse", FORWARD: "forward"}[module]
            assert parts[f"icd_{direction}:{name}"].need == f"icd:{name}"


def test_an_adapter_more_leaves_digests_alone(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    root = find_model("scenes").folder_of("unet").parent
    shutil.copytree(root, folder, ignore=shutil.ignore_patterns("ablations"), copy_function=link)
    before = local_model(folder)
    place = folder / "icd" / "ablations" / "plain"
    place.mkdir(parents=True)
    adapter = "forward-19-499.safetensors"
    link(root / "icd" / "ablations" / "plain" / adapter, place / adapter)
    after = local_model(folder)
    assert "icd_forward:2-plain" not in {part.name for part in before.parts}
    assert "icd_forward:2-plain" in {part.name for part in after.parts}
    for needs in ((), ("icd", "icd:4a"), ("lcm",)):
        assert after.digest(needs) == before.digest(needs)
    assert after.digest(("icd:2-plain",)) != before.digest(())


def link(source: str | Path, target: str | Path) -> None:
    Path(target).symlink_to(source)
