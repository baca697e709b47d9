from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from study_runs import METHODS, make_study, write_run

from icd_bench.cli.app import main
from icd_bench.reports.study.commands import scores_of_run, simulate_votes
from icd_bench.reports.study.coverage import Design, measure_coverage
from icd_bench.reports.study.design import Study, read_study
from icd_bench.reports.study.power import half_width, size_study, vote_spread
from icd_bench.reports.study.simulate import World, expected_win_rate, simulate_study
from icd_bench.reports.study.votes import read_votes


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = make_study(tmp_path_factory.mktemp("commands"), raters=6)
    simulate_votes(study.folder, {"zebrafish": 2.0}, seed=1)
    fast = study.plan.model_copy(update={"draws": 100})
    (study.folder / "plan.json").write_text(fast.model_dump_json())
    return read_study(study.folder)


def test_from_a_run_to_a_verdict(
    tmp_path: Path, simulated: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "analysis"
    assert main(["study", "analyse", str(simulated.folder), "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert "simulated" in captured.err
    for name in ("win_rates", "rankings", "agreement", "raters", "checks", "metric_statistics"):
        table = pd.read_parquet(out / f"{name}.parquet")
        assert len(table)
        assert table["simulated"].all()
    rankings = pd.read_parquet(out / "rankings.parquet")
    best = rankings.sort_values("strength").groupby("exclusions")["method"].last()
    assert set(best) == {"zebrafish"}
    for name in ("preferences", "ranking", "metrics"):
        for form in ("svg", "pdf", "png"):
            assert (out / f"figures/{name}.{form}").stat().st_size > 1000
    for name in ("study.html", "section.html", "study.md"):
        text = (out / name).read_text()
        assert "Simulated raters" in text
        assert "http://" not in text.replace("http://www.w3.org", "")
    page = (out / "study.html").read_text()
    assert page.count("<figure>") == 3
    assert page.count("<table>") == page.count("</table>") > 5
    assert "**" not in page


def test_design_and_power_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run")
    methods = ["--methods", ",".join(METHODS[:2]), "--raters", "4", "--per-pair", "3"]
    more = ["--questions", "overall,follows", "--set", "zebrafish.strength=0.765432"]
    rules = ["--exclude", "min_check_pass_rate=0.5", "--samples", "9"]
    folder = tmp_path / "made"
    words = [*methods, *more, *rules, "--out", str(folder)]
    assert main(["study", "design", str(run), *words]) == 0
    study = read_study(folder)
    assert study.key.methods["zebrafish"].setting == {"strength": 0.765432}
    assert study.plan.exclusions.min_check_pass_rate == 0.5
    assert study.plan.exclusions.min_median_seconds is None
    assert study.plan.questions == ("overall", "follows")
    assert len(list((folder / "bundle/sheets").iterdir())) == 4
    assert main(["study", "design", str(run), *words]) == 2
    assert "not empty" in capsys.readouterr().err
    assert main(["study", "design", str(run), *methods, "--match", "closeness", "--out", "x"]) == 2
    assert "--best" in capsys.readouterr().err
    assert main(["study", "power", "0.05"]) == 0
    assert "680 votes" in capsys.readouterr().out


def test_real_ratings_give_what_they_give(
    tmp_path: Path, imagenhub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--overall-of", "semantic,quality", "--lower", "LPIPS", "--draws", "100"]
    files = [str(imagenhub / "ratings.csv"), str(imagenhub / "scores.csv")]
    assert main(["study", "validate", *files, *words, "--out", str(tmp_path / "v")]) == 0
    assert "9 of 23" in capsys.readouterr().out
    assert (tmp_path / "v/statistics.parquet").is_file()


def test_the_runs_scores_are_those_of_what_was_shown(simulated: Study) -> None:
    table, lower = scores_of_run(simulated, Path(simulated.key.run))
    assert table is not None
    assert lower == ["distance"]
    assert set(table["method"]) == set(METHODS)
    assert len(table) == 2 * 12 * 3
    first = table[(table["sample"] == "sample-0000") & (table["scorer"] == "closeness")]
    assert first.set_index("method")["value"].to_dict() == pytest.approx(
        {name: number + 0.123457 for number, name in enumerate(METHODS)}, abs=0.45
    )


def test_simulated_votes_fit_the_plan_and_say_so(simulated: Study) -> None:
    votes = read_votes(simulated.folder / "votes.csv", simulated.plan)
    assert votes["simulated"].all()
    assert set(votes["check"]) == {"", "corrupted", "identical", "repeat"}
    assert len(votes) == sum(map(len, simulated.bundle.lists.values()))


def test_real_and_simulated_votes_do_not_mix(tmp_path: Path, simulated: Study) -> None:
    text = (simulated.folder / "votes.csv").read_text().splitlines()
    text[1] = text[1].removesuffix("true") + "false"
    path = tmp_path / "votes.csv"
    path.write_text("\n".join(text) + "\n")
    assert main(["study", "analyse", str(path), "--out", str(tmp_path / "a")]) == 2


# --------------------------------------------------------------------------------- power


def test_the_parts_of_a_votes_variance_add_up() -> None:
    world = World({"a": 0.4, "b": 0.0}, prompt_sd=0.9, rater_sd=0.6, tie=0.4)
    spread = vote_spread(world, gap=0.4)
    votes = simulate_study({"a": 0.4, "b": 0.0}, samples=400, raters=40, world=world, seed=3)
    ordinary = votes[votes["check"] == ""]
    side = {"left": 1.0, "tie": 0.5, "right": 0.0}
    score = ordinary["outcome"].map(side)
    score = score.where(ordinary["method_left"] == "a", 1 - score)
    assert score.mean() == pytest.approx(expected_win_rate(world, "a", "b"), abs=0.05)
    total = spread.prompts + spread.raters + spread.votes
    assert score.var() == pytest.approx(total, rel=0.05)


def test_a_study_of_the_size_has_the_precision() -> None:
    size = size_study(0.08, votes_per_pair=3, raters=12)
    world = World({})
    assert half_width(size.prompts, 3, 12, world) <= 0.08
    assert half_width(size.prompts - 1, 3, 12, world) > 0.08
    design = Design(size.prompts, 12, 3, 0.0, world.prompt_sd, world.rater_sd)
    measured = measure_coverage(design, studies=12, draws=200)
    assert measured.mean_width / 2 == pytest.approx(0.08, rel=0.25)


def test_too_few_raters_cannot_be_made_up_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "power", "0.02", "--raters", "6"]) == 2
    assert "take at least" in capsys.readouterr().err


def test_the_command_line_stays_light() -> None:
    script = (
        "import sys\nfrom icd_bench.cli.app import main\nmain(['study', '--help'])\n"
        "assert not {'torch', 'pandas', 'starlette', 'matplotlib'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)


def test_a_study_without_its_run_is_still_analysed(tmp_path: Path, simulated: Study) -> None:
    folder = tmp_path / "moved"
    shutil.copytree(simulated.folder, folder)
    key = simulated.key.model_copy(update={"run": str(tmp_path / "gone")})
    (folder / "key.json").write_text(key.model_dump_json())
    assert main(["study", "analyse", str(folder)]) == 0
    assert not list((folder / "analysis").glob("metric_*"))
