"""Answers are the same JSON that REST framework writes, whoever wrote it."""

import datetime as dt
import json
from collections import namedtuple
from decimal import Decimal
from uuid import UUID

from django.utils.functional import lazystr
from rest_framework.renderers import JSONRenderer

from models_app.core.renderers import FastJSONRenderer

Pair = namedtuple("Pair", "number name")
MIXED = {
    "at": dt.datetime(2026, 11, 26, 1, 2, 3, 456789, tzinfo=dt.UTC),
    "on": dt.date(2026, 11, 26),
    "for": dt.timedelta(seconds=90),
    "price": Decimal("1.50"),
    "id": UUID(int=7),
    "title": lazystr("小 model"),
    1: [None, True, 1.5, 2**62, ()],
    "pair": Pair(1, "b"),
}


def test_writes_what_rest_framework_writes():
    assert json.loads(FastJSONRenderer().render(MIXED)) == json.loads(JSONRenderer().render(MIXED))
    assert FastJSONRenderer().render({"a": "ä"}) == '{"a":"ä"}'.encode()


def test_writes_nothing_for_no_content():
    assert FastJSONRenderer().render(None) == b""


def test_leaves_large_numbers_whole():
    assert json.loads(FastJSONRenderer().render({"seed": 2**80})) == {"seed": 2**80}


def test_writes_null_for_what_is_no_number():
    assert FastJSONRenderer().render([float("nan"), float("inf")]) == b"[null,null]"


def test_indents_when_asked():
    assert b'\n    "a": 1' in FastJSONRenderer().render({"a": 1}, "application/json; indent=4")
