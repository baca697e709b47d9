"""``icd-bench study``: human preference studies, from a run's edits to a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from icd_bench import registry
from icd_bench.errors import UsageError

from .output import say, split_names

app = typer.Typer(help="Ask people which edits they prefer, and analyse what they say.")

Folder = Annotated[Path, typer.Argument(metavar="STUDY", help="Folder of the study.")]
Seed = Annotated[int, typer.Option(metavar="N", min=0, help="Seed of all chance.")]
Lower = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME[,NAME...]", help="Scorers whose small values are good."),
]
Replace = Annotated[bool, typer.Option("--replace", help="Replace votes that are there.")]
Form = Annotated[str, typer.Option("--format", "-f", metavar="NAME", help="See: study formats.")]


@app.command()
def design(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder with the edits.")],
    methods: Annotated[list[str], typer.Option(metavar="A,B[,C...]", help="Methods to compare.")],
    raters: Annotated[int, typer.Option(metavar="N", min=1, help="People who will judge.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the study, new.")],
    per_pair: Annotated[int, typer.Option(metavar="N", min=1, help="Votes for each pair.")] = 5,
    questions: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[,...]",
            help="overall, follows, preserves, or NAME=your own text.  [default: overall]",
        ),
    ] = None,
    samples: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Pictures.  [default: all]")
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="METHOD.FIELD=VALUE",
            help="Which setting of a method to show.  [default: its default setting]",
        ),
    ] = None,
    match: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC[=LEVEL]",
            help="Show each method's best setting (--best) whose mean METRIC is at least as good "
            "as LEVEL, or as the strictest level that all methods reach.",
        ),
    ] = None,
    best: Annotated[
        str | None, typer.Option(metavar="METRIC", help="What is best at matched preservation.")
    ] = None,
    checks: Annotated[
        float, typer.Option(metavar="SHARE", min=0, max=0.3, help="Attention checks.")
    ] = 0.09,
    spacing: Annotated[
        int, typer.Option(metavar="N", min=0, help="Pairs between two of the same picture.")
    ] = 5,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE=VALUE",
            help="Exclusion rules, fixed now.  [default: min_check_pass_rate=0.7, "
            "min_median_seconds=1, max_one_side_share=0.9]",
        ),
    ] = None,
    title: Annotated[str, typer.Option(metavar="TEXT", help="What raters read.")] = (
        "Compare two edits"
    ),
    seed: Seed = 0,
) -> None:
    """Design a blind study of a run's edits, with a sheet for each rater."""
    study = _study()
    if (match is None) != (best is None):
        raise UsageError("--match and --best go together")
    more: dict[str, Any] = {}
    if exclude:
        more["exclusions"] = _exclusions(study, exclude)
    request = study.DesignRequest(
        run=run,
        methods=split_names(methods),
        raters=raters,
        votes_per_pair=per_pair,
        questions=_questions(questions or ["overall"]),
        samples=samples,
        fields=_fields(sets or []),
        match=_match(study, match, best) if match and best else None,
        check_share=checks,
        spacing=spacing,
        title=title,
        seed=seed,
        **more,
    )
    made = study.design_study(request, out)
    for label, shown in made.key.methods.items():
        fields = " ".join(f"{name}={value}" for name, value in shown.setting.items())
        say(f"shows {label} at {fields or 'its only setting'}")
    longest = max(len(tasks) for tasks in made.bundle.lists.values())
    say(f"{len(made.bundle.lists)} raters, up to {longest} pairs each")
    print(f"sheets   {made.bundle_folder / 'sheets'}")
    print(f"plan     {out / 'plan.json'}")
    print(f"key      {out / 'key.json'} (raters must not see it)")


@app.command()
def power(
    half_width: Annotated[
        float, typer.Argument(metavar="HALF_WIDTH", help="Of the win rate's interval: 0.05.")
    ],
    per_pair: Annotated[int, typer.Option(metavar="N", min=1, help="Votes for each pair.")] = 5,
    raters: Annotated[int, typer.Option(metavar="N", min=1, help="People who will judge.")] = 20,
    prompt_sd: Annotated[
        float, typer.Option(metavar="SD", min=0, help="How much prompts differ (log-odds).")
    ] = 0.7,
    rater_sd: Annotated[
        float, typer.Option(metavar="SD", min=0, help="How much raters differ (log-odds).")
    ] = 0.4,
) -> None:
    """Say how many votes a wanted precision needs."""
    study = _study()
    world = study.World({}, prompt_sd=prompt_sd, rater_sd=rater_sd)
    size = study.size_study(half_width, votes_per_pair=per_pair, raters=raters, world=world)
    print(
        f"{size.votes} votes for each pair of methods and question: {size.prompts} pictures x "
        f"{size.votes_per_pair} votes, {size.raters} raters"
    )
    print(
        f"were votes independent, {size.independent_votes} would do; votes on one picture and of "
        f"one rater go together ({size.design_effect:.1f} times as many)"
    )


@app.command()
def serve(
    folder: Folder,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Loopback: this machine alone.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", min=1, max=65535)] = 8321,
    base_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="How raters reach it, where a proxy is before it."),
    ] = None,
) -> None:
    """Serve a study to raters, each by a link, until stopped with Ctrl-C."""
    if host not in ("127.0.0.1", "::1", "localhost"):
        say(f"listening on {host}: anybody who reaches it and has a link can vote")
    _study().serve(folder, host, port, base_url, lambda line: print(line, flush=True))


@app.command("formats")
def list_formats() -> None:
    """List the formats of export and import."""
    from icd_bench.registry import Registry

    known: Registry[Any] = Registry("study format", "icd_bench.study_formats")
    for name in known.names():
        print(f"{name:14}  {known.load(name).title}")


@app.command("export")
def export_study(
    folder: Folder,
    form: Form,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write, new.")],
    base_url: Annotated[
        str, typer.Option(metavar="URL", help="Where the pictures will be: .../bundle/")
    ] = "",
) -> None:
    """Export the blind study for a platform, or as sheets."""
    for path in _study().export_study(folder, form, out, base_url):
        print(path)


@app.command("import")
def import_answers(
    folder: Folder,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="What came back.")],
    form: Form = "sheet",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="[default: votes.csv of the study]")
    ] = None,
    replace: Replace = False,
) -> None:
    """Join the answers that came back with the key; give all files of a study at once."""
    path, votes = _study().import_answers(folder, files, form, out, replace)
    say(f"{len(votes)} votes of {votes['rater'].nunique()} raters")
    print(f"votes    {path}")


@app.command()
def simulate(
    folder: Folder,
    strength: Annotated[
        list[str] | None,
        typer.Option(metavar="METHOD=VALUE", help="Log-strengths.  [default: 0]"),
    ] = None,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="[default: votes.csv of the study]")
    ] = None,
    replace: Replace = False,
) -> None:
    """Let simulated raters vote, for tests and demos; their votes are labelled as simulated."""
    strengths = {name: _number(value) for name, value in map(_assigned, strength or [])}
    path = _study().simulate_votes(folder, strengths, seed=seed, out=out, replace=replace)
    say("these raters are simulated: their votes say nothing about the methods")
    print(f"votes    {path}")


@app.command()
def analyse(
    place: Annotated[Path, typer.Argument(metavar="STUDY|VOTES", help="Folder, or file of votes.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="[default: analysis beside the votes]")
    ] = None,
    plan: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Plan, where a file of votes is given.")
    ] = None,
    scores: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Automatic scores of the same edits.")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Run with the scores.  [default: the study's]"),
    ] = None,
    lower: Lower = None,
) -> None:
    """Say what people prefer, how sure that is, and which metrics agree with them."""
    done = _study().analyse_study(
        place,
        out or (place if place.is_dir() else place.parent) / "analysis",
        plan=plan,
        scores=scores,
        run=run,
        lower_is_better=split_names(lower or []),
    )
    if done.result.simulated:
        say("the raters are simulated: this says nothing about the methods")
    for path in done.files:
        if path.name in ("study.html", "study.md"):
            print(path)


@app.command()
def validate(
    votes: Annotated[Path, typer.Argument(metavar="VOTES", help="Votes, or ratings on a scale.")],
    scores: Annotated[Path, typer.Argument(metavar="SCORES", help="Automatic scores.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write.")] = Path("validation"),
    question: Annotated[str, typer.Option(metavar="NAME")] = "overall",
    overall_of: Annotated[
        list[str] | None,
        typer.Option(metavar="A,B", help="Make overall the geometric mean of these questions."),
    ] = None,
    lower: Lower = None,
    draws: Annotated[int, typer.Option(metavar="N", min=100, help="Bootstrap draws.")] = 1000,
    seed: Seed = 0,
) -> None:
    """Measure automatic scorers against people."""
    _, files = _study().validate_scorers(
        votes,
        scores,
        out,
        question=question,
        overall_of=split_names(overall_of or []),
        lower_is_better=split_names(lower or []),
        draws=draws,
        seed=seed,
    )
    print(files[-1].read_text(encoding="utf-8"), end="")


def _study() -> Any:
    return registry.reports.load("study")


def _questions(values: list[str]) -> tuple[str, ...]:
    """Names may be listed; a question in words, which may have commas, stands alone."""
    names: list[str] = []
    for value in values:
        names += [value] if "=" in value else split_names([value])
    return tuple(names)


def _fields(texts: list[str]) -> dict[str, dict[str, Any]]:
    import yaml

    fields: dict[str, dict[str, Any]] = {}
    for text in texts:
        name, value = _assigned(text)
        method, dot, field = name.rpartition(".")
        if not dot:
            raise UsageError(f"--set {text}: write METHOD.FIELD=VALUE")
        try:
            fields.setdefault(method, {})[field] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UsageError(f"--set {text}: the value cannot be read") from error
    return fields


def _match(study: Any, match: str, best: str) -> Any:
    metric, given, level = match.partition("=")
    return study.Match(metric, best, _number(level) if given else None)


def _exclusions(study: Any, texts: list[str]) -> Any:
    from pydantic import ValidationError

    try:
        return study.Exclusions(**dict(map(_assigned, texts)))
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"--exclude {first['loc'][0]}: {first['msg']}") from error


def _assigned(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise UsageError(f"{text!r}: write NAME=VALUE")
    return name.strip(), value.strip()


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is not a number") from error
