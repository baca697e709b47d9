"""From ``--set`` and ``--sweep`` texts to the resolved settings of a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from icd_bench.api import MethodInfo, Setting
from icd_bench.errors import BadSetting, UnknownName, UsageError
from icd_bench.registry import suggest

DEFAULT_SWEEP = "default"
"""``--sweep default`` asks for the sweep that each method declares itself."""


@dataclass(frozen=True)
class Assignment:
    """``field=v1,v2`` or ``method.field=v1,v2`` as the user wrote it."""

    method: str | None
    field: str
    values: tuple[str, ...]

    def concerns(self, method: str) -> bool:
        """Return whether it is meant for a method."""
        return self.method in (None, method)


def parse_set(text: str) -> Assignment:
    """Read ``field=value``; commas belong to the value."""
    return _parse(text, option="--set", split=False)


def parse_sweep(text: str) -> Assignment:
    """Read ``field=v1,v2,..``; commas inside brackets belong to a value."""
    return _parse(text, option="--sweep", split=True)


def resolve_settings(
    info: MethodInfo,
    schema: type[Setting],
    model: str,
    sets: Sequence[Assignment] = (),
    sweeps: Sequence[Assignment] = (),
    default_sweep: bool = False,
    family: str = "",
    preset: str = "",
    zipped: bool = False,
) -> tuple[Setting, ...]:
    """Return the settings of one method.

    Its defaults for the model, or those of a preset instead; then sets, then the grid.

    The grid varies the last swept field fastest; equal settings appear once. Swept fields that are
    zipped vary together instead: the first values, the second values ..

    Raises:
        BadSetting: a field is unknown, or a value has the wrong type or is out of range.
        UsageError: zipped fields have different numbers of values.
        UnknownName: the method has no such preset.
    """
    if preset and not info.anchor:
        values = preset_values(info, preset, family, model)
    else:
        values = _for_model(info.defaults, family, model)
    for assignment in sets:
        if assignment.concerns(info.name) and _has(info, schema, assignment):
            values[assignment.field] = _typed(info, schema, assignment.field, assignment.values[0])
    axes: dict[str, Sequence[Any]] = dict(info.sweep) if default_sweep else {}
    for assignment in sweeps:
        if assignment.concerns(info.name) and _has(info, schema, assignment):
            axes[assignment.field] = [
                _typed(info, schema, assignment.field, value) for value in assignment.values
            ]
    settings = [
        _validated(info, schema, {**values, **dict(zip(axes, point, strict=True))})
        for point in (_zip(info, axes) if zipped else product(*axes.values()))
    ]
    return tuple({setting.model_dump_json(): setting for setting in settings}.values())


def _zip(info: MethodInfo, axes: Mapping[str, Sequence[Any]]) -> list[tuple[Any, ...]]:
    counts = {field: len(values) for field, values in axes.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{field} has {count}" for field, count in counts.items())
        raise UsageError(
            f"{info.name}: --zip: {told} values; give all as many, or leave --zip out for "
            "every combination"
        )
    return list(zip(*axes.values(), strict=True)) or [()]


def preset_values(info: MethodInfo, name: str, family: str, model: str) -> dict[str, Any]:
    """Return the fields that a preset of a method sets for a model.

    Raises:
        UnknownName: the method has no such preset.
    """
    if name not in info.presets:
        has = f"It has: {', '.join(info.presets)}." if info.presets else "It has none."
        raise UnknownName(
            f'{info.name}: there is no preset "{name}".{suggest(name, info.presets)} {has}'
        )
    preset = info.presets[name]
    return {**preset.settings, **_for_model(preset.by_model, family, model)}


def _for_model(values: Mapping[str, Mapping[str, Any]], family: str, model: str) -> dict[str, Any]:
    return {**values.get(family, {}), **values.get(model, {})}


def check_assignments(
    assignments: Sequence[Assignment], schemas: Mapping[str, type[Setting]]
) -> None:
    """Check that every assignment reaches a method; ``schemas`` maps method name to Setting.

    Raises:
        UnknownName: the method named before the dot is not one of the run's.
        BadSetting: no method of the run has the field.
    """
    for assignment in assignments:
        if assignment.method is not None and assignment.method not in schemas:
            raise UnknownName(
                f'"{assignment.method}.{assignment.field}": no method "{assignment.method}" in '
                f"this run.{suggest(assignment.method, schemas)} It has: {', '.join(schemas)}."
            )
        if assignment.method is None and not any(
            assignment.field in schema.model_fields for schema in schemas.values()
        ):
            fields = dict.fromkeys(f for schema in schemas.values() for f in schema.model_fields)
            raise BadSetting(_unknown_field(", ".join(schemas), assignment.field, list(fields)))


def _parse(text: str, option: str, split: bool) -> Assignment:
    name, equals, value = text.partition("=")
    method, dot, field = name.strip().rpartition(".")
    if not equals or not field or (dot and not method):
        raise UsageError(
            f'{option} "{text}": write {option} field=value or {option} method.field=value'
        )
    values = tuple(_split_values(value)) if split else (value.strip(),)
    if not all(values):
        raise UsageError(f'{option} "{text}": a value is empty')
    return Assignment(method or None, field, values)


def _split_values(text: str) -> list[str]:
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _has(info: MethodInfo, schema: type[Setting], assignment: Assignment) -> bool:
    if assignment.field in schema.model_fields:
        return True
    if assignment.method is None:
        return False
    raise BadSetting(_unknown_field(info.name, assignment.field, list(schema.model_fields)))


def _typed(info: MethodInfo, schema: type[Setting], field: str, text: str) -> Any:
    """Return the value that a text stands for: as it is where that fits, else read as YAML."""
    annotation: Any = schema.model_fields[field].annotation
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    if text.lower() in ("none", "null") and _accepts(adapter, None):
        return None
    if _accepts(adapter, text):
        return adapter.validate_python(text)
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        value = text
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise BadSetting(
            f'{info.name}: {field}="{text}": {error.errors()[0]["msg"]}; it means: '
            f"{schema.model_fields[field].description}"
        ) from error


def _accepts(adapter: TypeAdapter[Any], value: Any) -> bool:
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True


def _validated(info: MethodInfo, schema: type[Setting], values: Mapping[str, Any]) -> Setting:
    unknown = [field for field in values if field not in schema.model_fields]
    if unknown:
        raise BadSetting(_unknown_field(info.name, unknown[0], list(schema.model_fields)))
    try:
        return schema.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        at = f"{field}={values[field]!r}" if field in values else field or "setting"
        raise BadSetting(f"{info.name}: {at}: {first['msg']}") from error


def _unknown_field(method: str, field: str, fields: Sequence[str]) -> str:
    return (
        f'{method}: there is no setting "{field}".{suggest(field, fields)} '
        f"Known: {', '.join(fields) or 'none'}."
    )
