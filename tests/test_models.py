"""Models by name and folder: what is there, what is missing, what identifies it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from golden_cases import tiny_sd_spec

from icd_bench.diffusion.backbone import Backbone
from icd_bench.errors import MissingWeights, UnknownName, UsageError
from icd_bench.methods.icd import ICDSetting, forward_jumps
from icd_bench.models import ModelSpec, Part, find_model, models

SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"


def test_known_models() -> None:
    assert {"scenes", "sd15"} <= models().keys()
    assert find_model("sd15").resolution == 512
    assert find_model("scenes").resolution == 64


def test_unknown_names_get_a_suggestion() -> None:
    with pytest.raises(UnknownName, match='Did you mean "scenes"'):
        find_model("scene")


def test_no_torch_is_imported() -> None:
    code = (
        "import sys, icd_bench.models as m; m.models(); m.find_model('scenes').missing();"
        "assert 'torch' not in sys.modules and 'diffusers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tiny_sd_spec().root
    assert root is not None
    return Path(shutil.copytree(root, tmp_path / "my-model"))


def test_a_folder_is_a_model(folder: Path) -> None:
    spec = find_model(str(folder))
    assert (spec.name, spec.resolution, spec.family) == ("my-model", 512, "sd")
    assert spec.folder_of("unet") == folder / "unet"
    assert spec.missing(needs=()) == []
    assert [m.part for m in spec.missing(needs=("lcm",))] == ["lcm"]
    assert {m.part for m in spec.missing()} == {
        "cfg_distilled",
        "icd_forward:4a",
        "icd_reverse:4a",
        "lcm",
    }


def test_other_timestep_sets_are_found_where_they_are(folder: Path) -> None:
    (folder / "icd").mkdir()
    adapter = folder / "icd" / "forward-19-339-699.safetensors"
    adapter.touch()
    assert find_model(str(folder)).folder_of("icd_forward:3") == adapter


def test_a_missing_part_is_named_with_its_place(folder: Path) -> None:
    spec = find_model(str(folder))
    with pytest.raises(MissingWeights, match="unet_cfg_distilled"):
        spec.folder_of("cfg_distilled")
    with pytest.raises(MissingWeights, match=r'no part "unett"\. Did you mean "unet"'):
        spec.folder_of("unett")


def test_a_folder_without_a_pipeline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"model_index\.json is missing"):
        find_model(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "cannot be read"), ("[]", "not a JSON object"), ('{"_class_name": "X"}', "'X'")],
)
def test_a_broken_index_is_refused(content: str, message: str, folder: Path) -> None:
    (folder / "model_index.json").write_text(content)
    with pytest.raises(UsageError, match=message):
        find_model(str(folder))


def test_the_digest_follows_the_used_weights_only(folder: Path, tmp_path: Path) -> None:
    before = find_model(str(folder)).digest()
    copied = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
    assert find_model(str(copied)).digest() == before

    (folder / "lcm").mkdir()
    (folder / "lcm" / "lora.safetensors").write_bytes(b"adapter")
    assert find_model(str(folder)).digest(needs=("icd",)) == before
    assert find_model(str(folder)).digest(needs=("lcm",)) != before

    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace("0.012", "0.013"))
    assert find_model(str(folder)).digest(needs=("icd",)) != before


def fill_hub_cache(cache: Path, repository: str, files: dict[str, bytes]) -> Path:
    """Write files as huggingface_hub stores them: content-named blobs behind a snapshot."""
    root = cache / f"models--{repository.replace('/', '--')}"
    snapshot = root / "snapshots" / ("0" * 40)
    (root / "blobs").mkdir(parents=True, exist_ok=True)
    (root / "refs").mkdir(exist_ok=True)
    (root / "refs" / "main").write_text("0" * 40)
    for name, content in files.items():
        blob = root / "blobs" / hashlib.sha256(content).hexdigest()
        blob.write_bytes(content)
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).symlink_to(blob)
    return snapshot


def test_the_hub_cache_is_read_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    spec = find_model("sd15")
    assert {m.part for m in spec.missing()} == {part.name for part in spec.parts}
    with pytest.raises(MissingWeights, match=rf"3\.4 GB.*hf download {SD15}.*unet/config\.json"):
        spec.folder_of("unet")

    unet = {"unet/config.json": b"{}", "unet/diffusion_pytorch_model.safetensors": b"weights"}
    snapshot = fill_hub_cache(tmp_path, SD15, unet)
    assert spec.folder_of("unet") == snapshot / "unet"
    assert not spec.has("vae")
    with pytest.raises(MissingWeights, match="vae"):
        spec.digest()

    adapter = "reverse-259-519-779-999.safetensors"
    snapshot = fill_hub_cache(tmp_path, "dbaranchuk/icd-lora-sd15", {adapter: b"adapter"})
    assert spec.folder_of("icd_reverse:4a") == snapshot / adapter
    assert not spec.has("icd_forward:4a")


def test_a_hub_id_is_a_model_once_it_is_in_the_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(MissingWeights, match="hf download somebody/tiny-sd"):
        find_model("somebody/tiny-sd")
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    fill_hub_cache(tmp_path / "cache", "somebody/tiny-sd", files)
    spec = find_model("somebody/tiny-sd")
    assert (spec.name, spec.resolution) == ("somebody/tiny-sd", 512)
    assert spec.digest(needs=()) == find_model(str(folder)).digest(needs=())


def sources_of(part: Part, place: Path) -> list[Path]:
    return [place / name for name in part.files] or [place]


def test_the_hub_layout_loads_and_edits_as_the_folder_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_spec: ModelSpec, small: Backbone
) -> None:
    """Tiny weights under the names and in the repositories of sd15."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    spec = find_model("sd15")
    for part in spec.parts:
        if small_spec.has(part.name):
            place = small_spec.folder_of(part.name)
            # The tiny tokenizer has no special_tokens_map.json, which sd15 has.
            files = {
                path.as_posix(): source.read_bytes() if source.is_file() else b"{}"
                for path, source in zip(part.paths(Path()), sources_of(part, place), strict=True)
            }
            fill_hub_cache(tmp_path, part.repository, files)

    assert spec.missing(needs=()) == []
    hub = Backbone.load(spec)
    text = hub.encode_prompts(["a cat"])
    latents = torch.ones(1, *hub.latent_shape)
    for ours, theirs in zip(
        forward_jumps(hub, latents, text, ICDSetting()),
        forward_jumps(small, latents, text, ICDSetting()),
        strict=True,
    ):
        assert ours.equal(theirs)
