"""Numbers that papers print, as data, and how a run compares with them."""

from .beside import beside
from .check import Verdict, check, summary
from .numbers import PublishedNumber, published_numbers

__all__ = ["PublishedNumber", "Verdict", "beside", "check", "published_numbers", "summary"]
