"""The paper's tables and figures as measured: text, Markdown, CSV and pictures."""

from .output import insert, markdown, summary, write
from .training import draw_training

__all__ = ["draw_training", "insert", "markdown", "summary", "write"]
