from __future__ import annotations

import json
from pathlib import Path

import pytest
from official_folders import PHOTOS

from icd_bench.api import Sample
from icd_bench.benchmarks.coco_edit import COCOEdit
from icd_bench.benchmarks.coco_swaps import KINDS, read_captions, swaps
from icd_bench.cli.app import main
from icd_bench.data.lint import missing_words
from icd_bench.errors import UsageError

CAPTIONS = [
    ("a.jpg", "A dog sits beside a dog on a bench"),
    ("b.jpg", "An elephant walks in the field"),
    ("c.jpg", "Two cats sleep on a couch"),
    ("d.jpg", "nothing to see here"),
    ("e.jpg", "a man rides a horse"),
]


def test_swaps_are_seeded_and_each_picture_is_taken_once() -> None:
    found = swaps(CAPTIONS, 4, seed=1)
    assert found == swaps(CAPTIONS, 4, seed=1)
    assert [swap.file_name for swap in found] == ["a.jpg", "b.jpg", "c.jpg", "e.jpg"]
    assert any(swaps(CAPTIONS, 4, seed=s) != found for s in range(2, 6))


@pytest.mark.parametrize("seed", range(20))
def test_a_swap_is_one_noun_of_the_same_kind_and_number(seed: int) -> None:
    for swap in swaps(CAPTIONS, 4, seed):
        old, new = swap.words
        assert swap.source.split().count(old) == 1
        forms = {
            (kind, place)
            for kind, nouns in KINDS.items()
            for pair in nouns
            for place, word in enumerate(pair)
            if word in (old, new)
        }
        assert len(forms) == 1
        changed = [
            (a, b) for a, b in zip(swap.source.split(), swap.target.split(), strict=True) if a != b
        ]
        assert (old, new) in changed
        assert all(a.lower() in ("a", "an") for a, b in changed if (a, b) != (old, new))
        words = swap.target.split()
        place = words.index(new)
        if words[place - 1].lower() in ("a", "an"):
            assert (words[place - 1].lower() == "an") == (new[0] in "aeiou")


def test_the_command_writes_a_set_that_can_be_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = [
        {"id": i, "image_id": i, "caption": text + "\n"} for i, (_, text) in enumerate(CAPTIONS)
    ]
    images = [{"id": i, "file_name": name} for i, (name, _) in enumerate(CAPTIONS)]
    source = tmp_path / "captions.json"
    source.write_text(json.dumps({"images": images, "annotations": notes}))
    assert read_captions(source) == CAPTIONS
    out = tmp_path / "set" / "editing_coco.csv"
    command = ["data", "build", "coco-edit", "--captions", str(source), "--out", str(out)]
    assert main([*command, "--count", "9"]) == 2
    assert "only 4 captions" in capsys.readouterr().err
    assert main([*command, "--count", "4"]) == 0
    assert main([*command, "--count", "4"]) == 2
    (out.parent / "train2014").mkdir()
    for name, _ in CAPTIONS:
        (out.parent / "train2014" / name).write_bytes(PHOTOS[0].read_bytes())
    samples = list(COCOEdit(str(out.parent)).samples())
    assert len(samples) == 4
    for sample in samples:
        assert isinstance(sample, Sample)
        assert sample.blend_words
        prompts = sample.source_prompt, sample.target_prompt
        assert not missing_words(sample.blend_words, *prompts)


def test_what_is_no_captions_file(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(UsageError, match="not COCO's captions"):
        read_captions(tmp_path / "x.json")
