from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from icd_bench import registry
from icd_bench.errors import MissingWeights
from icd_bench.metrics.catalogue import catalogue
from icd_bench.metrics.lpips import LPIPS
from icd_bench.metrics.signature import sign
from icd_bench.metrics.weights import PACKAGED


@pytest.fixture
def lpips_folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PACKAGED / "lpips", tmp_path / "lpips"))


def test_signature_reads_from_left_to_right():
    assert sign("lpips", 2, net="alex", mask="area") == "lpips|net:alex|mask:area|v2"


def test_lpips_signature_names_what_the_number_depends_on():
    pattern = (
        r"lpips\|net:alex\|weights:[0-9a-f]{8}\|against:source"
        r"\|size:native\|range:0-1\|mask:none\|v1"
    )
    assert re.fullmatch(pattern, LPIPS().signature())


@pytest.mark.parametrize("file", ["alexnet_features.safetensors", "alex_heads.safetensors"])
def test_signature_follows_the_weights_not_their_place(lpips_folder, file):
    assert LPIPS(lpips_folder).signature() == LPIPS().signature()
    weights = load_file(lpips_folder / file)
    save_file({name: tensor * 1.5 for name, tensor in weights.items()}, lpips_folder / file)
    assert LPIPS(lpips_folder).signature() != LPIPS().signature()


def test_missing_weights_name_the_file_and_the_remedy(lpips_folder):
    (lpips_folder / "alex_heads.safetensors").unlink()
    metric = LPIPS(lpips_folder)
    assert "weights:missing" in metric.signature()
    with pytest.raises(MissingWeights, match=r"alex_heads\.safetensors.*install icd-bench again"):
        metric.load()


def test_changed_weights_are_loaded_anew(lpips_folder):
    first = LPIPS(lpips_folder)
    first.load()
    file = lpips_folder / "alex_heads.safetensors"
    save_file({name: tensor * 2 for name, tensor in load_file(file).items()}, file)
    second = LPIPS(lpips_folder)
    second.load()
    assert second.network.heads[0].sum() == pytest.approx(2 * first.network.heads[0].sum())


def test_no_two_metrics_make_the_same_number():
    signatures = [entry.signature for entry in catalogue()]
    assert len(set(signatures)) == len(signatures)


@pytest.mark.parametrize("name", registry.metrics.names())
def test_card_is_complete(name):
    metric = registry.metrics.load(name)
    assert metric.info.name == name
    assert metric.info.title
    assert metric.info.citation
    unlimited = name in ("kid", "image_reward")
    assert (metric.info.range == (None, None)) == unlimited
    assert ("mask" in metric.info.needs) == bool(
        re.search("^background_|^zeroed_|_edited$", name)
    ) or name == "attribute_edited"
    assert ("target" in metric.info.needs) == name.startswith(("target_", "clip_target_"))


def test_broken_plugin_is_an_entry_with_its_problem(monkeypatch):
    monkeypatch.setattr(registry.Registry, "names", lambda self: ["gone"])
    entry = catalogue()[0]
    assert entry.info is None
    assert 'unknown metric "gone"' in entry.problem
    assert entry.range == ""


def test_range_in_interval_notation():
    ranges = {entry.name: entry.range for entry in catalogue()}
    assert ranges["psnr"] == "[0, inf)"
    assert ranges["ssim"] == "[-1, 1]"


def test_listing_does_not_import_torch():
    program = (
        "import sys; from icd_bench.metrics.catalogue import catalogue; "
        "assert len(catalogue()) > 10; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
