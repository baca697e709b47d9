"""The ten types of edits of PIE-Bench, by their number."""

from __future__ import annotations

CATEGORIES = (
    "random",
    "change_object",
    "add_object",
    "delete_object",
    "change_content",
    "change_pose",
    "change_colour",
    "change_material",
    "change_background",
    "change_style",
)
