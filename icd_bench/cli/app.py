"""The ``icd-bench`` command: turns every outcome into output and an exit code.

Exit codes: 0 fine; 1 some cells failed; 2 usage or input error; 70 an error of icd-bench itself;
130 interrupted. Every error is one line on standard error.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

import icd_bench
from icd_bench.errors import IcdBenchError

from . import (
    baseline,
    cache,
    check,
    check_method,
    curve,
    data,
    diff,
    doctor,
    edit,
    export,
    figures,
    listing,
    noise,
    paper,
    plan,
    report,
    run,
    score,
    study,
    table,
    throughput,
    train,
    verify,
    weights,
)
from .output import say

PROGRAM = "icd-bench"
DEBUG_VARIABLE = "ICD_BENCH_DEBUG"
USAGE_ERROR, INTERNAL_ERROR, INTERRUPTED = 2, 70, 130

app = typer.Typer(
    name=PROGRAM,
    help="Benchmark and evaluate text-guided image editing with diffusion models.",
    epilog="Start with: icd-bench run --method icd,identity --bench scenes --limit 8",
    context_settings={"help_option_names": ["--help", "-h"]},
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("list")(listing.list_plugins)
app.command("run")(run.run)
app.command("plan")(plan.plan)
app.command("edit")(edit.edit)
app.command("score")(score.score)
app.command("table")(table.table)
app.command("paper")(paper.paper)
app.command("report")(report.report)
app.command("curve")(curve.curve)
app.command("figures")(figures.figures)
app.command("diff")(diff.diff)
app.add_typer(data.app, name="data")
app.add_typer(cache.app, name="cache")
app.add_typer(study.app, name="study")
app.add_typer(train.app, name="train")
app.add_typer(weights.app, name="weights")
app.command("throughput")(throughput.throughput)
app.command("doctor")(doctor.doctor)
app.command("check-method")(check_method.check_method)
app.command("check", cls=check.CheckCommand)(check.check)
app.add_typer(baseline.app, name="baseline")
app.command("noise")(noise.noise)
app.command("verify")(verify.verify)
app.command("export")(export.export)
app.command("import")(export.import_archive)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: what follows the program's name; None takes it from ``sys.argv``.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = typer.main.get_command(app)
    try:
        code = command.main(args=words, prog_name=PROGRAM, standalone_mode=False)
    except IcdBenchError as error:
        return _failed(error, str(error), USAGE_ERROR, words)
    except typer.TyperException as error:
        return _failed(error, _usage_message(error), error.exit_code, words)
    except OSError as error:
        return _failed(error, str(error), USAGE_ERROR, words)
    except Exception as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        message = (
            f"internal error: {type(error).__name__}: {error} (at {at.filename}:{at.lineno}); "
            f"set {DEBUG_VARIABLE}=1 to see the traceback"
        )
        return _failed(error, message, INTERNAL_ERROR, words)
    if code == INTERRUPTED:
        say("interrupted; what was finished is kept, and the same command goes on from there")
    return code or 0


@app.callback(invoke_without_command=True)
def _common(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help=f"Show tracebacks (or set {DEBUG_VARIABLE}=1).")
    ] = False,
) -> None:
    if version:
        print(f"{PROGRAM} {icd_bench.__version__}")
    elif context.invoked_subcommand is None:
        print(context.get_help())


def _failed(error: Exception, message: str, code: int, words: Sequence[str]) -> int:
    if "--debug" in words or os.environ.get(DEBUG_VARIABLE, "0") not in ("", "0"):
        traceback.print_exception(error)
    say(" ".join(message.split()))
    return code


def _usage_message(error: typer.TyperException) -> str:
    message = error.format_message()
    if options := getattr(error, "possibilities", None):
        message = f'{error.message}. Did you mean "{options[0]}"?'
    context = getattr(error, "ctx", None)
    return f'{message} (see "{context.command_path} --help")' if context else message
