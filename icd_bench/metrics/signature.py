"""Signatures: how a number was made, in one line, so that unlike numbers never share a column."""

from __future__ import annotations


def sign(name: str, version: int, **rules: str) -> str:
    """Return ``name|key:value|...|vN``.

    Args:
        name: what is measured, without the variant ("lpips" for "background_lpips").
        version: changes whenever the same inputs give another number.
        rules: everything else that the number depends on, in reading order.

    >>> sign("psnr", 1, size="native", mask="none")
    'psnr|size:native|mask:none|v1'
    """
    return "|".join([name, *(f"{key}:{value}" for key, value in rules.items()), f"v{version}"])
