"""The scenes world as a benchmark; nothing of it is loaded before it is asked for a sample."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from icd_bench.api import BenchmarkInfo, Sample
from icd_bench.errors import BadSample, UsageError

from .world import IMAGE_SIZE

SAMPLES = 700


class Scenes:
    """700 edits of a split (default: test), all ten PIE types in turn, with their true results."""

    info: ClassVar[BenchmarkInfo] = BenchmarkInfo(
        name="scenes",
        title="Scenes: a small world with true edits",
        licence="Apache-2.0",
        source="made by icd-bench, see benchmarks/scenes/README.md",
        size=f"{SAMPLES} edits a split, {IMAGE_SIZE}x{IMAGE_SIZE}, drawn on demand (0 bytes)",
        how_to_get="nothing to get: it comes with icd-bench",
        resolution=IMAGE_SIZE,
        default_model="scenes",
        metrics=(
            "background_psnr",
            "background_lpips",
            "background_ssim",
            "background_mse",
            "psnr",
            "ssim",
            "mse",
            "lpips_alex",
            "clip_image",
            "clip_text",
            "attribute_edited",
            "attribute_kept",
            "clip_target_image",
            "target_psnr",
            "target_ssim",
            "target_lpips",
        ),
    )

    def __init__(self, location: str | None = None, split: str | None = None) -> None:
        if location is not None:
            raise UsageError(f"scenes: location {location!r}: it is drawn, not read; leave it out")
        from .splits import SPLITS

        self.split = "test" if split is None else split
        if self.split not in SPLITS:
            raise UsageError(f"scenes: split {split!r}: it must be one of {', '.join(SPLITS)}")

    def samples(self) -> Iterator[Sample | BadSample]:
        """Yield the edits in order; nothing is drawn before a picture is read."""
        from .samples import sample

        for index in range(SAMPLES):
            yield sample(self.split, index)
