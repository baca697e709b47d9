"""The recipe of the embedded ``scenes`` model, from nothing to the shipped folder.

``stages`` in the order of ``plans``, on what ``recipe`` holds; ``ship`` exports and measures.
"""

from .ship import export, measure_bars
from .stages import STAGES, train

__all__ = ["STAGES", "export", "measure_bars", "train"]
