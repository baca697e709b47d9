"""Models by name and folder: what is there, what is missing, what identifies it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from golden_cases import tiny_sd_spec

from icd_bench.diffusion.attention import Row
from icd_bench.diffusion.backbone import Backbone
from icd_bench.errors import MissingWeights, UnknownName, UsageError
from icd_bench.methods.icd import ICDSetting, forward_jumps
from icd_bench.models import ModelSpec, Part, find_model, models

SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"


RESOLUTIONS = {
    "scenes": 64,
    "sd14": 512,
    "sd15": 512,
    "sdxl": 1024,
    "sdxl-turbo": 512,
    "lcm-sdxl": 768,
    "lcm-dreamshaper": 512,
    "instruct-pix2pix": 512,
}


def test_known_models() -> None:
    assert {name: find_model(name).resolution for name in models()} == RESOLUTIONS
    for name, spec in models().items():
        assert spec.name == name
        assert (spec.family == "sdxl") == ("sdxl" in name)
        for part in spec.parts:
            assert bool(part.repository) == (name != "scenes")
            assert part.size or name == "scenes"


@pytest.mark.parametrize(
    ("model", "needs", "absent"),
    [
        ("sdxl", ("icd", "icd:4b"), {"cfg_distilled", "icd_forward:4b", "icd_reverse:4b"}),
        ("lcm-dreamshaper", ("lcm",), {"lcm"}),
        ("sdxl-turbo", ("lcm",), {"lcm"}),
    ],
)
def test_what_a_method_needs_is_asked_for_and_nothing_else(
    model: str, needs: tuple[str, ...], absent: set[str], empty_cache: Path
) -> None:
    pipeline = {part.part for part in find_model(model).missing(needs=())}
    assert {part.part for part in find_model(model).missing(needs)} - pipeline == absent
    assert all(part.command and part.size for part in find_model(model).missing(()))


def test_a_model_that_cannot_have_a_part_says_so(empty_cache: Path) -> None:
    (missing,) = [p for p in find_model("sd14").missing(("icd",)) if p.part == "icd"]
    assert "another --model" in missing.command


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


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache of its own, and no way to the network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


def fill_hub_cache(
    cache: Path,
    repository: str,
    files: dict[str, bytes],
    commit: str = "0" * 40,
    ref: str = "main",
) -> Path:
    """Write files as huggingface_hub stores them: content-named blobs behind a snapshot."""
    root = cache / f"models--{repository.replace('/', '--')}"
    snapshot = root / "snapshots" / commit
    (root / "blobs").mkdir(parents=True, exist_ok=True)
    (root / "refs").mkdir(exist_ok=True)
    (root / "refs" / ref).write_text(commit)
    for name, content in files.items():
        blob = root / "blobs" / hashlib.sha256(content).hexdigest()
        blob.write_bytes(content)
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).unlink(missing_ok=True)
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


def test_a_revision_is_another_model(folder: Path, empty_cache: Path) -> None:
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    name = "somebody/tiny-sd"
    fill_hub_cache(empty_cache, name, files, "a" * 40)
    changed = files["scheduler/scheduler_config.json"].replace(b"0.012", b"0.013")
    other = files | {"scheduler/scheduler_config.json": changed}
    fill_hub_cache(empty_cache, name, other, "b" * 40, ref="v2")

    newest, tagged = find_model(name), find_model(f"{name}@v2")
    assert (newest.commits(()), tagged.commits(())) == ({name: "a" * 40}, {name: "b" * 40})
    assert find_model(f"{name}@{'b' * 40}").digest(()) == tagged.digest(()) != newest.digest(())
    assert tagged.name == f"{name}@v2"
    with pytest.raises(MissingWeights, match=f"hf download {name} --revision v3$"):
        find_model(f"{name}@v3")
    with pytest.raises(MissingWeights, match=f"hf download {name} --revision v2 --include"):
        tagged.folder_of("cfg_distilled")


ADAPTERS = "dbaranchuk/icd-lora-sd15"
DISTILLED = "dbaranchuk/sd15-cfg-distill-unet"
ADAPTER = "reverse-259-519-779-999.safetensors"


def test_each_repository_of_a_model_by_name_can_be_pinned(empty_cache: Path) -> None:
    """The name stays: methods' defaults and published numbers go by it."""
    needs = ("icd_reverse:4a",)
    newest = fill_hub_cache(empty_cache, ADAPTERS, {ADAPTER: b"newest"}, "a" * 40)
    tagged = fill_hub_cache(empty_cache, ADAPTERS, {ADAPTER: b"tagged"}, "b" * 40, ref="v1")
    for name in ("icd-lora-sd15", ADAPTERS):
        spec = find_model(f"sd15@{name}=v1")
        assert spec.name == "sd15"
        assert spec.folder_of("icd_reverse:4a") == tagged / ADAPTER
        assert spec.commits(needs) == {ADAPTERS: "b" * 40}
        assert spec.part("unet").revision == ""
    assert find_model("sd15").folder_of("icd_reverse:4a") == newest / ADAPTER

    both = find_model(f"sd15@icd-lora-sd15={'a' * 40}, sd15-cfg-distill-unet=refs/pr/1")
    assert both.folder_of("icd_reverse:4a") == newest / ADAPTER
    with pytest.raises(MissingWeights, match=f"hf download {DISTILLED} --revision refs/pr/1 "):
        both.folder_of("cfg_distilled")


def test_the_only_repository_of_a_model_needs_no_name(empty_cache: Path) -> None:
    spec = find_model("sd14@v2")
    assert {part.revision for part in spec.parts} == {"v2"}
    assert find_model("sd14@stable-diffusion-v1-4=v2") == spec


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sd15@v1", "made of 3 repositories.*sd15@stable-diffusion-v1-5=REVISION,sd15-cfg-"),
        ("sd15@icd-lora-sd51=v1", 'Did you mean "icd-lora-sd15".*stable-diffusion-v1-5, sd15-cfg'),
        ("sd15@icd-lora-sd15=", "no revision"),
        ("sd15@", "no revision"),
        ("sd14@../../elsewhere", "no revision.*sd14@REVISION"),
        ("sd14@v1,v2", "twice"),
        ("scenes@v1", "nothing to pin"),
        ("sxdl@v1", 'unknown model.*Did you mean "sdxl"'),
    ],
)
def test_pins_that_cannot_be_meant_are_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_model(name)


@pytest.mark.parametrize(
    "name",
    ["foo/bar--baz", "foo/bar..x", "foo/.bar", "foo/bar.git", "foo/bar@..", "~nobody/x", "x" * 999],
)
def test_what_no_model_can_be_called_is_refused(name: str, empty_cache: Path) -> None:
    with pytest.raises(UsageError, match="folder") as caught:
        find_model(name)
    assert name in str(caught.value)


@pytest.mark.parametrize("model", ["sdxl", "lcm-sdxl"])
def test_half_precision_files_of_sdxl_load_as_the_folder_does(
    model: str, empty_cache: Path, tiny_sdxl_spec: ModelSpec
) -> None:
    """Tiny weights under the names and in the repositories of the released models."""
    spec = replace(find_model(model), resolution=32)
    for part in spec.parts:
        source = "unet" if part.name == "lcm" else part.name
        if tiny_sdxl_spec.has(source):
            put_into_cache(empty_cache, part, tiny_sdxl_spec.folder_of(source))
    needs = ("icd", "icd:4b") if model == "sdxl" else ("lcm",)
    assert spec.missing(needs) == []

    hub, local = Backbone.load(spec), Backbone.load(tiny_sdxl_spec)
    text = hub.encode_prompts(["a cat"])
    assert text.equal(local.encode_prompts(["a cat"]))
    latents = torch.ones(1, *hub.latent_shape)
    eps = local.network("base")(latents, 500, text, [Row(0)])
    assert hub.network("base")(latents, 500, text, [Row(0)]).equal(eps)
    if model == "sdxl":
        name = "icd_reverse:4b"
        fused = local.network(name)(latents, 500, text, [Row(0)], guidance_scale=8.0)
        ours = hub.network(name)(latents, 500, text, [Row(0)], guidance_scale=8.0)
        assert ours.equal(fused)
    else:
        assert hub.networks("lcm") is hub.networks("base")


def put_into_cache(cache: Path, part: Part, place: Path) -> None:
    """Store a local part as the released one: half-precision files have other names there.

    The tiny tokenizers have no special_tokens_map.json, which the released ones have.
    """
    files = {}
    for path in part.paths(Path()):
        source = place / path.name.replace(".fp16.", ".") if part.files else place
        files[path.as_posix()] = source.read_bytes() if source.is_file() else b"{}"
    fill_hub_cache(cache, part.repository, files)


def test_a_folder_of_a_consistency_model_needs_no_adapter(folder: Path) -> None:
    index = folder / "model_index.json"
    content = index.read_text()
    index.write_text(content.replace("DDIMScheduler", "LCMScheduler"))
    spec = find_model(str(folder))
    assert spec.missing(needs=("lcm",)) == []
    assert spec.folder_of("lcm") == folder / "unet"
    index.write_text(content.replace("StableDiffusionPipeline", "LatentConsistencyModelPipeline"))
    assert find_model(str(folder)).has("lcm")


def test_the_hub_layout_loads_and_edits_as_the_folder_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_spec: ModelSpec, small: Backbone
) -> None:
    """Tiny weights under the names and in the repositories of sd15."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    spec = find_model("sd15")
    for part in spec.parts:
        if small_spec.has(part.name):
            put_into_cache(tmp_path, part, small_spec.folder_of(part.name))

    assert spec.missing(needs=("icd", "icd:4a")) == []
    assert spec.commits(needs=()) == {SD15: "0" * 40}
    assert set(spec.commits()) == {part.repository for part in spec.parts}
    hub = Backbone.load(replace(spec, resolution=128))
    text = hub.encode_prompts(["a cat"])
    latents = torch.ones(1, *hub.latent_shape)
    for ours, theirs in zip(
        forward_jumps(hub, latents, text, ICDSetting()),
        forward_jumps(small, latents, text, ICDSetting()),
        strict=True,
    ):
        assert ours.equal(theirs)
