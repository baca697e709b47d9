"""``icd-bench data``: get, check and build the data of benchmarks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icd_bench import registry
from icd_bench.errors import UsageError

from .output import align, print_json, say

if TYPE_CHECKING:
    from icd_bench.api import Sample
    from icd_bench.data.card import Card
    from icd_bench.data.fetch import MissingPictures
    from icd_bench.errors import BadSample

SOMETHING_IS_WRONG = 1
SHOWN_OF_A_KIND = 5
PICTURES_A_LINE = 100

app = typer.Typer(
    help="Get, check and build the data of benchmarks.", no_args_is_help=True, add_completion=False
)

Reference = Annotated[
    str, typer.Argument(metavar="NAME[:SPLIT][=DIR]", help="Benchmark; see: icd-bench list.")
]
Limit = Annotated[int | None, typer.Option(metavar="N", min=1, help="Only the first N rows.")]


@app.command("get")
def get(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Benchmark.")],
    to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder.  [default: $ICD_BENCH_DATA/NAME]")
    ] = None,
) -> int:
    """Fetch the data of a benchmark, where its licence allows that, or say how to get them.

    What is there is kept, and no file of yours is replaced. The exit code is 1 where pictures are
    missing at the end.
    """
    from icd_bench.data.fetch import fetch_card_files, fetch_pictures
    from icd_bench.data.home import default_folder

    loader = registry.benchmarks.load(name)
    card = card_of(name)
    if not card.can_be_fetched:
        raise UsageError(f"{name} ({card.licence}): {card.how_to_get}")
    folder = to or default_folder(name)
    say(f"{name}: {card.size}; licence: {card.licence}")
    fetch_card_files(card, folder)
    missing = None
    if card.pictures:
        names = loader(location=str(folder)).picture_names()
        missing = fetch_pictures(card.pictures, names, folder, _say_progress)
    print(folder)
    if not missing:
        return 0
    for line in _lines(missing, card):
        say(line)
    return SOMETHING_IS_WRONG


@app.command("verify")
def verify(reference: Reference) -> int:
    """Check that the data of a benchmark are complete and those that its card means."""
    from icd_bench.data.home import default_folder
    from icd_bench.data.lint import lint
    from icd_bench.data.verify import differences

    samples, split, name, location = _open(reference)
    card = card_of(name)
    found = lint(samples)
    folder = Path(location).expanduser() if location else default_folder(name)
    wrong = list(differences(card, folder, found, split))
    for line in wrong:
        say(line)
    print(f"{name}: {found.rows} rows, {found.rows - found.broken} usable")
    print(f"digest {found.digest}")
    return SOMETHING_IS_WRONG if wrong else 0


@app.command("lint")
def lint_rows(
    reference: Reference,
    limit: Limit = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
) -> int:
    """Say what is odd about the rows of a benchmark, and how many each metric can use."""
    from dataclasses import asdict

    from icd_bench.data.lint import lint

    samples, *_ = _open(reference)
    found = lint(islice(samples, limit))
    if as_json:
        print_json(asdict(found))
    else:
        ordered = sorted(found.problems, key=lambda problem: problem.kind)
        for kind, group in groupby(ordered, key=lambda problem: problem.kind):
            alike = list(group)
            print(f"{len(alike)} x {kind}")
            shown = [(problem.sample, problem.detail) for problem in alike[:SHOWN_OF_A_KIND]]
            print(align(shown, indent="  "))
            if len(alike) > SHOWN_OF_A_KIND:
                print("  ..")
        print(f"{found.rows} rows, {found.rows - found.broken} usable; rows that metrics can use:")
        print(align([(metric, str(n)) for metric, n in found.usable.items()], indent="  "))
    return SOMETHING_IS_WRONG if found.problems else 0


@app.command("build")
def build(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A benchmark that can be built.")],
    captions: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="Captions: COCO's captions_*.json, or CSV: file_name,caption."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.csv", help="The new set, for review.")],
    count: Annotated[int, typer.Option(metavar="N", min=1, help="Edits.")] = 140,
    seed: Annotated[int, typer.Option(metavar="N", help="Of all choices.")] = 0,
) -> None:
    """Build a new set of edits from captions: choose captions and replace one noun in each.

    The same captions and seed give the same file. Read it, mend or delete rows, name it
    editing_coco.csv in a folder with the photos in train2014/ or val2014/, and use it as
    --bench coco-edit=FOLDER.
    """
    loader = registry.benchmarks.load(name)
    if not hasattr(loader, "build"):
        raise UsageError(f"{name}: cannot be built; coco-edit can")
    if out.exists():
        raise UsageError(f"{out}: is there already; choose another --out")
    rows = loader.build(captions, out, count, seed)
    print(f"{out}: {rows} edits; read them before you use them")


@app.command("statistics")
def statistics(
    reference: Annotated[
        str,
        typer.Argument(
            metavar="NAME[:SPLIT][=DIR]|DIR",
            help="Benchmark, whose source pictures are taken, or a folder of pictures.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.safetensors", help="File to write.")],
    metric: Annotated[str, typer.Option(metavar="NAME", help="fid, kid or fd_dino_v2.")] = "fid",
    resolution: Annotated[
        int | None,
        typer.Option(
            metavar="PX", min=1, help="Bring pictures to this size first, as a run of it does."
        ),
    ] = None,
    protocol: Annotated[
        str, typer.Option(metavar="NAME", help="Says how, where a size is given.")
    ] = "native",
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=2, help="Only the first N pictures.")
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="cpu, cuda, cuda:1 or auto.")
    ] = "auto",
) -> None:
    """Write the statistics of pictures that edits are compared with by FID, KID or FD-DINOv2."""
    from icd_bench.run.planning.devices import choose_device
    from icd_bench.run.scoring.reference_statistics import make_statistics

    made, variable = make_statistics(
        reference, metric, out, resolution, protocol, limit, choose_device(device), say
    )
    print(f"{out}: {made.pictures} pictures, {made.net} {made.weights}")
    print(f"to compare runs with them: export {variable}={out.resolve()}")


def card_of(name: str) -> Card:
    """Return the card of a benchmark.

    Raises:
        UsageError: it has none.
    """
    card: Card | None = getattr(registry.benchmarks.load(name), "card", None)
    if card is None:
        raise UsageError(f"{name}: {registry.benchmarks.load(name).info.how_to_get}")
    return card


def _say_progress(number: int, total: int) -> None:
    if number % PICTURES_A_LINE == 0 or number == total:
        say(f"{number} of {total} pictures tried")


def _lines(missing: MissingPictures, card: Card) -> Iterator[str]:
    """Yield one line for each reason for which pictures are missing."""
    if missing.failed:
        first = next(iter(missing.failed.values()))
        yield f"{_counted(list(missing.failed))} not fetched; the first: {first}"
    if missing.elsewhere:
        yield f"{_counted(missing.elsewhere)} not at the address of the others: {card.how_to_get}"


def _counted(names: Sequence[str]) -> str:
    """Return how many pictures there are, and what the first are called."""
    noun = "picture" if len(names) == 1 else "pictures"
    more = ", .." if len(names) > SHOWN_OF_A_KIND else ""
    return f"{len(names)} {noun} ({', '.join(names[:SHOWN_OF_A_KIND])}{more})"


def _open(reference: str) -> tuple[Iterator[Sample | BadSample], str, str, str]:
    """Return samples, split, name and location of a benchmark."""
    from icd_bench.run.planning.rows import open_benchmark

    benchmark: Any
    benchmark, split = open_benchmark(reference)
    _, _, location = reference.partition("=")
    return benchmark.samples(), split, benchmark.info.name, location
