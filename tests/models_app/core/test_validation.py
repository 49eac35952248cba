"""Bad input is named field by field, in pydantic's words or in those of the reader's language."""

import math
from typing import Any, Literal

import pytest
from django.utils.translation import override
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models_app.configs.specs import TrainingSpec
from models_app.core.errors import InvalidInput
from models_app.core.validation import SENTENCES, parse
from tests.reading import english_in

pytestmark = pytest.mark.nodb


class Everything(BaseModel):
    """A field for each way in which a value can be wrong."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    text: str = Field("abc", min_length=2, max_length=4)
    whole: int = Field(1, ge=1, le=5)
    between: int = Field(3, gt=2, lt=4)
    share: float = Field(0.5, ge=0.25, le=0.75)
    flag: bool = False
    names: list[str] = Field(["a"], min_length=1, max_length=2)
    more: dict[str, Any] = {}
    word: Literal["one", "two", "three"] = "one"


#: Type of an error -> a field, a value that causes it, and what the Chinese sentence must keep.
CASES: dict[str, tuple[str, Any, str]] = {
    "string_type": ("text", 1, "字符串"),
    "string_unicode": ("text", "\ud800\ud800", "字符串"),
    "string_too_short": ("text", "a", "2"),
    "string_too_long": ("text", "abcde", "4"),
    "int_type": ("whole", [], "整数"),
    "int_parsing": ("whole", "x", "整数"),
    "int_parsing_size": ("whole", "9" * 5000, "整数"),
    "int_from_float": ("whole", 1.5, "整数"),
    "float_type": ("share", [], "数字"),
    "float_parsing": ("share", "x", "数字"),
    "finite_number": ("share", math.nan, "数字"),
    "bool_type": ("flag", [], "布尔值"),
    "bool_parsing": ("flag", "perhaps", "true"),
    "greater_than": ("between", 2, "大于 2"),
    "greater_than_equal": ("share", 0.1, "大于或等于 0.25"),
    "less_than": ("between", 4, "小于 4"),
    "less_than_equal": ("share", 1, "小于或等于 0.75"),
    "literal_error": ("word", "four", "'one', 'two', 'three'"),
    "list_type": ("names", "a", "列表"),
    "dict_type": ("more", 1, "对象"),
    "too_short": ("names", [], "现有 0 项"),
    "too_long": ("names", ["a"] * 3, "现有 3 项"),
}


def refusal(field: str, value: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        parse(Everything, {field: value}, prefix="spec")
    assert list(caught.value.errors) == [f"spec.{field}"]
    return caught.value.errors[f"spec.{field}"][0]


def test_every_sentence_is_tried_here() -> None:
    assert set(CASES) == set(SENTENCES)


@pytest.mark.parametrize("kind", CASES)
def test_pydantic_itself_is_heard_in_english(kind: str) -> None:
    field, value, _kept = CASES[kind]
    with pytest.raises(ValidationError) as caught:
        Everything.model_validate({field: value})
    problem = caught.value.errors()[0]

    assert problem["type"] == kind
    with override("en"):
        assert refusal(field, value) == problem["msg"] + "."


@pytest.mark.parametrize("kind", CASES)
def test_chinese_keeps_the_bounds_and_choices(kind: str) -> None:
    field, value, kept = CASES[kind]
    with override("zh-hans"):
        said = refusal(field, value)

    assert kept in said
    assert said.endswith("。")
    assert not english_in(said)


def test_unknown_and_missing_fields_are_named() -> None:
    class Needed(BaseModel):
        model_config = ConfigDict(extra="forbid")
        name: str

    said = {}
    for language in ("en", "zh-hans"):
        with override(language), pytest.raises(InvalidInput) as caught:
            parse(Needed, {"nmae": "poet"})
        said[language] = caught.value.errors

    assert said["en"]["name"] == ["This field is needed."]
    assert said["zh-hans"]["name"] == ["此字段为必填项。"]
    assert said["en"].keys() == said["zh-hans"].keys() == {"name", "nmae"}


def test_settings_that_do_not_fit_together_are_refused_in_whole_sentences() -> None:
    spec = {"preset": "gpt2-1m", "batch_size": 5, "gradient_accumulation": 2, "steps": 10}
    with override("zh-hans"), pytest.raises(InvalidInput) as caught:
        parse(TrainingSpec, spec)

    assert set(caught.value.errors) == {"gradient_accumulation", "warmup_steps"}
    for (said,) in caught.value.errors.values():
        assert said.endswith("。")
        assert not english_in(said)
