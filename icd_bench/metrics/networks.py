"""The published networks that metrics use, and where they come from."""

from __future__ import annotations

from .preprocess import FILE as PREPROCESSOR_FILE
from .weights import MODEL_FILE, Network

CLIP_L14 = Network(
    "clip-vit-large-patch14",
    ("config.json", MODEL_FILE, PREPROCESSOR_FILE, "tokenizer.json"),
    "1.7 GB",
    repository="openai/clip-vit-large-patch14",
)
"""Radford et al. 2021, arXiv:2103.00020."""

DINO_B8 = Network(
    "dino-vitb8", ("config.json", MODEL_FILE), "343 MB", repository="facebook/dino-vitb8"
)
"""Caron et al. 2021, arXiv:2104.14294."""

DINOV2_BASE = Network(
    "dinov2-base",
    ("config.json", MODEL_FILE, PREPROCESSOR_FILE),
    "346 MB",
    repository="facebook/dinov2-base",
)
"""Oquab et al. 2023, arXiv:2304.07193."""

DINOV2_LARGE = Network(
    "dinov2-large",
    ("config.json", MODEL_FILE, PREPROCESSOR_FILE),
    "1.2 GB",
    repository="facebook/dinov2-large",
)
"""The same, ViT-L/14."""

VGG16 = Network("vgg16", (MODEL_FILE,), "553 MB", repository="timm/vgg16.tv_in1k")
"""Simonyan and Zisserman 2014, arXiv:1409.1556, torchvision's weights."""

SQUEEZENET = Network(
    "squeezenet1_1",
    (MODEL_FILE,),
    "5 MB",
    checkpoint="https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",
)
"""Iandola et al. 2016, arXiv:1602.07360, torchvision's weights."""

INCEPTION = Network(
    "inception-2015-12-05",
    (MODEL_FILE,),
    "95 MB",
    checkpoint="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    "pt_inception-2015-12-05-6726825d.pth",
)
"""Szegedy et al. 2015, arXiv:1512.00567, the weights of the first FID."""

IMAGE_REWARD = Network(
    "image-reward",
    (MODEL_FILE, "tokenizer.json"),
    "1.8 GB",
    checkpoint="https://huggingface.co/zai-org/ImageReward/resolve/main/ImageReward.pt",
    also="hf download google-bert/bert-base-uncased tokenizer.json "
    '--local-dir "$(icd-bench weights path image-reward)"',
)
"""Xu et al. 2023, arXiv:2304.05977."""

NETWORKS = {
    network.name: network
    for network in (
        CLIP_L14,
        DINO_B8,
        DINOV2_BASE,
        DINOV2_LARGE,
        VGG16,
        SQUEEZENET,
        INCEPTION,
        IMAGE_REWARD,
    )
}
