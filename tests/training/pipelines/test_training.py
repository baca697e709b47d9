"""The commands' own code path, on tiny pipelines: what is trained, and what comes out."""

from __future__ import annotations

import gc
import io
import json
import shutil
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from icd_bench.diffusion.backbone import Backbone
from icd_bench.diffusion.timestep_sets import timestep_set
from icd_bench.errors import MissingWeights, UsageError
from icd_bench.models import Part, find_model
from icd_bench.models.folders import NETWORK
from icd_bench.training.adapters import PREFIX
from icd_bench.training.icd import FORWARD, LOSSES, REVERSE, IcdTask, Weights
from icd_bench.training.loop import CHECKPOINT, LOG, Trainer
from icd_bench.training.pipelines import (
    DataSettings,
    IcdSettings,
    RunSettings,
    train_cfg_distill,
    train_icd,
)
from icd_bench.training.pipelines import icd as icd_run
from icd_bench.training.pipelines.model_folder import link_model
from icd_bench.training.pipelines.session import Session

ICD = IcdSettings(rank=4)


def run(model: Path, data: Path, out: Path, **more: Any) -> RunSettings:
    given: dict[str, Any] = {
        "steps": 2, "batch_size": 4, "lr": 1e-3, "cpu": True, "log_every": 1, "watched": 2,
    }  # fmt: skip
    return RunSettings(str(model), DataSettings(str(data)), out, **given | more)


def lines(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / LOG).read_text().splitlines()]


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def a_task(settings: RunSettings, icd: IcdSettings = ICD) -> tuple[Session, IcdTask]:
    session = Session(settings)
    adapters = icd_run.build_adapters(session, icd)
    for weights in adapters.weights.values():  # as after some training: B is not zero
        for parameter in weights.values():
            torch.nn.init.normal_(parameter, std=0.1)
    folder = settings.out / "model"
    return session, icd_run.build_task(session, adapters, icd, timestep_set("4a"), folder)


def gradients(settings: RunSettings, icd: IcdSettings = ICD) -> dict[str, Tensor]:
    """Gradients of both adapters after each update of the first step, without a step."""
    session, task = a_task(settings, icd)
    found = {}
    for update in task.updates(0, torch.Generator().manual_seed(0)):
        task.replicas[0].unet.zero_grad()
        session.processes.run(update.parts)
        for name in (REVERSE, FORWARD):
            for key, parameter in task.replicas[0].weights[name].items():
                if parameter.grad is not None:
                    found[f"{update.name}.{name}.{key}"] = parameter.grad.clone()
    return found


def assert_same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    largest = max(float(value.abs().max()) for value in a.values())
    assert largest > 0
    for key, value in a.items():
        torch.testing.assert_close(b[key], value, atol=1e-5 * largest, rtol=1e-3, msg=key)


def test_a_plain_xl_pipeline_becomes_an_editing_model(
    sdxl: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(MissingWeights, match="icd-bench train cfg-distill --model"):
        train_icd(run(sdxl, data, tmp_path / "icd"), ICD)
    train_cfg_distill(run(sdxl, data, tmp_path / "cfg", steps=1))
    distilled = tmp_path / "cfg" / "model"
    train_icd(run(distilled, data, tmp_path / "icd", steps=1), ICD)
    assert f"model: {tmp_path / 'icd' / 'model'}" in capsys.readouterr().out

    made = find_model(str(tmp_path / "icd" / "model"))
    assert (made.family, made.resolution) == ("sdxl", 16)
    assert not made.missing(("icd", "icd:4a"))
    backbone = Backbone.load(made)
    base, forward = (backbone.networks(n) for n in ("cfg_distilled", "icd_forward:4a"))
    assert base.config.time_cond_proj_dim == 512
    assert any(
        not torch.equal(a, b) for a, b in zip(base.parameters(), forward.parameters(), strict=True)
    )
    assert {"psnr_unguided", "psnr_guided"} <= lines(tmp_path / "icd")[-1].keys()
    sheet = Image.open(tmp_path / "icd" / "reconstructions-000001.png")
    assert sheet.size == (2 * 16, 5 * 16)
    assert Image.open(tmp_path / "cfg" / "samples-000001.png").size == (2 * 16, 2 * 16)


@pytest.fixture(scope="module")
def trained(sd: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run of set 3 on five rows, two of them bad, and what it said."""
    out = tmp_path_factory.mktemp("trained")
    rows = ["path,caption", *(f"{data}/{n:03}.png,a picture" for n in range(3))]
    rows += [f"{data}/000.txt,no picture at all", f"{data}/004.png,"]
    (out / "rows.csv").write_text("\n".join(rows))
    with redirect_stdout(io.StringIO()) as said:
        train_icd(run(sd, out / "rows.csv", out), replace(ICD, timesteps="3"))
    return out, said.getvalue()


def test_adapters_have_the_released_keys(trained: tuple[Path, str], sd: Path) -> None:
    folder = trained[0] / "model"
    made = find_model(str(folder))
    modules = set()
    for name in ("icd_forward:3", "icd_reverse:3"):
        tensors = load_file(made.folder_of(name))
        assert all(key.startswith(PREFIX) for key in tensors)
        assert all(key.endswith((".lora_A.weight", ".lora_B.weight")) for key in tensors)
        assert {len(v) for k, v in tensors.items() if ".lora_A." in k} == {4}
        modules.add(frozenset(key.rsplit(".lora_", 1)[0] for key in tensors))
    assert len(modules) == 1
    card = (folder / "README.md").read_text()
    assert "| psnr_guided | " in card
    assert '"timesteps": "3"' in card
    # Weights are what was there; a file that somebody might edit is a copy of it.
    weights, config = (f"unet/{NETWORK}.safetensors", "unet/config.json")
    assert (folder / weights).samefile(sd / weights)
    assert not (folder / config).samefile(sd / config)
    assert (folder / config).read_bytes() == (sd / config).read_bytes()


def test_rows_that_cannot_be_used_are_reported(trained: tuple[Path, str]) -> None:
    said = trained[1]
    assert "data: 8 rows used" in said
    assert "rows.csv:5: image" in said
    assert "rows.csv:6: caption" in said


@pytest.fixture(scope="module")
def official(sd: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """Gradients of the four losses, each computed at once."""
    return gradients(run(sd, data, tmp_path_factory.mktemp("official")))


# Checkpointing repeats passes in the backward, when the U-Net has to have the same adapter on.
@pytest.mark.parametrize(
    "more", [{"rows_at_once": 1}, {"rows_at_once": 3, "gradient_checkpointing": True}]
)
def test_micro_batches_are_one_big_batch(
    more: dict[str, Any], official: dict[str, Tensor], sd: Path, data: Path, tmp_path: Path
) -> None:
    assert {key.split(".")[0] for key in official} == set(LOSSES)
    assert_same(official, gradients(run(sd, data, tmp_path, **more)))


def test_the_sum_has_the_sum_of_the_gradients(
    official: dict[str, Tensor], sd: Path, data: Path, tmp_path: Path
) -> None:
    summed: dict[str, Tensor] = {}
    for key, value in official.items():
        name = "sum." + key.split(".", 1)[1]
        summed[name] = summed.get(name, torch.zeros(())) + value
    settings = run(sd, data, tmp_path, rows_at_once=3, gradient_checkpointing=True)
    assert_same(summed, gradients(settings, replace(ICD, schedule="paper")))


def test_losses_are_switched_by_their_weights(sd: Path, data: Path, tmp_path: Path) -> None:
    weights = Weights(reverse=0, forward=0, forward_preserve=1.5, reverse_preserve=0)
    _, task = a_task(run(sd, data, tmp_path), replace(ICD, weights=weights))
    updates = list(task.updates(0, torch.Generator().manual_seed(0)))
    assert [update.name for update in updates] == ["forward_preserve"]


def test_there_is_one_unet(sd: Path, data: Path, tmp_path: Path) -> None:
    gc.collect()
    before = {id(o) for o in gc.get_objects() if type(o) is UNet2DConditionModel}
    session, task = a_task(run(sd, data, tmp_path))
    Trainer(task, session.settings.plan(4), tmp_path, session.processes, session.stream).take_step()
    unets = [o for o in gc.get_objects() if type(o) is UNet2DConditionModel and id(o) not in before]
    assert unets == [task.replicas[0].unet]
    adapters = sum(p.numel() for w in task.replicas[0].weights.values() for p in w.values())
    alone = UNet2DConditionModel.from_pretrained(sd / "unet_cfg_distilled")
    base = sum(p.numel() for p in alone.parameters())
    assert sum(p.numel() for p in unets[0].parameters()) == base + adapters


def test_half_precision_of_the_frozen_base_changes_nothing(
    sd: Path, data: Path, tmp_path: Path
) -> None:
    _, task = a_task(run(sd, data, tmp_path, precision="bf16"))
    adapters = task.replicas[0]
    kinds = {p.dtype for w in adapters.weights.values() for p in w.values()}
    assert kinds == {torch.float32}
    assert adapters.unet.conv_in.weight.dtype is torch.bfloat16
    x, t, text = torch.randn(2, 4, 8, 8), torch.tensor([5, 900]), torch.randn(2, 5, 12)

    def predictions() -> list[Tensor]:
        found = []
        for name in (None, REVERSE):
            with torch.no_grad(), adapters.active(name) as unet:
                found.append(task.predict(unet, x, t, text, torch.ones(2)))
        return found

    halved = predictions()
    adapters.unet.float()
    for a, b in zip(halved, predictions(), strict=True):
        assert torch.equal(a, b)


def test_a_run_goes_on_only_as_it_was_begun(sd: Path, data: Path, tmp_path: Path) -> None:
    settings = run(sd, data, tmp_path, steps=1)
    train_icd(settings, ICD)
    with pytest.raises(UsageError, match=r"begun with rank 4, not 8"):
        train_icd(settings, replace(ICD, rank=8))
    train_icd(replace(settings, steps=2, rows_at_once=2), ICD)
    assert [line["step"] for line in lines(tmp_path) if "reverse" in line] == [1, 2]
    train_icd(replace(settings, lr=2e-3, fresh=True), ICD)
    assert {line["step"] for line in lines(tmp_path)} == {1}


def test_a_refused_restart_leaves_the_model_as_it_is(
    sd: Path, sdxl: Path, data: Path, tmp_path: Path
) -> None:
    distilled = tmp_path / "cfg"
    train_cfg_distill(run(sdxl, data, distilled, steps=1))
    before = content(distilled)
    with pytest.raises(UsageError, match="begun with model"):
        train_cfg_distill(run(sd, data, distilled, steps=1))
    with pytest.raises(UsageError, match="begun with"):
        train_icd(run(sd, data, distilled, steps=1), ICD)
    with pytest.raises(UsageError, match="is the model to train on"):
        train_icd(run(distilled / "model", data, distilled, steps=1, fresh=True), ICD)
    assert content(distilled) == before


@pytest.mark.parametrize("part", ["model", "model/icd", "model/unet/config.json"])
def test_a_finished_run_restores_its_model(
    part: str, trained: tuple[Path, str], sd: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(trained[0], out)
    before = content(out / "model")
    lost = out / part
    shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
    train_icd(run(sd, trained[0] / "rows.csv", out), replace(ICD, timesteps="3"))
    assert content(out / "model") == before


def test_a_fresh_run_forgets_the_model_of_the_last_and_spares_where_it_came_from(
    sd: Path, sdxl: Path, data: Path, trained: tuple[Path, str], tmp_path: Path
) -> None:
    source, out = trained[0] / "model", tmp_path / "out"
    train_icd(run(source, data, out, steps=1), ICD)  # has set 3 as well
    before = content(source)
    train_cfg_distill(run(sdxl, data, out, steps=1, fresh=True))
    assert content(source) == before
    assert {m.part for m in find_model(str(out / "model")).missing()} == {
        "icd_forward:4a", "icd_reverse:4a", "lcm",
    }  # fmt: skip


def test_adapters_of_an_ablation_keep_their_place(sd: Path, tmp_path: Path) -> None:
    source, folder = tmp_path / "source", tmp_path / "model"
    shutil.copytree(sd, source)
    names = [
        f"icd/{losses}{file}"
        for file in ("forward-19-259-519-779.safetensors", "reverse-259-519-779-999.safetensors")
        for losses in ("", "ablations/plain/")
    ]
    for name in names:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    link_model(find_model(str(source)), folder)
    assert [(folder / name).read_text() for name in names] == names


def test_adapters_of_the_hub_lie_where_a_folder_has_them(sd: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(sd, source)
    (source / "forward-1.safetensors").write_text("adapter")
    spec = find_model(str(source))
    part = Part("icd_forward:x", "forward-1.safetensors", need="icd:x")
    link_model(replace(spec, parts=(*spec.parts, part)), tmp_path / "model")
    assert (tmp_path / "model/icd/forward-1.safetensors").read_text() == "adapter"


def test_all_that_is_missing_is_told_at_once(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    settings = replace(run(tmp_path, data, tmp_path / "out"), model="sd15")
    with pytest.raises(MissingWeights, match=r"unet \(3.4 GB\), vae \(335 MB\)"):
        train_cfg_distill(settings)
    with pytest.raises(
        MissingWeights,
        match=r"unet \(3.4 GB\), .*cfg_distilled \(3.4 GB\).*dbaranchuk/.*train cfg-distill",
    ):
        train_icd(settings, ICD)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"clip": 0.0}, "--clip 0 leaves no gradient"),
        ({"lr": 0.0}, "--lr 0 trains nothing"),
        ({"lr": float("nan")}, "--lr nan"),
    ],
)
def test_settings_that_train_nothing_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run(Path(), Path(), Path(), **wrong)


def test_losses_that_train_nothing_are_refused() -> None:
    with pytest.raises(UsageError, match="every loss"):
        IcdSettings(weights=Weights(0, 0, 0, 0))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"precision": "fp8"}, 'unknown precision "fp8"'),
        ({"precision": "fp16"}, "needs an accelerator"),
    ],
)
def test_what_cannot_be_done_is_refused(
    wrong: dict[str, Any], message: str, sd: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        train_icd(run(sd, data, tmp_path, **wrong), ICD)
    assert not (tmp_path / CHECKPOINT).exists()
