"""Published numbers as data, and what a run says about them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from pydantic import ValidationError

from icd_bench.models.catalogue import models
from icd_bench.protocols import protocols
from icd_bench.registry import methods
from icd_bench.reports.published.beside import beside
from icd_bench.reports.published.check import compare, obstacles, summary
from icd_bench.reports.published.numbers import (
    PublishedColumn,
    PublishedNumber,
    PublishedTable,
    published_numbers,
)
from icd_bench.reports.published.settings import full_setting
from icd_bench.reports.table import render
from icd_bench.reports.table_model import Column, Row, Table
from icd_bench.stats.intervals import MeanInterval

Make = Callable[..., Table]

NUMBER = PublishedNumber(
    value=22.27,
    column=PublishedColumn(metric="psnr", unit="dB", digits=2),
    title="iCD",
    method="icd",
    preset="",
    setting={"guidance_scale": 1},
    free=(),
    weights="iCD SD1.5",
    model="sd15",
    deviation=None,
    paper="a paper",
    table="Table 2",
    note="",
    second_hand="",
    benchmark="coco-inversion",
    split="",
    protocol="icd-2024",
    n=5000,
)
SETTING = full_setting(NUMBER)


def table(mean: float = 22.3, half: float = 0.1, metric: str = "psnr", **changes: object) -> Table:
    row = Row(
        benchmark="coco-inversion",
        split="",
        protocol="icd-2024",
        model="sd15",
        model_digest="d",
        method="icd",
        version="1",
        setting=SETTING,
        label="",
        anchor=False,
        samples=frozenset(),
        n=5000,
        failed=0,
        warned=0,
        nfe_invert=4,
        nfe_edit=8,
        seconds=1,
        values={metric: MeanInterval(mean, mean - half, mean + half, 5000, 0)},
    )
    column = Column(metric, metric, metric, "higher", "dB", "preservation", f"{metric}|v1")
    return Table((replace(row, **changes),), (column,), ())  # type: ignore[arg-type]


def test_the_files_hold_the_sheets_numbers() -> None:
    numbers = published_numbers()
    assert len(numbers) == 242

    def value(title: str, metric: str, benchmark: str, table: str = "") -> float:
        (found,) = [
            n.value
            for n in numbers
            if (n.title, n.column.metric, n.benchmark) == (title, metric, benchmark)
            and table in n.table
        ]
        return found

    assert value("NTI + P2P", "zeroed_mse", "piebench") == 35.86
    assert value("iCD SD1.5", "clip_score_l14_edited", "piebench") == 19.07
    assert value("G: + both preservation losses", "psnr", "coco-inversion") == 22.27
    assert value("CD, 3 steps, tau .7", "image_reward", "coco-generation") == -0.351
    assert value("ReNoise SDXL, 150", "dino_v2", "piebench", "Table 3") == 0.642
    assert value("against NTI", "human_preference_for_icd", "coco-edit") == 63
    assert value("guided 8, d.CFG", "lpips_vgg_224", "coco-inversion", "Table 5") == 0.263


def test_names_in_the_files_are_ours() -> None:
    for number in published_numbers():
        assert number.protocol in protocols()
        assert not number.method or number.method in methods.names()
        assert number.benchmark


REACHABLE = [n for n in published_numbers() if n.model and n.method and n.setting is not None]


@pytest.mark.parametrize("number", REACHABLE, ids=lambda n: f"{n.title}-{n.column.metric}")
def test_a_run_with_the_papers_model_and_setting_is_compared(number: PublishedNumber) -> None:
    assert number.model in models()
    metric = number.column.metric
    row = {
        **{name: getattr(number, name) for name in ("method", "model", "benchmark", "split")},
        "protocol": number.protocol,
        "n": number.n or 7,
        "setting": full_setting(number),
    }
    run = table(metric=metric, **row)
    assert not list(obstacles(number, run.rows[0], run))
    fixed = next(name for name in full_setting(number) if name not in number.free)
    other = table(metric=metric, **{**row, "setting": {**full_setting(number), fixed: "else"}})
    assert len(list(obstacles(number, other.rows[0], other))) == 1


def test_presets_and_models_make_most_numbers_of_our_methods_reachable() -> None:
    metrics_not_computed = ("seconds", "human_preference")
    ours = [
        n
        for n in published_numbers()
        if n.method and not n.column.metric.startswith(metrics_not_computed)
    ]
    unreachable = {n.title for n in ours if not n.model or n.setting is None}
    assert unreachable == {
        "AIDI",
        "InfEdit VI + P2P",
        "ReNoise LCM-XL, 35",
        "ReNoise SDXL-Turbo",
        "iCD SD1.5",
    }


def test_settings_of_edits_made_elsewhere_are_their_makers_claim() -> None:
    (verdict,) = compare(table(setting={"size_policy": "exact"}, version="outside"), [NUMBER])
    assert verdict.answer == "match"


def test_settings_that_nobody_printed_do_not_compare() -> None:
    (verdict,) = compare(table(), [NUMBER.model_copy(update={"setting": None})])
    assert verdict.reasons == ("its setting is not published",)


def test_ragged_tables_are_refused() -> None:
    fields = {"table": "t", "benchmark": "b", "protocol": "native", "weights": "w"}
    columns = [{"metric": "psnr", "digits": 1}]
    with pytest.raises(ValidationError, match="not one value for each column"):
        PublishedTable.model_validate(
            {**fields, "columns": columns, "rows": [{"title": "x", "values": [1, 2]}]}
        )


@pytest.mark.parametrize(
    ("mean", "half", "answer"),
    [(22.3, 0.1, "match"), (22.274, 0.0, "match"), (22.3, 0.01, "differs"), (20, 0.1, "differs")],
)
def test_a_value_matches_within_the_interval(mean: float, half: float, answer: str) -> None:
    (verdict,) = compare(table(mean, half), [NUMBER])
    assert verdict.answer == answer
    assert verdict.ours == mean
    assert (verdict.reasons == ()) == (answer == "match")


def test_units_are_the_papers() -> None:
    column = PublishedColumn(metric="psnr", unit="x1e3", scale=1000, digits=1)
    number = NUMBER.model_copy(update={"column": column, "value": 22300.0})
    (verdict,) = compare(table(), [number])
    assert verdict.answer == "match"
    assert verdict.ours == pytest.approx(22300)
    assert verdict.half_width == pytest.approx(100)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"protocol": "native"}, "protocol icd-2024, not native"),
        ({"benchmark": "folder"}, "benchmark coco-inversion, not folder"),
        ({"split": "x"}, "split default, not x"),
        ({"model": "scenes"}, "model sd15 (iCD SD1.5), not scenes"),
        ({"n": 12}, "n 5000, not 12"),
        ({"setting": {**SETTING, "guidance_scale": 8}}, "guidance_scale 1.0, not 8"),
        ({"setting": {**SETTING, "posterior": "sample"}}, "posterior mean, not sample"),
        ({"setting": {**SETTING, "tau1": 0.7}}, "tau1 0.8, not 0.7"),
        ({"conditions": "masks used"}, "made with masks used"),
    ],
)
def test_what_cannot_be_compared_says_why(changes: dict[str, object], reason: str) -> None:
    (verdict,) = compare(table(**changes), [NUMBER])
    assert verdict.answer == "not comparable"
    assert verdict.reasons == (reason,)


def test_metrics_that_are_not_there() -> None:
    other = table(metric="ssim")
    assert "psnr is not computed" in list(obstacles(NUMBER, other.rows[0], other))
    infinite = table(float("inf"))
    (verdict,) = compare(infinite, [NUMBER])
    assert verdict.reasons == ("psnr has no finite mean",)


def test_other_methods_are_told_only_when_asked_for() -> None:
    stranger = NUMBER.model_copy(update={"method": "", "title": "StyleDiffusion"})
    assert not list(compare(table(), [stranger]))
    (verdict,) = compare(table(), [stranger], every=True)
    assert verdict.reasons == ("no such method here",)


def test_the_text_names_the_source_and_counts() -> None:
    text = summary([*compare(table(), [NUMBER]), *compare(table(protocol="native"), [NUMBER])])
    first, second, last = text.split("\n")
    assert first.startswith("match")
    assert "published 22.27 dB, here 22.30 [a paper, Table 2]" in first
    assert second.startswith("not comparable")
    assert last == "1 match, 0 differs, 1 not comparable"


def test_a_comparable_value_stands_beside_ours() -> None:
    shown = beside(table(), [NUMBER, NUMBER.model_copy(update={"value": 1.0, "method": "npi"})])
    assert shown.rows[0].published == {"psnr": "22.27"}
    assert shown.notes == ("[published value]: a paper",)
    assert "22.30 ±0.10 [22.27]" in render(shown, "md")
    assert json.loads(render(shown, "json"))["rows"][0]["published"] == {"psnr": "22.27"}


def test_published_units_become_ours() -> None:
    column = PublishedColumn(metric="psnr", unit="x1e3", scale=1000, digits=1)
    number = NUMBER.model_copy(update={"column": column, "value": 22271.5})
    assert beside(table(), [number]).rows[0].published == {"psnr": "22.2715"}


def test_a_scaled_column_keeps_the_published_value_in_its_unit() -> None:
    column = PublishedColumn(metric="psnr", unit="x1e3", scale=1000, digits=1)
    number = NUMBER.model_copy(update={"column": column, "value": 22271.5})
    run = table(22300, 100)
    scaled = replace(run, columns=(replace(run.columns[0], factor=1000.0),))
    assert beside(scaled, [number]).rows[0].published == {"psnr": "22271.5"}
    (verdict,) = compare(scaled, [number])
    assert (verdict.answer, verdict.ours, verdict.half_width) == ("match", 22300, 100)


def test_without_a_comparable_value_the_table_says_why() -> None:
    shown = beside(table(protocol="native"), [NUMBER])
    assert not shown.rows[0].published
    reason = "published numbers of icd are not comparable: protocol icd-2024, not native"
    assert shown.notes == (reason,)
    assert beside(table(benchmark="folder"), [NUMBER]).notes == ()
