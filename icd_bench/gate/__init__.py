"""Regression checks: is a run as good, and as cheap, as a baseline that was committed?

Nothing here loads torch. A baseline is a small file (:mod:`icd_bench.gate.baseline`), measured
from a run (:mod:`icd_bench.gate.measure`); another run is compared with it sample by sample
(:mod:`icd_bench.gate.compare`), and what can be claimed is decided by
:mod:`icd_bench.gate.decision`.
"""
