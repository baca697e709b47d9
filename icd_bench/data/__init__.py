"""Data sets of benchmarks: where they lie, how they are fetched, and what is wrong with them."""
