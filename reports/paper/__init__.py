"""The paper's tables and figures as measured: text, Markdown, CSV and pictures."""

from .output import markdown, summary, write

__all__ = ["markdown", "summary", "write"]
