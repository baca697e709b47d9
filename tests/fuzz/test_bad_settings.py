"""Settings and sweeps of any text."""

from __future__ import annotations

from damage import Tried

from icd_bench.api import MethodInfo, Setting, edit_field, inversion_field
from icd_bench.errors import UsageError
from icd_bench.run.planning.settings import parse_set, parse_sweep, resolve_settings


class Knobs(Setting):
    steps: int = inversion_field(4, "steps", ge=1, le=50)
    strength: float = edit_field(0.5, "strength", ge=0, le=1)
    words: str = edit_field("", "words")
    interval: tuple[float, float] | None = edit_field(None, "interval")


KNOBS = MethodInfo(name="knobs", version="1", title="Knobs", paper="none")
VALUES = [
    *("", " ", "1", "-1", "0.5", "nan", "inf", "-inf", "1e999", "0x10", "1_0", "null", "true"),
    *("[1,2]", "[1", "{a: 1}", "{", "!!python/object:os.system x", "&a [*a]", "*a", "a: b: c"),
    *("1,2", ",", ",,", "1,,2", "'", '"', "\x00", "\n", "é", "９", "١", "9" * 400, "[" * 500),
]
FIELDS = ["steps", "strength", "words", "interval", "knobs.steps", "other.steps", "", ".", "a.b.c"]


def test_settings_of_any_text(tried: Tried) -> None:
    texts = [f"{field}={value}" for field in FIELDS for value in VALUES] + VALUES
    for text in texts:
        for parse, name in ((parse_set, "chosen"), (parse_sweep, "grid")):
            try:
                kinds = {"chosen": [], "grid": [], name: [parse(text)]}
                found = resolve_settings(KNOBS, Knobs, "m", kinds["chosen"], kinds["grid"])
            except UsageError as error:
                assert str(error)
            else:
                for setting in found:
                    assert isinstance(setting, Knobs)
                    assert 1 <= setting.steps <= 50
                    assert 0 <= setting.strength <= 1
            tried("settings")
