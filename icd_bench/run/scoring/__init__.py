"""Scores of finished edits, of this run or made elsewhere."""
