"""CLIP ViT-L/14 on photos: the similarities that papers print.

Radford et al. 2021, arXiv:2103.00020; weights ``openai/clip-vit-large-patch14`` through
transformers. ``clip_text_l14`` and ``clip_image_l14`` are raw cosines in [-1, 1], as in iCD's
tables; ``clip_score_l14`` is 100 times the cosine, not below 0, as in PIE-Bench's (Hessel et al.
2021, arXiv:2104.08718, has the factor 2.5). Higher is better. A prompt beyond 77 tokens is cut.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from icd_bench.api import MetricInfo, Sample, Scored

from .clip import CITATION, CLIPImage, CLIPMetric, CLIPText, cosine
from .clip_network import CLIPEncoder, CLIPSource
from .features import Features
from .networks import CLIP_L14
from .preprocess import Preprocess
from .weights import Network

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


class HubCLIP:
    """A CLIP in the folder layout of transformers.

    Args:
        network: which one (default: ViT-L/14 of OpenAI).
    """

    def __init__(self, network: Network = CLIP_L14) -> None:
        self.network = network

    @property
    def name(self) -> str:
        """In signatures: ``net:<name>``."""
        return self.network.name

    def applies(self, sample: Sample) -> bool:
        """Return true: it has seen pictures of every kind."""
        return True

    def fingerprint(self) -> str:
        """Return 8 hex digits of the files' contents, or "missing"."""
        return self.network.fingerprint()

    def load(self, device: str = "cpu") -> CLIPEncoder:
        """Return the network in float32; metrics on the same device share one copy.

        Raises:
            MissingWeights: a file is not there.
        """
        return _load(self.network.require(), device, self.fingerprint())


class TransformersCLIP(CLIPEncoder):
    """A CLIP of transformers.

    Args:
        model: in evaluation mode.
        tokenizer: maps texts to token ids, padded and cut.
        preprocess: maps pictures to the network's input.
    """

    def __init__(self, model: Any, tokenizer: Any, preprocess: Preprocess) -> None:
        self.model, self.tokenizer, self.preprocess = model, tokenizer, preprocess
        super().__init__()

    def images(self, images: Tensor) -> Features:
        """Return ((N, D),) unit embeddings of (N, 3, H, W) in [0, 1]."""
        import torch

        with torch.inference_mode():
            pixels = self.preprocess(images).to(self.model.device)
            pooled = self.model.vision_model(pixel_values=pixels).pooler_output
            return (_unit(self.model.visual_projection(pooled)),)

    def encode_texts(self, texts: list[str]) -> Tensor:
        """Return (N, D) unit embeddings."""
        import torch

        length = self.model.config.text_config.max_position_embeddings
        tokens = self.tokenizer(
            texts, padding=True, truncation=True, max_length=length, return_tensors="pt"
        ).to(self.model.device)
        with torch.inference_mode():
            pooled = self.model.text_model(**tokens).pooler_output
            embeddings: Tensor = self.model.text_projection(pooled)
        return _unit(embeddings)


@lru_cache(maxsize=2)
def _load(folder: Path, device: str, digest: str) -> TransformersCLIP:
    """Load anew where the device or the files (``digest``) differ."""
    from transformers import AutoTokenizer, CLIPModel

    model = CLIPModel.from_pretrained(folder, use_safetensors=True, local_files_only=True)
    return TransformersCLIP(
        model.float().eval().requires_grad_(False).to(device),
        AutoTokenizer.from_pretrained(folder, local_files_only=True),
        Preprocess.read(folder),
    )


def _unit(embeddings: Tensor) -> Tensor:
    units: Tensor = embeddings / embeddings.norm(dim=-1, keepdim=True)
    return units


PHOTO_CLIP = HubCLIP()


class PhotoCLIPText(CLIPText):
    """Does the edited picture show what the target prompt says? A raw cosine."""

    info: ClassVar[MetricInfo] = MetricInfo(
        name="clip_text_l14",
        title="CLIP text similarity (ViT-L/14)",
        direction="higher",
        unit="cosine",
        citation=CITATION,
        group="editing",
        on_request=True,
        range=(-1, 1),
    )

    def __init__(self, spec: CLIPSource = PHOTO_CLIP) -> None:
        super().__init__(spec)


class PhotoCLIPImage(CLIPImage):
    """Does the edited picture still show what the source picture shows? A raw cosine."""

    info: ClassVar[MetricInfo] = MetricInfo(
        name="clip_image_l14",
        title="CLIP similarity to the source (ViT-L/14)",
        direction="higher",
        unit="cosine",
        citation=CITATION,
        on_request=True,
        range=(-1, 1),
    )

    def __init__(self, spec: CLIPSource = PHOTO_CLIP) -> None:
        super().__init__(spec)


class CLIPScore(PhotoCLIPText):
    """100 times the cosine of edited picture and target prompt, not below 0."""

    family = "clip_score"
    info: ClassVar[MetricInfo] = MetricInfo(
        name="clip_score_l14",
        title="CLIP score (ViT-L/14)",
        direction="higher",
        unit="",
        citation="Hessel et al. 2021, arXiv:2104.08718, times 100 as in torchmetrics",
        group="editing",
        on_request=True,
        range=(0, 100),
    )

    def measure(self, batch: Scored, rows: list[int]) -> NDArray[np.float64]:
        """Return the scores."""
        return 100 * np.maximum(super().measure(batch, rows), 0)


class SourceCLIPScore(CLIPScore):
    """100 times the cosine of source picture and source prompt: how far the data allow a score.

    The same for all methods, so that it ranks none: it stands beside the others in PIE-Bench's
    results, and tells when pictures or prompts are not those of a paper.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        name="clip_score_l14_source",
        title="CLIP score (ViT-L/14) of the source picture",
        direction="neither",
        unit="",
        citation="Ju et al. 2023, arXiv:2310.01506",
        group="editing",
        on_request=True,
        range=(0, 100),
    )

    def rules(self) -> dict[str, str]:
        """Return what is compared, for the signature."""
        return {"mask": "none", "of": "source"}

    def measure(self, batch: Scored, rows: list[int]) -> NDArray[np.float64]:
        """Return the scores."""
        prompts = self.clip.texts([batch.samples[row].source_prompt for row in rows])
        pictures = self.embed_reference("source", batch.source, batch, rows)
        return 100 * np.maximum(cosine(pictures, prompts), 0)


class EditedCLIPScore(CLIPScore):
    """The CLIP score of the edited region alone, as PIE-Bench's scripts cut it out.

    The frame stays: pixels outside the mask are black. NaN where the mask is empty.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        name="clip_score_l14_edited",
        title="CLIP score (ViT-L/14) of the edited region",
        direction="higher",
        unit="",
        citation="Ju et al. 2023, arXiv:2310.01506",
        needs=("mask",),
        group="editing",
        on_request=True,
        range=(0, 100),
    )

    def rules(self) -> dict[str, str]:
        """Return what the mask does, for the signature."""
        return {"mask": "black-outside"}

    def score(self, batch: Scored) -> NDArray[np.float64]:
        """Return (N,) values; NaN where a sample has no mask or an empty one."""
        if batch.mask is None:
            return np.full(len(batch.samples), np.nan)
        empty = batch.mask.flatten(1).amax(dim=1).cpu().numpy() == 0
        return np.where(empty, np.nan, super().score(batch))

    def has_needs(self, sample: Sample) -> bool:
        """Return whether the sample has a mask."""
        return sample.read_mask is not None

    def embed_edited(self, batch: Scored, rows: list[int]) -> Tensor:
        """Return (R, D) unit embeddings of the edited regions on black."""
        assert batch.mask is not None, "checked by score"
        return self.clip.images((batch.edited * batch.mask)[rows])[0]


class CLIPDirection(CLIPMetric):
    """Does the picture change as the prompt does? Cosine of both differences of unit embeddings.

    Gal et al. 2021, arXiv:2108.00946, eq. 1. 0 where the picture does not change at all; NaN
    where both prompts mean the same to CLIP.
    """

    family = "clip_direction"
    info: ClassVar[MetricInfo] = MetricInfo(
        name="clip_direction_l14",
        title="CLIP directional similarity (ViT-L/14)",
        direction="higher",
        unit="cosine",
        citation="Gal et al. 2021, arXiv:2108.00946",
        group="editing",
        on_request=True,
        range=(-1, 1),
    )

    def __init__(self, spec: CLIPSource = PHOTO_CLIP) -> None:
        super().__init__(spec)

    def measure(self, batch: Scored, rows: list[int]) -> NDArray[np.float64]:
        """Return the cosines of the two differences."""
        samples = [batch.samples[row] for row in rows]
        words = self.clip.texts([sample.target_prompt for sample in samples])
        words = words - self.clip.texts([sample.source_prompt for sample in samples])
        source = self.embed_reference("source", batch.source, batch, rows)
        pictures = self.embed_edited(batch, rows) - source
        tiny = 1e-8
        lengths = words.norm(dim=1, keepdim=True), pictures.norm(dim=1, keepdim=True)
        values = cosine(words / lengths[0].clamp(min=tiny), pictures / lengths[1].clamp(min=tiny))
        said = (lengths[0] > tiny).flatten().cpu().numpy()
        return np.where(said, values, np.nan)
