"""What a third party adds to icd-bench: a method, a benchmark and a metric, by entry points."""
