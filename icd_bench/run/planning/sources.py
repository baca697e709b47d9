"""Where models come from: the one place where the run package meets the diffusion package."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Protocol

from icd_bench.errors import MissingWeights

if TYPE_CHECKING:
    from icd_bench.diffusion.backbone import Backbone
    from icd_bench.models import ModelSpec


class Model(Protocol):
    """What a run needs to know of a model before any weight is loaded."""

    @property
    def name(self) -> str:
        """Short name, as in ``--model``."""

    @property
    def family(self) -> str:
        """Kind of pipeline: "sd", "sdxl"; methods may have other defaults there."""

    @property
    def resolution(self) -> int:
        """Side of its square pictures in pixels."""

    def commits(self, needs: Collection[str] | None = None) -> dict[str, str]:
        """Commit of each hub repository whose weights are used."""

    def digest(self, needs: Collection[str] | None = None) -> str:
        """SHA-256 (hex) over the weights that methods with these needs use."""


class ModelSource(Protocol):
    """Finds models by name and loads them; tests and plugins bring their own."""

    def find(self, reference: str) -> Model:
        """Return the model with a name or in a folder; raises UnknownName."""

    def require(self, model: Model, needs: Collection[str]) -> None:
        """Raise MissingWeights where the pipeline or a needed part is not on this machine."""

    def load(self, model: Model, device: str, dtype: str) -> Backbone:
        """Load the weights."""


class InstalledModels:
    """The models of ``icd_bench.models``."""

    def find(self, reference: str) -> Model:
        """Return the model with a name or in a folder.

        Raises:
            UnknownName: there is no such model; the message suggests the nearest one.
        """
        from icd_bench.models import find_model

        return find_model(reference)

    def require(self, model: Model, needs: Collection[str]) -> None:
        """Check that the pipeline and every needed part are on this machine.

        Raises:
            MissingWeights: one is not; the message has the command that gets it.
        """
        missing = _spec(model).missing(needs)
        if missing:
            parts = ", ".join(f"{p.part} ({p.size})" if p.size else p.part for p in missing)
            commands = "; ".join(dict.fromkeys(part.command for part in missing))
            raise MissingWeights(
                f'model "{model.name}" lacks {parts} on this machine; get it with: {commands}'
            )

    def load(self, model: Model, device: str, dtype: str) -> Backbone:
        """Load the weights."""
        from icd_bench.diffusion.backbone import Backbone

        return Backbone.load(_spec(model), device=device, dtype=dtype)


def _spec(model: Model) -> ModelSpec:
    from icd_bench.models import ModelSpec

    assert isinstance(model, ModelSpec), "a model found by InstalledModels"
    return model
