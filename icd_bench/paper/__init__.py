"""The tables and figures of iCD (arXiv 2406.14539) measured on a model of one's own.

:mod:`.experiments` says what is compared, :mod:`.walks` how pictures become noise and noise
pictures, :mod:`.material` with which pictures and measures, :mod:`.measure` does it, and
:mod:`.results` makes intervals and verdicts of it. No torch is imported here.
"""
