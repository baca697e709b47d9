"""Metrics: one flat file a family."""
