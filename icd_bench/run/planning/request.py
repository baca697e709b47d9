"""What the user asks for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from icd_bench.protocols import NATIVE
from icd_bench.run.caches.cache import DEFAULT_SIZE


@dataclass(frozen=True)
class RunRequest:
    """What the user asks for; the fields are the options of ``icd-bench run``."""

    methods: tuple[str, ...]
    """Names, or ``./file.py:Class``."""
    benchmark: str
    """``name``, ``name:split``, ``./file.py:Class`` or a folder with prompts."""
    model: str | None = None
    """Name or folder; None: the benchmark's default."""
    limit: int | None = None
    """Only the first rows of the benchmark."""
    subset: str = ""
    """Only the rows of a fixed small part (``icd_bench.run.planning.subsets``); empty: all."""
    seed: int = 0
    sets: tuple[str, ...] = ()
    """``field=value`` or ``method.field=value``."""
    sweeps: tuple[str, ...] = ()
    """``field=v1,v2`` or ``method.field=v1,v2`` (a grid), ``default`` or ``method.default``."""
    preset: str = ""
    """Settings of a publication, "paper" or "pie-bench", that ``sets`` go on top of; or of single
    methods: ``icd.paper,npi.pie-bench``."""
    zipped: tuple[str, ...] = ()
    """Methods whose swept fields vary together instead of in a grid; ``*`` means all."""
    metrics: tuple[str, ...] | None = None
    """Names; None: the protocol's or the benchmark's own, else all that apply."""
    protocol: str = NATIVE.name
    """How pictures are prepared and scored."""
    out: Path | None = None
    """Run folder; None: a name made from the plan, below ``root``."""
    root: Path = Path("runs")
    device: str = "auto"
    """``auto`` takes the accelerator where there is one."""
    dtype: str = "auto"
    """``auto``: float16 on an accelerator, float32 elsewhere."""
    compiled: bool = False
    """Compile the U-Nets: minutes before the first edit, other last bits."""
    timeout: float | None = None
    """Longest time in seconds for one inversion, and for one edit; None: as long as it takes."""
    batch_size: int | None = None
    """Samples at once; None: chosen from the resolution and the device."""
    engine: str = "inline"
    workers: int | None = None
    """Processes that compute, where the engine has some; None: as many as the devices feed."""
    cluster: str | None = None
    """Address of a running cluster, where the engine can use one."""
    cache_size: int = DEFAULT_SIZE
    """Most bytes of inversions that are kept for later runs; 0: none are."""
    command: str = ""
    """The command line, for the record."""
