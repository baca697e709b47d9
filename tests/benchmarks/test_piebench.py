from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from official_folders import PHOTOS, RUNS, SIDE, make_piebench, pie_rows, square_photo
from PIL import Image

from icd_bench.api import Benchmark, BlendWords, Sample
from icd_bench.benchmarks.errata_files import errata_of
from icd_bench.benchmarks.piebench import PIEBench
from icd_bench.benchmarks.run_length import decode_runs
from icd_bench.cli.app import main
from icd_bench.data.home import HOME_VARIABLE
from icd_bench.data.lint import lint, missing_words
from icd_bench.errors import BadSample, UnknownName, UsageError
from icd_bench.run.planning.rows import open_benchmark


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_piebench(
        tmp_path_factory.mktemp("piebench"),
        {
            "000000000000": {
                "original_prompt": "a slanted mountain bicycle on the road in front of a building",
                "editing_prompt": "a slanted [rusty] mountain bicycle on the road in front of a "
                "building",
                "editing_instruction": "make the bicycle rusty",
            }
        },
    )


def good(folder: Path, split: str | None = None) -> dict[str, Sample]:
    found = list(PIEBench(str(folder), split).samples())
    assert not [sample for sample in found if isinstance(sample, BadSample)]
    return {sample.id: sample for sample in found if isinstance(sample, Sample)}


def test_it_reads_the_official_folder(folder: Path) -> None:
    assert isinstance(PIEBench(str(folder)), Benchmark)
    samples = good(folder)
    assert list(samples) == sorted(samples)
    assert len(samples) == len(pie_rows()) + 1
    rusty = samples["000000000000"]
    assert rusty.target_prompt.startswith("a slanted rusty mountain")
    assert rusty.metadata["target_bracketed"].startswith("a slanted [rusty] mountain")
    assert rusty.metadata["instruction"] == "make the bicycle rusty"
    assert rusty.category == "0_random"
    assert rusty.blend_words == BlendWords(("bicycle",), ("bicycle",))
    assert rusty.read_image().shape == (SIDE, SIDE, 3)
    assert rusty.read_mask is not None
    assert np.flatnonzero(rusty.read_mask()).tolist() == [0, 1, 2, 1029, 1030, 1031, 1032]


@pytest.mark.parametrize(
    ("split", "count"),
    [(None, 17), ("all", 17), ("icd-420", 16), ("icd-140", 7), ("natural", 9), ("9", 2),
     ("artificial", 1), ("natural+9", 1), ("change_style", 2), ("2+7", 3), ("icd-420+9", 1)],
)  # fmt: skip
def test_splits(folder: Path, split: str | None, count: int) -> None:
    assert len(good(folder, split)) == count


def test_unknown_splits_get_a_suggestion(folder: Path) -> None:
    with pytest.raises(UnknownName, match='Did you mean "icd-420"'):
        PIEBench(str(folder), "icd-42")


def test_errata_mend_every_word_and_change_the_sample(folder: Path) -> None:
    published, fixed = good(folder), good(folder, "errata-1")
    fixes = {fix.id for fix in errata_of("piebench")["errata-1"].fixes}
    assert len(fixes) == 11
    for key, sample in fixed.items():
        assert (sample.digest != published[key].digest) == (key in fixes)
        words = sample.blend_words
        assert not missing_words(words, sample.source_prompt, sample.target_prompt)


def test_an_erratum_refuses_another_edition(tmp_path: Path) -> None:
    make_piebench(tmp_path, {"000000000013": {"blended_word": "dumplings sushi"}})
    bad = [s for s in PIEBench(str(tmp_path), "errata-1").samples() if isinstance(s, BadSample)]
    assert len(bad) == 1
    assert "another edition" in str(bad[0])


def test_broken_rows_do_not_hide_the_others(tmp_path: Path) -> None:
    make_piebench(
        tmp_path,
        {
            "000000000002": {"original_prompt": "[]"},
            "000000000005": {"mask": "12 3"},
            "000000000008": {"editing_type_id": "10"},
            "000000000013": {"blended_word": "('one'"},
            "000000000014": {"mask": [1, 2, 3]},
        },
    )
    mapping = json.loads((tmp_path / "mapping_file.json").read_text())
    (tmp_path / "annotation_images" / mapping["922000000001"]["image_path"]).unlink()
    found = list(PIEBench(str(tmp_path)).samples())
    bad = [sample for sample in found if isinstance(sample, BadSample)]
    assert {error.field for error in bad} == {
        "original_prompt", "mask", "editing_type_id", "blended_word", "image_path"
    }  # fmt: skip
    (odd,) = [s for s in found if isinstance(s, Sample) and s.id == "000000000014"]
    assert odd.read_mask is not None
    with pytest.raises(BadSample, match="a start has no length"):
        odd.read_mask()


def test_one_blend_word_alone_is_an_edit_with_a_warning(tmp_path: Path) -> None:
    make_piebench(tmp_path, {"000000000000": {"blended_word": "unicorn"}})
    found = lint(PIEBench(str(tmp_path), "icd-140").samples())
    assert not found.broken
    (problem,) = [p for p in found.problems if p.sample == "000000000000" and "word" in p.kind]
    assert problem.detail == '"unicorn", "unicorn"'


def test_the_pictures_may_be_a_link_but_no_row_leads_out_of_them(tmp_path: Path) -> None:
    root = make_piebench(tmp_path / "pie", {"000000000000": {"image_path": "../secret.jpg"}})
    (root / "annotation_images").rename(tmp_path / "elsewhere")
    (root / "annotation_images").symlink_to(tmp_path / "elsewhere")
    square_photo(0, tmp_path / "secret.jpg")
    found = list(PIEBench(str(root)).samples())
    (bad,) = [sample for sample in found if isinstance(sample, BadSample)]
    assert "is outside the folder" in str(bad)
    assert len(found) == 17


def test_all_is_the_default_split(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = {}
    for split in ("", ":all", ":natural"):
        reference = f"piebench{split}={folder}"
        assert open_benchmark(reference)[1] == ("natural" if split == ":natural" else "")
        assert main(["data", "verify", reference]) == 1
        said[split] = capsys.readouterr()
    assert "17 rows, not 700" in said[""].err
    assert said[":all"] == said[""]


def test_where_it_lies(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    with pytest.raises(UsageError, match="ask for it with the form"):
        PIEBench()
    (tmp_path / "piebench").mkdir()
    with pytest.raises(UsageError, match="has no mapping_file"):
        PIEBench()
    (tmp_path / "piebench").rmdir()
    (tmp_path / "piebench").symlink_to(folder)
    assert len(list(PIEBench().samples())) == 17


def test_the_same_folder_gives_the_same_digests(folder: Path) -> None:
    first, second = good(folder), good(folder)
    assert [s.digest for s in first.values()] == [s.digest for s in second.values()]
    assert len({s.digest for s in first.values()}) == len(first)


def test_runs_are_cut_at_the_end_and_fill_the_frame() -> None:
    assert decode_runs([0, SIDE * SIDE]).all()
    assert decode_runs([SIDE * SIDE - 2, 100]).sum() == 2
    assert decode_runs([]).sum() == 0
    assert decode_runs(RUNS)[2, 5:9].all()


def test_a_mask_lies_on_the_same_part_of_a_picture_of_any_size(tmp_path: Path) -> None:
    row, left, right = 100, 40, 60
    runs = [number for y in range(row, SIDE) for number in (y * SIDE + left, right - left)]
    make_piebench(tmp_path, {"000000000000": {"mask": runs}})
    mapping = json.loads((tmp_path / "mapping_file.json").read_text())
    path = tmp_path / "annotation_images" / mapping["000000000000"]["image_path"]
    square = good(tmp_path)["000000000000"].read_mask
    assert square is not None
    assert (square() == decode_runs(runs)).all()
    for width, height in ((2 * SIDE, 2 * SIDE), (SIDE, 2 * SIDE), (SIDE // 2, SIDE // 4)):
        Image.open(PHOTOS[0]).convert("RGB").resize((width, height)).save(path)
        read_mask = good(tmp_path)["000000000000"].read_mask
        assert read_mask is not None
        mask = Image.fromarray(decode_runs(runs)).resize((width, height), Image.Resampling.NEAREST)
        assert np.array_equal(read_mask(), np.asarray(mask))


def test_odd_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        decode_runs([-1, 2])
