"""Statistics as pure functions of arrays that return frozen dataclasses.

Scores can be infinite (PSNR of equal pictures) or missing (no mask). Both are left out of every
mean and counted, never replaced. See :mod:`icd_bench.stats.intervals` and
:mod:`icd_bench.stats.bootstrap`.
"""
