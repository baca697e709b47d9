"""``icd-bench cache``: the inversions that later runs reuse."""

from __future__ import annotations

import time

import typer

from .output import align

app = typer.Typer(
    help="The inversions that are kept for later runs.", no_args_is_help=True, add_completion=False
)


@app.command("info")
def info() -> None:
    """Print where the cache is and what it holds."""
    from icd_bench.run.caches.cache import DEFAULT_SIZE, InversionCache, inversions_home, show_size

    found = InversionCache(inversions_home()).info()
    used = "" if found.oldest is None else time.strftime("%Y-%m-%d", time.localtime(found.oldest))
    print(
        align(
            [
                ("folder", str(found.folder)),
                ("inversions", str(found.files)),
                ("size", show_size(found.bytes)),
                ("most", f"{show_size(DEFAULT_SIZE)}, or --cache-size of a run"),
                ("oldest use", used or "never"),
            ]
        )
    )


@app.command("clear")
def clear() -> None:
    """Remove all inversions; runs compute them again where they need them."""
    from icd_bench.run.caches.cache import InversionCache, inversions_home, show_size

    cache = InversionCache(inversions_home())
    print(f"{cache.folder}: {show_size(cache.clear())} freed")
