"""``icd-bench throughput``: edits a second on this machine, and what they leave unused."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icd_bench.errors import UsageError

from .options import Device, Dtype, check_place
from .output import align, check_choice, print_json, say

if TYPE_CHECKING:
    from icd_bench.diffusion.backbone import Backbone
    from icd_bench.throughput.measure import Throughput

MODELS = ("scenes", "sd15-random", "sdxl-random")
GIB = 2**30


def throughput(
    model: Annotated[
        str, typer.Option(metavar="NAME", help=f"{', '.join(MODELS)}: shapes, random weights.")
    ] = "scenes",
    device: Device = "auto",
    dtype: Dtype = "auto",
    resolution: Annotated[
        int | None,
        typer.Option(metavar="PIXELS", help="Side of the pictures.  [default: the model's own]"),
    ] = None,
    batch_sizes: Annotated[
        str, typer.Option(metavar="B[,B...]", help="Pictures at once, one line each.")
    ] = "1,2,4,8",
    settings: Annotated[
        int, typer.Option(metavar="K", min=1, help="Settings of each picture at once.")
    ] = 1,
    seconds: Annotated[
        float, typer.Option(metavar="S", min=0, help="Shortest time of each measurement.")
    ] = 5.0,
    channels_last: Annotated[
        bool, typer.Option("--channels-last", help="Keep feature maps as NHWC.")
    ] = False,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the blocks around attention.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> None:
    """Measure inversion and editing of iCD 4 + 4: edits a second, memory, share of the machine."""
    check_choice(model, MODELS, "model")
    check_place(device, dtype)
    sizes = _sizes(batch_sizes)
    from icd_bench.run.memory import is_out_of_memory
    from icd_bench.run.storage.provenance import hardware
    from icd_bench.throughput.measure import NETWORKS, matrix_rate, measure
    from icd_bench.throughput.tuning import tune

    backbone = _backbone(model, device, dtype, resolution)
    networks = [backbone.networks(name) for name in NETWORKS]
    blocks = tune(networks, channels_last, compiled)
    rate = matrix_rate(backbone.device, networks[0].dtype)
    facts = {
        "model": model,
        "resolution": backbone.resolution,
        "dtype": str(networks[0].dtype).removeprefix("torch."),
        "device": str(backbone.device),
        "channels_last": channels_last,
        "compiled_blocks": blocks,
        "matrix_tflops": rate / 1e12,
        "hardware": hardware(),
    }
    found: list[Throughput] = []
    for size in sizes:
        try:
            found.append(measure(backbone, size, settings, seconds))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            say(f"{size} pictures x {settings} settings do not fit into memory")
            break
    if as_json:
        print_json({**facts, "measured": [_as_json(one, rate) for one in found]})
        return
    print(align([(name, str(value)) for name, value in facts.items()]))
    print(align([_TITLES, *(_line(one, rate) for one in found)]))


_TITLES = ("pictures", "settings", "edits/s", "rows/s", "in U-Net", "of matrix rate", "memory")


def _line(one: Throughput, rate: float) -> tuple[str, ...]:
    return (
        str(one.samples),
        str(one.settings),
        f"{one.edits_per_second:.3g}",
        f"{one.rows / one.seconds:.3g}",
        f"{one.unet_share:.0%}",
        f"{one.flops_per_second / rate:.0%}",
        f"{one.peak_memory / GIB:.2f} GiB",
    )


def _as_json(one: Throughput, rate: float) -> dict[str, Any]:
    return asdict(one) | {
        "edits_per_second": one.edits_per_second,
        "unet_share": one.unet_share,
        "matrix_share": one.flops_per_second / rate,
    }


def _sizes(text: str) -> list[int]:
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f'--batch-sizes "{text}": give numbers such as 1,2,4') from error
    if min(sizes) < 1:
        raise UsageError(f'--batch-sizes "{text}": each must be at least 1')
    return sizes


def _backbone(model: str, device: str, dtype: str, resolution: int | None) -> Backbone:
    import torch

    from icd_bench.diffusion.backbone import Backbone
    from icd_bench.models import find_model
    from icd_bench.run.planning.devices import choose_device, choose_dtype
    from icd_bench.throughput.random_models import random_backbone

    place = choose_device(device)
    kind = choose_dtype(dtype, place)
    if model == "scenes":
        if resolution is not None:
            raise UsageError("--resolution: the embedded model has one of its own")
        return Backbone.load(find_model(model), place, kind)
    if resolution is not None and (resolution < 64 or resolution % 64):
        raise UsageError(f"--resolution {resolution}: give a multiple of 64")
    return random_backbone(model, place, getattr(torch, kind), resolution)
