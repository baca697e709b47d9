from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

from hypothesis import given
from hypothesis import strategies as st

from icd_bench.file_names import LONGEST, file_name, file_name_with_digest


@given(st.text(min_size=1))
def test_any_text_becomes_one_name(text: str) -> None:
    name = file_name(text)
    assert 0 < len(name.encode()) <= LONGEST
    assert not set(name) & set('/\\:*?"<>|\0\n ')
    assert len(PurePosixPath("x" + name).parts) == len(PureWindowsPath("x" + name).parts) == 1


@given(st.text())
def test_a_long_name_keeps_its_digest(text: str) -> None:
    name = file_name_with_digest(text * 100, "0123456789abcdef")
    assert name.endswith("-01234567")
    assert len(name.encode()) <= LONGEST + 9


def test_words_of_other_scripts_stay() -> None:
    assert file_name("été 2 / ネコ") == "été_2___ネコ"
