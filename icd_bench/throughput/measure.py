"""Edits a second of iCD 4 + 4, and how much of the time and of the machine they use."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from icd_bench import registry
from icd_bench.api import Batch, BlendWords, Method, Setting
from icd_bench.diffusion.attention import Row
from icd_bench.diffusion.backbone import Backbone
from icd_bench.run.storage.provenance import peak_memory

NETWORKS: Final = ("icd_forward:4a", "icd_reverse:4a")
SOURCE, TARGET = "a red circle left of a blue square", "a green circle left of a blue square"


@dataclass(frozen=True)
class Throughput:
    """What editing B pictures with K settings at once takes."""

    samples: int
    """B."""
    settings: int
    """K."""
    edits: int
    """That were timed, B x K each time."""
    rows: int
    """U-Net rows of all of them."""
    seconds: float
    unet_seconds: float
    """Inside U-Nets, attention control included."""
    flops: float
    """Of the U-Net rows, counted for the plain network."""
    peak_memory: int
    """Bytes: the accelerator's since this measurement began, on a processor the process's ever."""

    @property
    def edits_per_second(self) -> float:
        """Inversion, edit and autoencoder; pictures stay on the device."""
        return self.edits / self.seconds

    @property
    def unet_share(self) -> float:
        """Share of the time inside U-Nets."""
        return self.unet_seconds / self.seconds

    @property
    def flops_per_second(self) -> float:
        """Reached inside U-Nets."""
        return self.flops / self.unet_seconds


def measure(backbone: Backbone, samples: int, settings: int, seconds: float) -> Throughput:
    """Invert and edit random pictures with iCD 4 + 4, again and again.

    Args:
        backbone: edits; each network is called once before the clock starts.
        samples: B pictures at once.
        settings: K settings at once.
        seconds: how long at least, after a first edit that is not timed.
    """
    method: Method = registry.methods.load("icd")()
    batch = _random_batch(backbone, samples)
    chosen = _sweep(backbone, method, settings)
    device = backbone.device

    def edit() -> None:
        method.edit(backbone, batch, method.invert(backbone, batch, chosen[0]), chosen)

    edit()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    flops = flops_per_row(backbone)
    before, times = _rows(backbone), 0
    with _timing_networks(backbone) as unet_time:
        start = clock(device)
        while clock(device) - start < seconds or not times:
            edit()
            times += 1
        took = clock(device) - start
        inside = unet_time()
    rows = _rows(backbone) - before
    return Throughput(
        samples=samples,
        settings=settings,
        edits=samples * settings * times,
        rows=rows,
        seconds=took,
        unet_seconds=inside,
        flops=flops * rows,
        peak_memory=peak_memory(str(device)),
    )


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return the FLOP a second of a large matrix product: the best of some."""
    size = 1024 if device.type == "cpu" else 8192
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(8):
        start = clock(device)
        a @ b
        best = min(best, clock(device) - start)
    return 2 * size**3 / best


@torch.no_grad()
def flops_per_row(backbone: Backbone) -> float:
    """Return the FLOP of one row of a U-Net, counted on a call without control."""
    latents, text, rows = _plain_call(backbone, 2)
    network = backbone.network(NETWORKS[1])
    counter = FlopCounterMode(display=False)
    with counter:
        network(latents, 500, text, rows, guidance_scale=1.0)
    return counter.get_total_flops() / len(rows)


@torch.no_grad()
def seconds_per_row(backbone: Backbone, name: str, rows: int, times: int = 5) -> float:
    """Return the median time of a row in plain calls of a network with some rows."""
    latents, text, owners = _plain_call(backbone, rows)
    network = backbone.network(name)
    took = []
    for _ in range(times + 1):
        start = clock(backbone.device)
        network(latents, 500, text, owners, guidance_scale=1.0)
        took.append(clock(backbone.device) - start)
    return sorted(took[1:])[times // 2] / rows


def clock(device: torch.device) -> float:
    """Return seconds, after the device has done what it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _plain_call(backbone: Backbone, rows: int) -> tuple[Tensor, Tensor, list[Row]]:
    latents = torch.randn(rows, *backbone.latent_shape).to(backbone.device)
    return latents, backbone.encode_prompts([SOURCE] * rows), [Row(i) for i in range(rows)]


def _random_batch(backbone: Backbone, samples: int) -> Batch:
    side = backbone.resolution
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(samples, 3, side, side, generator=generator)
    return Batch(
        ids=tuple(map(str, range(samples))),
        images=images.to(backbone.device),
        source_prompts=(SOURCE,) * samples,
        target_prompts=(TARGET,) * samples,
        blend_words=(BlendWords(("circle",), ("circle",)),) * samples,
        seeds=tuple(range(samples)),
    )


def _sweep(backbone: Backbone, method: Method, settings: int) -> Sequence[Setting]:
    """Return K settings; Stable Diffusion XL is edited by switching prompts, without a source."""
    shares = [(i + 1) / settings for i in range(settings)]
    if backbone.family == "sdxl":
        fields = [{"editing": "prompt_switch", "guidance_scale": 1 + 19 * x} for x in shares]
    else:
        fields = [{"cross_replace": x} for x in shares]
    return [method.Setting.model_validate(one) for one in fields]


def _rows(backbone: Backbone) -> int:
    return sum(cost.rows for cost in backbone.cost.values())


@contextmanager
def _timing_networks(backbone: Backbone) -> Iterator[Callable[[], float]]:
    """Time every call of the U-Nets inside; what is given returns their sum in seconds."""
    stopwatch = _Stopwatch(backbone.device)
    with ExitStack() as stack:
        for name in NETWORKS:
            unet = backbone.networks(name)
            for hook in (
                unet.register_forward_pre_hook(stopwatch.mark),
                unet.register_forward_hook(stopwatch.mark),
            ):
                stack.callback(hook.remove)
        yield stopwatch.total


class _Stopwatch:
    """Times between pairs of marks, on the device's own clock where it has one."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._marks: list[Any] = []

    def mark(self, *_: Any) -> None:
        """Note the time; on an accelerator without waiting for it."""
        if self._device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._marks.append(event)
        else:
            self._marks.append(time.perf_counter())

    def total(self) -> float:
        """Return the seconds between each first and second mark."""
        clock(self._device)
        pairs = zip(self._marks[::2], self._marks[1::2], strict=True)
        if self._device.type == "cuda":
            return sum(float(begin.elapsed_time(end)) for begin, end in pairs) / 1000
        return sum(float(end - begin) for begin, end in pairs)
