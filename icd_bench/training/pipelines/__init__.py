"""Training of real pipelines: Stable Diffusion 1.x and XL shapes, on pictures of one's own.

================  =====================================================================
``settings``      what a run is told, and the paper's values for each family
``session``       what surrounds the U-Nets: pipeline, data, processes, the loop
``cfg_distill``   a pipeline's U-Net, distilled with guidance
``icd``           the adapters of one timestep set
``watching``      pictures and figures of a run while it trains
``model_folder``  the result, in the layout that every command reads
``board``         the log for TensorBoard
================  =====================================================================
"""

from .cfg_distill import train_cfg_distill
from .icd import IcdSettings, train_icd
from .settings import DataSettings, RunSettings

__all__ = ["DataSettings", "IcdSettings", "RunSettings", "train_cfg_distill", "train_icd"]
