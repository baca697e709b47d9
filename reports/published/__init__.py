"""Numbers that papers print, as data, and how a run compares with them."""

from .check import Verdict, check, summary
from .numbers import PublishedNumber, published_numbers

__all__ = ["PublishedNumber", "Verdict", "check", "published_numbers", "summary"]
