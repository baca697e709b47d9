"""Benchmarks: one loader and one card each."""
