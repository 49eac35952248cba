"""YAML in and out: the same bytes, strict reading, every complaint with its path and line."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models_app.configs.documents import document_read, spec_yaml
from models_app.configs.specs import SPECS, ServingSpec, TrainingSpec
from models_app.configs.yaml_text import MOST_BYTES, YamlError, yaml_dump, yaml_load
from models_app.core.validation import parse

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
NUMBERS = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
TRICKY = ["no", "yes", "on", "1e-3", "1_000", "0o17", "0x1f", "012", "1:30", "~", "null", "", " ",
          "a: b", "- a", "# a", "2026-11-25", ".5", "+1", ".inf", "<<", "a\n\nb\n", "\ttab",
          "é\u2028x", "\x85", "\ufeff", "!tag", "&a", "*a", "%", "@", "`", "'", '"', "---",
          "=", "?"]  # fmt: skip


class TestOut:
    @settings(max_examples=80, deadline=None)
    @given(st.dictionaries(TEXT | st.sampled_from(TRICKY), VALUES, max_size=6))
    def test_gives_back_what_was_written_and_the_same_bytes(self, value):
        text = yaml_dump(value)
        again = yaml_load(text).value

        assert again == value
        assert yaml_dump(again) == text

    @pytest.mark.parametrize("word", TRICKY)
    def test_keeps_words_that_look_like_something_else(self, word):
        assert yaml_load(yaml_dump({"a": word, word: "b"})).value == {"a": word, word: "b"}

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.fixed_dictionaries(
            {"preset": st.just("gpt2-1m")},
            optional={
                "learning_rate": st.floats(1e-4, 10.0),
                "dropout": st.floats(0.0, 0.9),
                "seed": st.integers(0, 2**63 - 1),
                "steps": st.integers(101, 10**8),
                "schedule": st.sampled_from(["cosine", "linear", "constant"]),
                "threads": st.integers(1, 1024),
            },
        )
    )
    def test_a_specification_survives_the_way_through_its_text(self, given_values):
        spec = parse(TrainingSpec, given_values)
        text = spec_yaml("training", spec.plain())

        assert document_read("training", text) == spec
        assert spec_yaml("training", document_read("training", text).plain()) == text

    @pytest.mark.parametrize("kind", sorted(SPECS))
    def test_writes_settings_in_the_order_of_the_form(self, kind):
        fields = list(SPECS[kind].model_fields)
        text = spec_yaml(kind, dict.fromkeys(reversed(fields), 1))

        assert [line.split(":")[0] for line in text.splitlines()] == fields

    def test_sorts_the_names_of_what_has_no_form(self):
        one = spec_yaml("training", {"architecture": {"b": 1, "a": {"d": 1, "c": 2}}})
        two = spec_yaml("training", {"architecture": {"a": {"c": 2, "d": 1}, "b": 1}})

        assert one == two


class TestIn:
    @pytest.mark.parametrize(
        "text, path, line, said",
        [
            ("replicas: 1\nthreads: 1\nreplicas: 2\n", "replicas", 3, "line 1"),
            ("a:\n  b: 1\n  b: 2\n", "a.b", 3, "twice"),
            ("a: &x 1\n", "yaml", 1, "&x"),
            ("a: 1\nb: *x\n", "yaml", 2, "*x"),
            ("a: !!python/object:os.system x\n", "yaml", 1, "Tags"),
            ("a: !!str 1\n", "yaml", 1, "Tags"),
            ("a: 1\n---\nb: 2\n", "yaml", 2, "---"),
            ("a: 1\n\n\nb: [1, 2\n", "yaml", 5, "YAML"),
            ("- 1\n", "yaml", 1, "name: value"),
            ("? [1]\n: 2\n", "yaml", 1, "word"),
            ("a: 1\nb: .nan\n", "b", 2, "finite"),
            ("a: 1\nb: 1e999\n", "b", 2, "large"),
            (f"a: {'9' * 5000}\n", "a", 1, "long"),
            ('a: "x\\0y"\n', "a", 1, "control"),
        ],
    )
    def test_says_what_is_wrong_where(self, text, path, line, said):
        with pytest.raises(YamlError) as refused:
            yaml_load(text)

        assert refused.value.lines == {path: line}
        assert f"Line {line}: " in refused.value.errors[path][0]
        assert said in refused.value.errors[path][0]

    def test_bounds_depth_and_size(self):
        for text in ("a: " + "[" * 50_000, "a: " + "x" * MOST_BYTES):
            with pytest.raises(YamlError):
                yaml_load(text)

    @settings(max_examples=100, deadline=None)
    @given(st.text(max_size=80) | st.text("a:- []{}&*!|>'\"#\n\t1", max_size=60))
    def test_reads_anything_or_refuses_it(self, text):
        try:
            assert isinstance(yaml_load(text).value, dict)
        except YamlError as error:
            assert error.errors

    def test_reads_the_core_schema_of_1_2(self):
        text = "a: no\nb: 1e-3\nc: 0o17\nd: 012\ne: ~\nf: TRUE\ng: 1:30\nh: '1'\n"

        assert yaml_load(text).value == {
            "a": "no", "b": 0.001, "c": 15, "d": 12, "e": None, "f": True, "g": "1:30", "h": "1",
        }  # fmt: skip

    def test_names_path_and_line_of_what_the_settings_refuse(self):
        text = "# mine\nreplicas: 99\n\nkeep_warm_s: soon\nreplica: 1\n"
        with pytest.raises(YamlError) as refused:
            document_read("serving", text)

        lines = {"yaml.replicas": 2, "yaml.keep_warm_s": 4, "yaml.replica": 5}
        assert refused.value.lines == lines
        assert refused.value.errors["yaml.replicas"][0].startswith("Line 2: ")

    def test_an_empty_text_is_the_defaults(self):
        assert document_read("serving", "# nothing\n") == ServingSpec()
