"""The whole setting that a published number was made with, field by field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from icd_bench.models.catalogue import models
from icd_bench.registry import methods
from icd_bench.run.planning.settings import resolve_settings

from .numbers import PublishedNumber


def full_setting(number: PublishedNumber) -> Mapping[str, Any]:
    """Return every field of the setting of a number that has a method and published fields.

    They are those of the method's preset, or else its defaults for the model, with the published
    fields in their place.

    Raises:
        UnknownName: the number names a preset that its method does not have.
    """
    return _full(number.method, number.model, number.preset, json.dumps(number.setting))


@cache
def _full(method: str, model: str, preset: str, fields: str) -> Mapping[str, Any]:
    plugin = methods.load(method)
    spec = models().get(model)
    family = spec.family if spec else ""
    (base,) = resolve_settings(plugin.info, plugin.Setting, model, family=family, preset=preset)
    setting = plugin.Setting.model_validate({**base.model_dump(), **json.loads(fields)})
    full: dict[str, Any] = setting.model_dump(mode="json")
    return full
