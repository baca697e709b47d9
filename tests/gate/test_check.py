from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from gate_runs import METRICS, plain_scores, write_run
from PIL import Image

from icd_bench.cli.app import main
from icd_bench.errors import SignatureMismatch, UsageError
from icd_bench.gate.baseline import Baseline, read_baseline
from icd_bench.gate.compare import Comparison, compare
from icd_bench.gate.formats import to_dict, to_junit, to_markdown
from icd_bench.gate.measure import measure
from icd_bench.gate.renew import make_baseline, renew_baseline

MARGINS = {"psnr": 0.5, "lpips_alex": 0.02}


@pytest.fixture
def before(tmp_path: Path) -> Path:
    return write_run(tmp_path / "before")


@pytest.fixture
def baseline(before: Path, tmp_path: Path) -> Baseline:
    return make_baseline(tmp_path / "base.json", measure(before), MARGINS)


def shifted(psnr: float, lpips: float = 0.0, noise: float = 0.1):
    def scores(method: str, seed: int, index: int) -> Sequence[float]:
        first, second = plain_scores(method, seed, index)
        swing = noise if index % 2 else -noise
        return first + psnr + swing, second + lpips + swing / 50

    return scores


def check(baseline: Baseline, path: Path, **changes: object) -> Comparison:
    return compare(baseline, measure(write_run(path, **changes)))


def test_a_run_is_no_worse_than_itself(baseline: Baseline, before: Path) -> None:
    found = compare(baseline, measure(before))
    assert found.verdict == "pass"
    assert (found.pictures, found.identical) == (30, 30)
    assert {check.reason for check in found.metrics} == {"every score is as before"}
    assert not found.worst
    assert not found.notes


@pytest.mark.parametrize(
    ("psnr", "lpips", "verdict"),
    [
        (0.0, 0.0, "pass"),
        (1.0, 0.0, "pass"),
        (-0.3, 0.0, "pass"),
        (-1.0, 0.0, "fail"),
        (0.0, 0.04, "fail"),
        (0.0, -0.04, "pass"),
        (-0.5, 0.0, "inconclusive"),
    ],
)
def test_changes_are_judged_in_the_direction_of_the_metric(
    baseline: Baseline, tmp_path: Path, psnr: float, lpips: float, verdict: str
) -> None:
    found = check(baseline, tmp_path / "now", scores=shifted(psnr, lpips))
    assert found.verdict == verdict
    by_name = {one.metric: one for one in found.metrics}
    assert by_name["psnr"].difference == pytest.approx(psnr, abs=0.1)
    assert by_name["lpips_alex"].difference == pytest.approx(lpips, abs=0.002)
    for one in found.metrics:
        assert one.low <= one.difference <= one.high
        assert one.now - one.before == pytest.approx(one.difference, abs=1e-6)


def test_noise_makes_a_check_inconclusive(baseline: Baseline, tmp_path: Path) -> None:
    found = check(baseline, tmp_path / "now", scores=shifted(0.0, noise=5.0))
    assert found.verdict == "inconclusive"


def test_edits_of_one_picture_count_as_one(tmp_path: Path) -> None:
    run = write_run(tmp_path / "before", edits_per_picture=5)
    base = make_baseline(tmp_path / "base.json", measure(run), MARGINS)
    found = check(base, tmp_path / "now", scores=shifted(0.0), edits_per_picture=5)
    assert [one.sources for one in found.metrics] == [6, 6]
    assert found.verdict == "inconclusive"
    assert "at least 10" in found.metrics[0].reason


def test_an_edit_that_fails_now_fails_the_check(baseline: Baseline, tmp_path: Path) -> None:
    found = check(baseline, tmp_path / "now", failed=[("tint", 4)])
    assert found.verdict == "fail"
    assert found.failed == ("tint: s4",)
    assert "tint: s4" in to_markdown(found)


def test_a_score_that_is_gone_fails_the_check(baseline: Baseline, tmp_path: Path) -> None:
    def scores(method: str, seed: int, index: int) -> Sequence[float]:
        return (math.nan if index == 3 else plain_scores(method, seed, index)[0], 0.2)

    found = check(baseline, tmp_path / "now", scores=scores)
    assert found.verdict == "fail"
    assert found.metrics[0].reason == "1 samples lost their score"


def test_perfect_scores(tmp_path: Path) -> None:
    def perfect(method: str, seed: int, index: int) -> Sequence[float]:
        return math.inf, 0.0

    def spoiled(method: str, seed: int, index: int) -> Sequence[float]:
        return (40.0 if index == 3 else math.inf), 0.0

    run = write_run(tmp_path / "before", scores=perfect)
    base = make_baseline(tmp_path / "base.json", measure(run), MARGINS)
    base = read_baseline(tmp_path / "base.json")
    assert compare(base, measure(run)).verdict == "pass"
    found = check(base, tmp_path / "now", scores=spoiled)
    assert found.verdict == "fail"
    assert found.metrics[0].reason == "a perfect score is gone"
    assert json.dumps(to_dict(found), allow_nan=False)
    other = make_baseline(
        tmp_path / "other.json", measure(write_run(tmp_path / "b", scores=spoiled)), MARGINS
    )
    assert compare(other, measure(run)).metrics[0].verdict == "pass"


def test_costs(baseline: Baseline, tmp_path: Path) -> None:
    more = check(baseline, tmp_path / "more", nfe=9)
    assert more.verdict == "fail"
    assert (more.costs[0].before, more.costs[0].now) == (480, 540)
    slow = check(baseline, tmp_path / "slow", seconds=1.0)
    assert [one.verdict for one in slow.costs] == ["pass", "fail", "pass"]
    large = check(baseline, tmp_path / "large", command={"peak_memory": 2**31})
    assert [one.verdict for one in large.costs] == ["pass", "pass", "fail"]
    quick = make_baseline(
        tmp_path / "quick.json",
        measure(write_run(tmp_path / "quick", seconds=0.001)),
        MARGINS,
    )
    slower = check(quick, tmp_path / "slower", seconds=0.01)
    assert (slower.costs[1].verdict, slower.costs[1].reason) == ("not compared", "less than 0.05 s")
    hardware = {"hardware": {"processor": "slide rule", "cores": 1, "threads": 1}}
    elsewhere = check(baseline, tmp_path / "elsewhere", seconds=9.0, command=hardware)
    assert [one.verdict for one in elsewhere.costs] == ["pass", "not compared", "not compared"]
    assert elsewhere.verdict == "pass"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": "other"}, "protocol: native in the baseline, other in the run"),
        ({"samples": 29}, "samples s29 of the baseline's 30 are not in the run"),
        ({"prefix": "t"}, "samples s0, s1, s2 and 27 more"),
        ({"edits_per_picture": 2}, "differ in picture, prompt, words or mask"),
        ({"metrics": {"psnr": METRICS["psnr"]}}, "metric lpips_alex: not in the run"),
        (
            {"metrics": {**METRICS, "psnr": {**METRICS["psnr"], "signature": "psnr|v2"}}},
            r"signature of psnr: psnr\|v1 in the baseline, psnr\|v2 in the run",
        ),
        ({"methods": ("other",)}, "the run has no tint"),
        ({"seeds": (1,)}, "the run has no tint, seed 0"),
    ],
)
def test_what_was_measured_differently_is_refused(
    baseline: Baseline, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(SignatureMismatch, match=message):
        check(baseline, tmp_path / "now", **changes)


def test_what_may_differ_is_noted(baseline: Baseline, tmp_path: Path) -> None:
    found = check(
        baseline,
        tmp_path / "now",
        methods=("tint", "more"),
        samples=31,
        version="2",
        settings=({"strength": 0.6},),
    )
    assert found.notes == (
        "tint: method version 1 -> 2, strength 0.5 -> 0.6",
        "not in the baseline, not checked: more",
        "1 samples of the run are not in the baseline, and not checked",
    )


def test_settings_and_seeds_are_told_apart(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", seeds=(0, 1), settings=({"a": 1, "b": 0}, {"a": 2, "b": 0}))
    base = make_baseline(tmp_path / "base.json", measure(run), MARGINS)
    found = compare(base, measure(run))
    assert sorted({one.arm for one in found.metrics}) == [
        "tint, a=1, seed 0",
        "tint, a=1, seed 1",
        "tint, a=2, seed 0",
        "tint, a=2, seed 1",
    ]


def test_a_run_of_several_protocols_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    write_run(tmp_path / "run", protocol="other")
    with pytest.raises(UsageError, match="several of protocol"):
        measure(tmp_path / "run")


def test_cells_of_older_versions_are_left_out(tmp_path: Path) -> None:
    write_run(tmp_path / "run", version="1")
    write_run(tmp_path / "run", version="2")
    assert [arm.version for arm in measure(tmp_path / "run").arms] == ["2"]


def test_arms_with_other_samples_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "run", methods=("a",))
    write_run(tmp_path / "run", methods=("b",), samples=20)
    with pytest.raises(UsageError, match="b, seed 0, has no cell of 10 samples"):
        measure(tmp_path / "run")


# ---------------------------------------------------------------------------- the file


def test_the_file_comes_back_as_it_was(baseline: Baseline, tmp_path: Path) -> None:
    path = tmp_path / "base.json"
    assert read_baseline(path) == baseline
    lines = path.read_text().splitlines()
    assert len(lines) < 30 + 30 + 45
    assert sum('"s7":' in line for line in lines) == 2


def test_renewing_keeps_the_margins(baseline: Baseline, tmp_path: Path) -> None:
    path = tmp_path / "base.json"
    now = measure(write_run(tmp_path / "now", scores=shifted(-3.0)))
    renewed = renew_baseline(path, now, {"lpips_alex": 0.5})
    assert read_baseline(path) == renewed
    assert renewed.metrics["psnr"].margin == 0.5
    assert renewed.metrics["lpips_alex"].margin == 0.5
    assert renewed.limits == baseline.limits
    assert compare(renewed, now).verdict == "pass"
    one_metric = write_run(tmp_path / "one", metrics={"psnr": METRICS["psnr"]})
    with pytest.raises(UsageError, match="lpips_alex"):
        renew_baseline(path, measure(one_metric))


def test_margins_rise_above_the_noise(before: Path, tmp_path: Path) -> None:
    def noisy(method: str, seed: int, index: int) -> Sequence[float]:
        rng = np.random.default_rng([index, seed, 5])
        return 25 + 4 * rng.normal(), 0.2

    runs = [
        measure(write_run(tmp_path / str(seed), seeds=(seed,), scores=noisy)) for seed in (0, 1)
    ]
    made = make_baseline(tmp_path / "base.json", runs[0], {}, runs[1:])
    assert 2.0 < (made.metrics["psnr"].margin or 0) < 6.0
    assert made.metrics["lpips_alex"].margin == 0.01
    assert "noise" in made.metrics["psnr"].why
    assert made.metrics["lpips_alex"].why == "just visible"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a baseline"),
        ("[]", "no field icd_bench_baseline"),
        ('{"icd_bench_baseline": 2}', "install a newer icd-bench"),
        ('{"icd_bench_baseline": 1}', "made: Field required"),
        ('{"a": 1, "a": 2}', 'field "a" is there twice'),
        ("[" * 100_000, "not a baseline"),
    ],
)
def test_a_file_that_is_no_baseline_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "base.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        read_baseline(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"margin": 0.5', '"margin": -1', "metrics.psnr.margin: Input should be greater than 0"),
        ('"margin": 0.5', '"margins": 0.5', "metrics.psnr.margins: Extra inputs"),
        ('"s0": ["', '"x0": ["', "sample s0 is missing|no such sample"),
        ('"seed": 0', '"seed": "no"', "arms.0.seed"),
    ],
)
def test_a_wrong_field_is_named(
    baseline: Baseline, tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = tmp_path / "base.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UsageError, match=message):
        read_baseline(path)


# --------------------------------------------------------------------------- the output


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    hostile = "a|b`<script>\n![x](y)\x00"
    run = write_run(tmp_path / "before", methods=(hostile,))
    base = make_baseline(tmp_path / "base.json", measure(run), MARGINS)
    found = check(base, tmp_path / "now", methods=(hostile,), scores=shifted(-3.0), prefix="s")
    markdown = to_markdown(found)
    assert "<script>" not in markdown.replace("\\<script\\>", "")
    assert "![x]" not in markdown
    assert all(line.count(" | ") in (5, 8) for line in markdown.splitlines() if line[:2] == "| ")
    suite = ElementTree.fromstring(to_junit(found))
    assert suite.get("failures") == "1"


def test_the_command(baseline: Baseline, before: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    now = write_run(tmp_path / "now", scores=shifted(-2.0))
    base, out = str(tmp_path / "base.json"), tmp_path / "out"
    options = ["--markdown", str(out / "a.md"), "--junit", str(out / "a.xml")]
    options += ["--json", str(out / "a.json"), "--pictures", str(out / "worst")]
    options += ["--worst", "3", "--before", str(before)]
    assert main(["check", str(before), "--baseline", base]) == 0
    assert main(["check", str(now), "--baseline", base, *options]) == 1
    assert "### icd-bench: fail" in capsys.readouterr().out
    strips = sorted((out / "worst").iterdir())
    assert len(strips) == 3
    with Image.open(strips[0]) as strip:
        assert strip.size == (3 * 128 + 2 * 4, 128)
    assert f"](worst/{strips[0].name})" in (out / "a.md").read_text()
    assert json.loads((out / "a.json").read_text())["verdict"] == "fail"
    assert ElementTree.parse(out / "a.xml").getroot().get("failures") == "1"
    unsure = write_run(tmp_path / "unsure", scores=shifted(0.0, noise=5.0))
    assert main(["check", str(unsure), "--baseline", base]) == 3
    other = write_run(tmp_path / "other", protocol="other")
    assert main(["check", str(other), "--baseline", base]) == 2
    assert main(["check", str(tmp_path), "--baseline", base]) == 2
    assert main(["check", str(now), "--baseline", str(tmp_path / "none.json")]) == 2
    assert "baseline make" in capsys.readouterr().err


def test_the_baseline_commands(before: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    base = str(tmp_path / "new" / "base.json")
    assert main(["baseline", "make", str(before), "--out", base, "--margin", "psnr=1.5"]) == 0
    assert "psnr" in capsys.readouterr().out
    assert read_baseline(Path(base)).metrics["psnr"].margin == 1.5
    assert main(["baseline", "make", str(before), "--out", base]) == 2
    assert main(["baseline", "update", str(before), "--baseline", base]) == 0
    for wrong in ("psnr", "psnr=", "psnr=0", "psnr=nan", "=1", "psnrr=1"):
        assert main(["baseline", "update", str(before), "--baseline", base, "--margin", wrong]) == 2
