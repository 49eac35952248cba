"""Names that people choose, and catalogues that fail loudly."""

import pytest

from models_app.core.catalog import Catalog
from models_app.core.digests import digest_json, tree_digest
from models_app.core.errors import FieldError
from models_app.core.names import clean_slug, clean_text, clean_title

pytestmark = pytest.mark.nodb


@pytest.mark.parametrize("name", ["a", "gpt2-tiny", "v1.2_x", "a" * 63])
def test_good_slugs_pass(name):
    assert clean_slug(name) == name


@pytest.mark.parametrize(
    "name", ["", "A", "a/b", "..", "a..b", ".a", "a-", "a" * 64, "naïve", "a\x00", "a b", "a\n"]
)
def test_bad_slugs_are_refused_with_the_rule(name):
    with pytest.raises(FieldError, match="lower-case letters"):
        clean_slug(name)


def test_titles_are_trimmed_and_composed():
    assert clean_title("  Cafe\u0301 ") == "Caf\u00e9"


@pytest.mark.parametrize("title", ["", "   ", "a\x07b", "x" * 201, "\u202eevil"])
def test_bad_titles_are_refused(title):
    with pytest.raises(FieldError):
        clean_title(title)


def test_texts_keep_their_lines_and_nothing_else():
    assert clean_text("a\r\nb\tc", "text") == "a\nb\tc"
    with pytest.raises(FieldError, match="control characters"):
        clean_text("a\x1b[31m", "text")


class TestCatalog:
    def test_refuses_the_same_name_twice(self):
        catalog = Catalog("thing")
        thing = type("Thing", (), {"name": "a"})
        catalog.register(thing)

        with pytest.raises(RuntimeError, match="two things are called 'a'"):
            catalog.register(thing)

    def test_names_the_known_ones(self):
        catalog = Catalog("job kind")
        catalog.register(type("Thing", (), {"name": "known"}))

        with pytest.raises(FieldError, match="Known: known") as caught:
            catalog.get("other")
        assert caught.value.field == "job_kind"


def test_digests_do_not_depend_on_order():
    assert digest_json({"a": 1, "b": [2]}) == digest_json({"b": [2], "a": 1})
    one = {"x": {"sha256": "1", "size": 1}, "y": {"sha256": "2", "size": 2}}
    assert tree_digest(one) == tree_digest(dict(reversed(one.items())))
