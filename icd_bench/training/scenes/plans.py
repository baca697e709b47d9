"""How long each stage trains, and how."""

from __future__ import annotations

from dataclasses import replace

from icd_bench.training.loop import Plan

from .ablations import ABLATIONS

_ICD = Plan(
    250, 8, lr=5e-4, warmup=20, ema=0.98, betas=(0.9, 0.99), validate_every=100, checkpoint_every=50
)

# Under four hours on two shared cores, half of them for the denoiser: see the card for minutes.
PLANS: dict[str, Plan] = {
    "autoencoder": Plan(
        1750, 16, lr=2e-3, ema=0.995, betas=(0.9, 0.99), validate_every=250, checkpoint_every=250
    ),
    "clip": Plan(
        4000, 64, lr=1e-3, warmup=50, weight_decay=0.01, ema=0.99, threads=1,
        validate_every=200, checkpoint_every=100,
    ),
    "denoiser": Plan(
        7500, 32, lr=1e-3, warmup=150, ema=0.998, betas=(0.9, 0.99),
        validate_every=500, checkpoint_every=150,
    ),
    "cfg-distill": Plan(
        1000, 16, lr=4e-4, warmup=20, ema=0.98, betas=(0.9, 0.99),
        validate_every=200, checkpoint_every=50,
    ),
    "icd-4a": _ICD,
    "icd-4b": _ICD,
    "icd-3": _ICD,
    "lcm": replace(_ICD, steps=150, batch_size=16),
    **dict.fromkeys(ABLATIONS, _ICD),
}  # fmt: skip
