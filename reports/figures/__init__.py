"""Figures of runs for papers and talks: curves, bars by category, qualitative sheets."""

from .build import draw_figures

__all__ = ["draw_figures"]
