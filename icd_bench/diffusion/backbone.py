"""One pipeline as the methods see it: pictures, prompts, networks, and a count of what they cost.

A method never meets a device, a dtype, a batch limit or a counter: it encodes, predicts, jumps
and decodes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from icd_bench.api import Stage
from icd_bench.diffusion.attention import AttentionControl, AttentionSizes, Row
from icd_bench.diffusion.attention.processors import attention_layers
from icd_bench.diffusion.cost import Cost, RowCount
from icd_bench.diffusion.network import Network
from icd_bench.diffusion.networks import Networks, with_same_weights
from icd_bench.diffusion.noise import randn
from icd_bench.diffusion.schedule import Schedule
from icd_bench.diffusion.text import TextEncoder, load_text_encoder
from icd_bench.errors import UsageError

if TYPE_CHECKING:
    from icd_bench.models import ModelSpec

COMPILED = "compiled"
_BYTES_AT_ONCE = {"cpu": 4 * 16 * 64 * 64, "accelerator": 2 * 16 * 512 * 512}
"""Pixels times bytes of a number that the autoencoder handles in one go: more leave a processor's
caches and take half as long again."""


class Backbone:
    """Autoencoder, text encoder, U-Nets and schedule of a Stable-Diffusion-shaped pipeline.

    Latents are float32 on the device, whatever the networks' dtype.

    Args:
        spec: of the model; its resolution is that of all pictures.
        vae: a diffusers ``AutoencoderKL``.
        text_encoder: tokenizer and text encoder.
        networks: the frozen U-Nets by name.
        schedule: noise levels.
    """

    def __init__(
        self,
        spec: ModelSpec,
        vae: Any,
        text_encoder: TextEncoder,
        networks: Networks,
        schedule: Schedule,
    ) -> None:
        self.name = spec.name
        self.family = spec.family
        """Kind of pipeline, see ``ModelSpec.family``."""
        self.resolution = spec.resolution
        """Side of the square pictures in pixels."""
        self.schedule = schedule
        self.text_encoder = text_encoder
        self.max_rows: int | None = None
        """Most rows of one U-Net call; None for no limit."""
        self.control: AttentionControl | None = None
        """What acts on predictions now; set by :meth:`controlled`."""
        self.cost: dict[Stage, Cost] = {"inversion": Cost(), "edit": Cost()}
        """What was spent since loading, by stage."""

        self.vae = vae.eval().requires_grad_(False)
        self.networks = networks
        self._count: RowCount | None = None

    @classmethod
    def load(cls, spec: ModelSpec, device: str = "cpu", dtype: str = "float32") -> Backbone:
        """Load a model; its U-Nets follow when they are first used.

        Args:
            spec: of the model.
            device: torch device, such as "cuda:1".
            dtype: of the networks: "float32", "float16" or "bfloat16"; with " compiled" after it,
                the U-Nets are compiled.

        Raises:
            MissingWeights: a part of the pipeline is not on this machine.
            UsageError: unknown device or dtype, or a file that cannot be read.
        """
        number, _, compiled = dtype.partition(" ")
        place, kind = _device(device), _dtype(number)
        vae = _load_autoencoder(spec, kind).to(place)
        # Decoding, which every edit needs, is a fifth faster with the channels last.
        vae.decoder.to(memory_format=torch.channels_last)
        text_encoder = load_text_encoder(spec, place, kind)
        networks = Networks(spec, place, kind, compiled == COMPILED)
        schedule = Schedule.from_folder(spec.folder_of("scheduler"))
        return cls(spec, vae, text_encoder, networks, schedule)

    def twin(self) -> Backbone:
        """Return this backbone for another thread: with shared weights, its own control and count.

        What both remember, such as embeddings of prompts, they share as well.
        """
        other = copy.copy(self)
        other.vae = with_same_weights(self.vae)
        other.text_encoder = self.text_encoder.twin()
        other.networks = self.networks.twin()
        other.control, other._count = None, None
        other.cost = {"inversion": Cost(), "edit": Cost()}
        return other

    @property
    def loading_seconds(self) -> float:
        """Spent so far on loading networks that were used for the first time."""
        return self.networks.seconds

    # ------------------------------------------------------------------- sizes

    @property
    def device(self) -> torch.device:
        """Where latents and networks are."""
        device: torch.device = self.vae.device
        return device

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one picture's latents."""
        side = self.resolution // 2 ** (len(self.vae.config.block_out_channels) - 1)
        return (self.vae.config.latent_channels, side, side)

    @property
    def attention_sizes(self) -> AttentionSizes:
        """Where attention is controlled.

        Self-attention is replaced up to half the latents' side (32x32 for Stable Diffusion, as in
        its papers); LocalBlend reads the cross-attention level nearest to 16x16.
        """
        side, kinds = self.latent_shape[-1], self.networks.config()["down_block_types"]
        levels = [side >> i for i, kind in enumerate(kinds) if "CrossAttn" in kind]
        blend = min(levels, key=lambda level: abs(level - 16), default=16)
        return AttentionSizes(self_tokens=(side // 2) ** 2, blend=(blend, blend))

    @property
    def attention_blocks(self) -> int:
        """Number of transformer blocks of the U-Net."""
        return len({layer.block for layer in attention_layers(self.networks("base"))})

    # ------------------------------------------------------- prompts and pictures

    def encode_prompts(self, prompts: Sequence[str]) -> Tensor:
        """Return text embeddings (R, L, D); each distinct prompt is encoded once.

        A prompt that is too long is cut; :meth:`prompt_warnings` says so.
        """
        return self.text_encoder(prompts)

    def prompt_warnings(self, prompt: str) -> tuple[str, ...]:
        """Return one-line warnings about a prompt, such as that its end is cut."""
        return self.text_encoder.warnings(prompt)

    @torch.no_grad()
    def encode_images(self, images: Tensor, seeds: Sequence[int] | None = None) -> Tensor:
        """Return latents (B, C, h, w) of pictures (B, 3, H, W) in [0, 1].

        The mean of the autoencoder's posterior, or a sample of it, times its scaling factor.

        Args:
            images: at the model's resolution.
            seeds: of the B samples, to draw one from each posterior; None for the means.

        Raises:
            UsageError: the pictures are not of the model's resolution.
        """
        if images.shape[1:] != (3, self.resolution, self.resolution):
            raise UsageError(
                f"pictures of shape {tuple(images.shape)}: the model {self.name} takes "
                f"(B, 3, {self.resolution}, {self.resolution})"
            )
        parts = torch.split(images.to(self.device) * 2 - 1, self._pictures_at_once)
        posteriors = [self.vae.encode(x.to(self.vae.dtype)).latent_dist for x in parts]
        latents = torch.cat([posterior.mean.float() for posterior in posteriors])
        if seeds is not None:
            deviations = torch.cat([posterior.std.float() for posterior in posteriors])
            latents += deviations * randn(seeds, self.latent_shape, "posterior").to(latents)
        return latents.mul(self.vae.config.scaling_factor)

    @torch.no_grad()
    def decode_latents(self, latents: Tensor) -> Tensor:
        """Return pictures (B, 3, H, W) in [0, 1] of latents (B, C, h, w)."""
        scaled = latents.to(self.device) / self.vae.config.scaling_factor
        parts = torch.split(scaled, self._pictures_at_once)
        decoded = [self.vae.decode(x.to(self.vae.dtype)).sample.float() for x in parts]
        return (torch.cat(decoded) / 2 + 0.5).clamp(0, 1)

    @property
    def _pictures_at_once(self) -> int:
        picture: int = self.vae.dtype.itemsize * self.resolution**2
        most = _BYTES_AT_ONCE["cpu" if self.device.type == "cpu" else "accelerator"]
        return max(1, most // picture)

    # ------------------------------------------------------------------ networks

    def network(self, name: str) -> Network:
        """Return a noise-prediction network.

        Args:
            name: ``base``, ``cfg_distilled``, ``icd_forward:<set>``, ``icd_reverse:<set>`` or
                ``lcm``; sets are those of :mod:`icd_bench.diffusion.timestep_sets`.

        Raises:
            MissingWeights: its weights are not on this machine; the message says how to get them.
        """
        return Network(self, self.networks(name))

    @contextmanager
    def controlled(self, control: AttentionControl) -> Iterator[None]:
        """Let ``control`` act on every prediction made inside."""
        outer, self.control = self.control, control
        try:
            yield
        finally:
            self.control = outer

    @contextmanager
    def counting(self, stage: Stage, samples: int, settings: int = 0) -> Iterator[RowCount]:
        """Count the rows of predictions made inside, by owner.

        Args:
            stage: what they are spent on.
            samples: B.
            settings: K.
        """
        count = RowCount.zero(stage, samples, settings)
        outer, self._count = self._count, count
        try:
            yield count
        finally:
            self._count = outer

    def spend(self, rows: Sequence[Row]) -> None:
        """Count one U-Net call."""
        if self._count is not None:
            self._count.add(rows)
            cost = self.cost[self._count.stage]
            cost.calls += 1
            cost.rows += len(rows)


def _load_autoencoder(spec: ModelSpec, dtype: torch.dtype) -> Any:
    """Return the autoencoder; that of Stable Diffusion XL overflows in half precision."""
    import diffusers

    autoencoder: Any = diffusers.AutoencoderKL
    return autoencoder.from_pretrained(
        spec.folder_of("vae"),
        torch_dtype=torch.float32 if spec.family == "sdxl" else dtype,
        variant=spec.part("vae").variant,
        use_safetensors=True,
        local_files_only=True,
    )


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f'unknown device "{name}": give "cpu", "cuda", "cuda:1", "mps"') from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f'device "{name}": this machine has no CUDA accelerator')
    return device


def _dtype(name: str) -> torch.dtype:
    known = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    if name not in known:
        raise UsageError(f'unknown dtype "{name}": give one of {", ".join(known)}')
    return known[name]
