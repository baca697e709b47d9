from __future__ import annotations

import itertools
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from report_runs import trade_off_scores, write_scores

from icd_bench.cli.app import main
from icd_bench.errors import UnknownName, UsageError
from icd_bench.reports.curves import trade_off
from icd_bench.reports.figures import draw_figures
from icd_bench.reports.figures.bars import category_name
from icd_bench.reports.figures.selection import SampleRow, sample_rows, shown_methods
from icd_bench.reports.figures.sheet import Heading, draw_sheet
from icd_bench.reports.figures.style import file_name
from icd_bench.reports.figures.words import Words, changed_words
from icd_bench.reports.joined_runs import join_runs

SAMPLES = 9
STEM = "curve_psnr_clip_text"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scores = trade_off_scores(SAMPLES, {"icd": 0.06, "npi": 0.0}, (0.2, 0.6))
    scores["copy", None] = {"psnr": [np.inf] * SAMPLES, "clip_text": [0.3] * SAMPLES}
    return write_scores(
        tmp_path_factory.mktemp("figures") / "run",
        scores,
        samples=SAMPLES,
        pictures=True,
        failed={("npi", 0.6): 1},
    )


# ---------------------------------------------------------------------------------- words


def test_replaced_words_stand_beside_those_that_replace_them() -> None:
    assert changed_words("a red cat sits", "a blue cat") == (
        Words("a", "kept"),
        Words("red", "removed"),
        Words("blue", "added"),
        Words("cat", "kept"),
        Words("sits", "removed"),
    )


@given(
    source=st.lists(st.sampled_from("abc"), max_size=6),
    target=st.lists(st.sampled_from("abc"), max_size=6),
)
@settings(deadline=None)
def test_both_prompts_can_be_read_back(source: list[str], target: list[str]) -> None:
    parts = changed_words(" ".join(source), " ".join(target))
    before = [word for p in parts if p.kind != "added" for word in p.text.split()]
    after = [word for p in parts if p.kind != "removed" for word in p.text.split()]
    assert (before, after) == (source, target)


def test_names() -> None:
    assert category_name("1_change_object") == "change object"
    assert category_name("animals") == "animals"
    assert file_name("curve_./a b:c") == "curve_.-a-b-c"


# ------------------------------------------------------------------------------ selection


def test_methods_show_the_setting_that_was_chosen(run: Path) -> None:
    found = trade_off([run], "psnr", "clip_text", resamples=100)
    shown = shown_methods(join_runs([run]), found)
    assert [(each.method, each.anchor) for each in shown] == [
        ("icd", False),
        ("npi", False),
        ("copy", True),
    ]
    chosen = {choice.method: choice.label for choice in found.choices}
    for each in shown[:2]:
        assert each.label == chosen[each.method]
        assert each.cells["setting"].nunique() == 1
        assert SAMPLES - 1 <= len(each.cells) <= SAMPLES


def test_samples_are_taken_from_each_category_in_turn(run: Path) -> None:
    shown = shown_methods(join_runs([run]), trade_off([run], "psnr", "clip_text", resamples=100))
    rows, with_target = sample_rows([run], shown, (), 4)
    assert [row.sample_id for row in rows] == ["s0", "s1", "s2", "s3"]
    assert with_target
    assert all(len(row.pictures) == 2 + len(shown) for row in rows)
    named, _ = sample_rows([run], shown, ("s8", "s1"), 1)
    assert [row.sample_id for row in named] == ["s8", "s1"]
    with pytest.raises(UnknownName, match='no edited sample "s99"'):
        sample_rows([run], shown, ("s99",), 1)


def test_runs_without_pictures_are_refused(tmp_path: Path) -> None:
    scores = trade_off_scores(6, {"icd": 0.0}, (0.2, 0.6))
    bare = write_scores(tmp_path / "bare", scores, samples=6)
    with pytest.raises(UsageError, match="no pictures"):
        draw_figures([bare], tmp_path / "out", ("png",))


# -------------------------------------------------------------------------------- drawing


def test_the_command_draws_everything(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["figures", str(run), "--out", str(tmp_path), "--count", "3"]) == 0
    stems = (STEM, "categories", "samples")
    paths = [tmp_path / f"{stem}.{form}" for stem in stems for form in ("svg", "pdf", "png")]
    assert capsys.readouterr().out.split() == list(map(str, paths))
    for path in paths:
        if path.suffix == ".png":
            pixels = np.asarray(Image.open(path).convert("L"))
            assert 0.005 < (pixels < 250).mean() < 0.95
        elif path.suffix == ".pdf":
            assert path.read_bytes().startswith(b"%PDF")
        else:
            assert ElementTree.parse(path).getroot().tag.endswith("svg")


def test_a_sheet_grows_with_its_samples_and_shows_pictures(run: Path, tmp_path: Path) -> None:
    heights = []
    for count in (1, 3):
        draw_figures([run], tmp_path / str(count), ("png",), count=count)
        heights.append(Image.open(tmp_path / str(count) / "samples.png").height)
    assert heights[1] > 2.3 * heights[0]
    sheet = np.asarray(Image.open(tmp_path / "1" / "samples.png").convert("RGB")).reshape(-1, 3)
    # The edits of sample s0 have 120 in their third channel, which no ink of the sheet has.
    assert (sheet[:, 2] == 120).mean() > 0.1


def test_too_many_metrics_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too many"):
        draw_figures([run], tmp_path, ("png",), metrics=["psnr"] * 7)


# ------------------------------------------------------------------- the other commands


def test_the_curve_command_writes_what_it_says(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["curve", str(run), "--x", "psnr", "--y", "clip_text", "--out", str(tmp_path)]
    assert main([*words, "--format", "csv,json", "--resamples", "100", "--at", "24"]) == 0
    out = capsys.readouterr().out
    assert "clip_text at matched psnr" in out
    written = [Path(line) for line in out.splitlines() if line.startswith(str(tmp_path))]
    assert len(written) == 6
    assert all(path.is_file() for path in written)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--reference", "a,b"], "give two numbers"),
        (["--format", "pgn"], 'Did you mean "png"'),
        (["--dev", "dev"], "to choose on"),
    ],
)
def test_wrong_options_of_curve_are_one_line(
    run: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["curve", str(run), "--x", "psnr", "--y", "clip_text", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_the_diff_command(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", str(run), str(run)]) == 0
    assert "9 pairs, 9 with the same picture" in capsys.readouterr().out


def test_the_table_command_takes_marks(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", str(run), "--format", "latex", "--no-bold", "--no-intervals"]) == 0
    out = capsys.readouterr().out
    assert "textbf" not in out
    assert r"$\pm$ 0" not in out
    assert r"\underline" in out


def test_long_names_above_narrow_columns_do_not_overlap() -> None:
    names = ["direct_inversion", "edit_friendly", "instructpix2pix", "icd", "renoise"] * 3
    headings = [Heading(name, "guidance_scale=7.5 cross_replace=0.8") for name in names]
    row = SampleRow("s0", "", "a cat", "a dog", (None,) * len(names))
    figure = draw_sheet([row], headings)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [
        text.get_window_extent(canvas.get_renderer())
        for text in figure.texts
        if text.get_ha() == "center"
    ]
    assert len(boxes) >= 2 * len(names)
    for one, other in itertools.combinations(boxes, 2):
        assert min(one.x1, other.x1) - max(one.x0, other.x0) < 1 or (
            min(one.y1, other.y1) - max(one.y0, other.y0) < 1
        )
