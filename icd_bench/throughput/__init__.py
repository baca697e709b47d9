"""How fast this machine edits: ``icd-bench throughput``. Imports torch."""
