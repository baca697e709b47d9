"""Training in the processes that ``accelerate launch`` starts, or in a single one.

Each process computes its share of the batch in micro-batches, one after the other. Gradients are
summed over the processes once an update, not during the backward pass as torch's DDP does: the
U-Net's adapters are switched within a step, and most of its passes have no gradient.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import torch
from accelerate import PartialState
from accelerate.utils import gather_object, reduce
from torch import Tensor, nn

from icd_bench.errors import UsageError

from .batch import Share
from .machine import Part, run_part, weights_of

PRECISIONS: Final = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Number types of matrix products in training, as ``accelerate launch`` names them."""
_BUCKET: Final = 2**26
"""Gradient elements that are summed over the processes in one go: 256 MB."""
_OTHERS: Final = ("ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP")


@dataclass(frozen=True)
class Precision:
    """Number type of matrix products; trained weights and optimisers are float32 in any case."""

    device: torch.device
    dtype: torch.dtype | None

    @classmethod
    def named(cls, name: str, device: torch.device) -> Precision:
        """Return a precision by its name.

        Raises:
            UsageError: unknown name, or float16 on a CPU.
        """
        if name not in PRECISIONS:
            raise UsageError(f'unknown precision "{name}". Known: {", ".join(PRECISIONS)}.')
        if name == "fp16" and device.type == "cpu":
            raise UsageError("precision fp16 needs an accelerator; on a CPU give bf16 or no")
        return cls(device, PRECISIONS[name])

    def __call__(self) -> AbstractContextManager[object]:
        """Return the context in which networks run.

        Without autocast's cache: a cast made under ``no_grad`` would cut the gradient of a later
        pass, and within a pass no weight is used twice.
        """
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype, cache_enabled=False)

    def freeze(self, unet: nn.Module) -> None:
        """Keep the weights of frozen matrix products in half precision, adapters excepted.

        Autocast would cast them at every use; their predictions are the same to the bit.
        """
        if self.dtype is None:
            return
        for name, module in unet.named_modules():
            if isinstance(module, nn.Linear | nn.Conv2d) and ".lora_" not in name:
                module.to(self.dtype)


class Processes:
    """This process among those of a run.

    Args:
        cpu: stay on the CPU where there is an accelerator.
        precision: see ``PRECISIONS``; empty takes what ``accelerate launch`` was told, else "no".

    Raises:
        UsageError: the launcher asks for DeepSpeed or FSDP, or the precision is not to be had.
    """

    def __init__(self, cpu: bool = False, precision: str = "") -> None:
        for variable in _OTHERS:
            if os.environ.get(variable, "false").lower() == "true":
                raise UsageError(
                    f"{variable} is set: weights and optimisers are not cut into pieces here; "
                    "launch with --multi_gpu"
                )
        self._state = PartialState(cpu=cpu)
        self.device: torch.device = self._state.device
        named = precision or os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
        self.precision = Precision.named(named, self.device)
        self.precision_name = named
        scaled = self.precision.dtype is torch.float16
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=scaled)

    @property
    def share(self) -> Share:
        """Which rows of a batch are this process's."""
        return Share(self._state.process_index, self._state.num_processes)

    @property
    def count(self) -> int:
        """Of processes."""
        return self.share.of

    @property
    def index(self) -> int:
        """Of this process."""
        return self.share.index

    @property
    def main(self) -> bool:
        """Whether this process is the one that writes files."""
        return bool(self._state.is_main_process)

    @property
    def rescales(self) -> bool:
        """Whether float16's loss scale can fall further where gradients overflow.

        Below 1 gradients overflow by themselves.
        """
        return self._scaler.is_enabled() and self._scaler.get_scale() >= 1

    def run(self, parts: Sequence[Part]) -> float:
        """Forward and backward of the parts in turn; return their sum over all processes."""
        total = sum(run_part(part, self._backward) for part in parts)
        return float(self._sum(torch.tensor(total, device=self.device)))

    def take_steps(
        self, optimisers: Mapping[str, torch.optim.Optimizer], clip: float
    ) -> dict[str, float]:
        """Sum gradients over the processes, clip and step.

        In float16 a step whose gradients overflow is left out, and the loss scale is lowered.
        """
        norms = {}
        for name, optimiser in optimisers.items():
            weights = weights_of(optimiser)
            self._sum_gradients([w.grad for w in weights if w.grad is not None])
            self._scaler.unscale_(optimiser)
            norms[name] = float(nn.utils.clip_grad_norm_(weights, clip))
            self._scaler.step(optimiser)
        self._scaler.update()
        return norms

    def collect(self, state: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what every process gave, in their order."""
        states: list[dict[str, Any]] = gather_object([state])
        return states

    def wait(self) -> None:
        """Return once every process is here."""
        self._state.wait_for_everyone()

    def close(self) -> None:
        """Leave the other processes."""
        self._state.destroy_process_group()

    def state(self) -> dict[str, Any]:
        """The loss scale of float16."""
        return {"scaler": self._scaler.state_dict()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue with a loss scale."""
        self._scaler.load_state_dict(state["scaler"])

    def figures(self) -> dict[str, float]:
        """The most memory that this process has taken of its accelerator, in GB."""
        if self.device.type != "cuda":
            return {}
        return {"peak_memory_gb": torch.cuda.max_memory_allocated(self.device) / 1e9}

    def _backward(self, loss: Tensor) -> None:
        self._scaler.scale(loss).backward()

    def _sum(self, tensor: Tensor) -> Tensor:
        total: Tensor = reduce(tensor, "sum")
        return total

    def _sum_gradients(self, gradients: Sequence[Tensor]) -> None:
        if self.share.of == 1:
            return
        for bucket in buckets(gradients, _BUCKET):
            total = self._sum(torch.cat([gradient.flatten() for gradient in bucket]))
            parts = total.split([gradient.numel() for gradient in bucket])
            for gradient, part in zip(bucket, parts, strict=True):
                gradient.copy_(part.view_as(gradient))


def buckets(tensors: Sequence[Tensor], elements: int) -> list[list[Tensor]]:
    """Return tensors in groups, each started within ``elements`` elements of one another."""
    ends = torch.tensor([tensor.numel() for tensor in tensors]).cumsum(0).tolist()
    numbered = zip((end // elements for end in ends), tensors, strict=True)
    return [[tensor for _, tensor in group] for _, group in groupby(numbered, key=lambda n: n[0])]
