"""``icd-bench check``: is a run as good, and as cheap, as its baseline, or as papers print?"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cached_property
from os.path import relpath
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from icd_bench import registry
from icd_bench.errors import UsageError

from .output import print_json, say

EXIT_CODES = {"pass": 0, "fail": 1, "inconclusive": 3}

BaselineFile = Annotated[
    Path, typer.Option("--baseline", metavar="FILE", help="Made by: icd-bench baseline make.")
]


def check(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="Run folder.")],
    baseline: BaselineFile,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the summary as Markdown.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML.")] = None,
    as_json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write JSON.")
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the samples that lost most, side by side."),
    ] = None,
    worst: Annotated[int, typer.Option(metavar="N", help="How many of those.")] = 8,
    before: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Run of the baseline, to show its pictures as well."),
    ] = None,
) -> int:
    """Compare a run with a baseline: pass (0), fail (1) or inconclusive (3).

    With published numbers: icd-bench check published [DIR...], which has its own --help.
    A run folder of that name is ./published.
    """
    from icd_bench.gate.baseline import read_baseline
    from icd_bench.gate.compare import compare
    from icd_bench.gate.formats import to_dict, to_junit, to_markdown
    from icd_bench.gate.measure import measure
    from icd_bench.gate.pictures import save_worst

    if worst < 0:
        raise UsageError(f"--worst {worst}: it must not be negative")
    found = compare(read_baseline(baseline), measure(run))
    strips = save_worst(found.worst, run, pictures, worst, before) if pictures else []
    print(to_markdown(found), end="")
    if markdown:
        links = [Path(relpath(path, markdown.parent)).as_posix() for path in strips]
        write_text(markdown, to_markdown(found, links))
    if junit:
        write_text(junit, to_junit(found))
    if as_json:
        write_text(as_json, json.dumps(to_dict(found), indent=2, ensure_ascii=False) + "\n")
    if strips:
        say(f"{len(strips)} pictures of samples that lost most: {pictures}")
    return EXIT_CODES[found.verdict]


def published(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="DIR", help="Run folders.  [default: newest]"),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Also the numbers of methods that were not run.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> None:
    """Compare runs with published numbers: match, differs, or not comparable and why."""
    if not runs:
        from icd_bench.run import latest_run

        runs = [latest_run()]
    report = registry.reports.load("published")
    verdicts = report.check(runs, every)
    if as_json:
        print_json([{**asdict(v), "number": v.number.model_dump()} for v in verdicts])
    else:
        print(report.summary(verdicts))


class CheckCommand(TyperCommand):
    """A command whose first word may be one of its subcommands instead of its argument."""

    @cached_property
    def commands(self) -> dict[str, Any]:
        """The subcommands by name."""
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command("published")(published)
        return {"published": typer.main.get_command(app)}

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """Read the words that follow, those of a subcommand as it would."""
        if args and args[0] in self.commands:
            command, name = self.commands[args[0]], f"{info_name} {args[0]}"
            return command.make_context(name, args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


def write_text(path: Path, text: str) -> None:
    """Write a file, with the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
