"""Methods that break one promise each. The sound one blurs the picture's latents with noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from icd_bench.api import Batch, Edits, Inversion, MethodInfo, Setting, edit_field, inversion_field

if TYPE_CHECKING:
    from torch import Tensor

    from icd_bench.diffusion.backbone import Backbone


class NoiseSetting(Setting):
    level: float = inversion_field(0.2, "standard deviation of the noise", ge=0)
    strength: float = edit_field(0.8, "share of the noise that is kept", ge=0, le=1)


class Sound:
    info: ClassVar = MethodInfo(
        name="sound",
        version="1",
        title="Noise on pictures",
        paper="none",
        sweep={"strength": (0.4, 0.8)},
    )
    Setting: ClassVar[Any] = NoiseSetting

    def invert(self, backbone: Backbone, batch: Batch, setting: Any) -> Inversion:
        return Inversion({"noise": self.noise(batch) * setting.level}, (0,) * len(batch))

    def noise(self, batch: Batch) -> Tensor:
        from icd_bench.diffusion.noise import randn

        return randn(batch.seeds, batch.images.shape[1:], "sound")

    def edit(
        self, backbone: Backbone, batch: Batch, inversion: Inversion, settings: Sequence[Any]
    ) -> Edits:
        import torch

        edits = [batch.images + inversion.tensors["noise"] * s.strength for s in settings]
        images = self.finish(torch.stack(edits, 1))
        return Edits(images, (0,) * len(batch), ((0,) * len(settings),) * len(batch))

    def finish(self, images: Tensor) -> Tensor:
        return images.clamp(0, 1)


class GlobalNoise(Sound):
    def noise(self, batch: Batch) -> Tensor:
        import torch

        return torch.randn(batch.images.shape)


class Entangled(Sound):
    """The samples of a batch see each other."""

    def noise(self, batch: Batch) -> Tensor:
        return super().noise(batch) + batch.images.mean()


class EntangledSettings(Sound):
    """The settings of a sweep see each other."""

    def finish(self, images: Tensor) -> Tensor:
        return super().finish(images - 0.1 * images.shape[1])


class OutOfRange(Sound):
    def finish(self, images: Tensor) -> Tensor:
        return images * 2


class WrongSize(Sound):
    def finish(self, images: Tensor) -> Tensor:
        return super().finish(images)[..., :-1]


class Forgetful(Sound):
    """Keeps something outside the inversion that a run does not store."""

    def invert(self, backbone: Backbone, batch: Batch, setting: Any) -> Inversion:
        inversion = super().invert(backbone, batch, setting)
        return Inversion({"noise": inversion.tensors["noise"][:1]})


class Recalling(Sound):
    """Keeps what it inverted in itself, where the next call finds it."""

    def invert(self, backbone: Backbone, batch: Batch, setting: Any) -> Inversion:
        inversion = super().invert(backbone, batch, setting)
        self.inverted = inversion.tensors["noise"]
        return inversion

    def edit(
        self, backbone: Backbone, batch: Batch, inversion: Inversion, settings: Sequence[Any]
    ) -> Edits:
        recalled = Inversion({"noise": self.inverted}, inversion.nfe)
        return super().edit(backbone, batch, recalled, settings)


class Greedy(Sound):
    """Its inversion reads an edit field."""

    def invert(self, backbone: Backbone, batch: Batch, setting: Any) -> Inversion:
        return Inversion({"noise": self.noise(batch) * setting.strength})


class Miscounting(Sound):
    """Evaluates a network and says that it did not."""

    def edit(
        self, backbone: Backbone, batch: Batch, inversion: Inversion, settings: Sequence[Any]
    ) -> Edits:
        from icd_bench.diffusion.attention import Row

        rows = [Row(b, 0) for b in range(len(batch))]
        text = backbone.encode_prompts(batch.target_prompts)
        with backbone.counting("edit", len(batch), len(settings)):
            backbone.network("base")(backbone.encode_images(batch.images), 500, text, rows)
        return super().edit(backbone, batch, inversion, settings)


class Untidy(Sound):
    """Changes a weight of the model."""

    def edit(
        self, backbone: Backbone, batch: Batch, inversion: Inversion, settings: Sequence[Any]
    ) -> Edits:
        next(iter(backbone.networks("base").parameters())).data.add_(1)
        return super().edit(backbone, batch, inversion, settings)


class SilentCopy(Sound):
    def noise(self, batch: Batch) -> Tensor:
        return super().noise(batch) * 0


class Raising(Sound):
    def invert(self, backbone: Backbone, batch: Batch, setting: Any) -> Inversion:
        raise RuntimeError("no luck today")


class Undeclared(Sound):
    info: ClassVar = MethodInfo(
        name="undeclared", version="1", title="", paper="none", needs=("moonlight",)
    )
