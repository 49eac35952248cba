"""Answers held to a form: they always have it, whatever the tokenizer and however they come."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jsonschema
import numpy as np
import openai
import pytest
import torch
from openai import OpenAI
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from tests.workers.lm.inference import tiny
from tests.workers.lm.inference.conftest import SECRET, Served
from tests.workers.lm.inference.waiting import wait_until
from workers.lm.families.markov_folder import save_markov
from workers.lm.families.ngram.spec import NgramSpec, Vocabulary
from workers.lm.families.ngram.training import train_ngram
from workers.lm.inference.answer_format import AnswerFormat
from workers.lm.inference.constraints import GrammarCompiler
from workers.lm.inference.detokenize import TokenizerText
from workers.lm.inference.errors import BadRequest, GenerationFailed
from workers.lm.inference.server import ServeOptions
from workers.lm.inference.spelling import Spelling
from workers.lm.tokenizers.character import learn_characters
from workers.lm.tokenizers.letters import letters
from workers.lm.tokenizers.saved import save_tokenizer
from workers.lm.tokenizers.units import Units
from workers.lm.tokenizers.word import learn_words

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "age": {"type": "integer", "minimum": 0, "maximum": 99},
        "ok": {"type": "boolean"},
    },
    "required": ["name", "age", "ok"],
    "additionalProperties": False,
}
TEXT = '{"name": "Anna", "age": 42, "x": [true, false, null, -1.5e3]} 0123456789 the quick fox'
CHAT = [{"role": "user", "content": "hello there"}]


def sentence_pieces() -> PreTrainedTokenizerFast:
    """As sentencepiece makes them: a mark for spaces, bytes for what is rare."""
    marks = [("<unk>", 0.0), ("</s>", 0.0)] + [(f"<0x{b:02X}>", -10.0) for b in range(256)]
    words = ["\u2581", "\u2581the", "e", "{", "\u2581{", '"', "name", '":']
    core = Tokenizer(models.Unigram(marks + [(word, -2.0) for word in words], 0, True))
    core.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    core.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>", unk_token="<unk>")


TOKENIZERS = {
    "bytes": tiny.tokenizer,
    "characters": lambda: learn_characters([TEXT], 200),
    "sentence pieces": sentence_pieces,
}


def compiler(tokenizer: Any, **options: Any) -> GrammarCompiler:
    return GrammarCompiler(
        Spelling(
            tokenizer,
            TokenizerText(tokenizer),
            vocabulary=len(tokenizer) + 3,
            eos_ids=[tokenizer.eos_token_id],
        ),
        **options,
    )


def said(forms: GrammarCompiler, tokenizer: Any, form: AnswerFormat, seed: int) -> str:
    """What a model that likes every token the same says in this form."""
    constraint, chance, tokens = forms.compile(form).start(), torch.Generator(), []
    chance.manual_seed(seed)
    for _ in range(400):
        row = constraint.mask(torch.zeros(len(tokenizer) + 3))
        token = int(torch.multinomial(row.softmax(-1), 1, generator=chance))
        if token == tokenizer.eos_token_id:
            break
        constraint.accept(token)
        tokens.append(token)
        if constraint.finished:
            break
    else:
        pytest.fail("it never ended")
    return tokenizer.decode(tokens, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_every_tokenizer_spells_what_a_schema_wants(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]()
    forms = compiler(tokenizer)
    for seed in range(8):
        person = json.loads(
            said(forms, tokenizer, AnswerFormat("json", json.dumps(PERSON), "x"), seed)
        )
        jsonschema.validate(person, PERSON)
    forms.close()


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": [1, "a", None, {"b": 2}, [1]]},
        {"const": 'é\n"x'},
        {"type": "string", "pattern": "^[a-c]{3}$"},
        {"type": "number", "minimum": 0.5, "maximum": 1.5},
        {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 3},
        {"type": ["integer", "null"], "multipleOf": 7},
        {"type": "string", "format": "date-time"},
        {"oneOf": [{"type": "boolean"}, {"type": "integer", "maximum": 5, "minimum": 1}]},
    ],
)
def test_schemas_are_kept(schema: dict[str, Any]) -> None:
    tokenizer = tiny.tokenizer()
    forms = compiler(tokenizer)
    for seed in range(5):
        form = AnswerFormat("json", json.dumps(schema), "x")
        jsonschema.validate(json.loads(said(forms, tokenizer, form, seed)), schema)
    forms.close()


def test_choices_and_patterns() -> None:
    tokenizer = tiny.tokenizer()
    forms = compiler(tokenizer)
    choices = ["yes", "no", 'may"be']
    heard = {
        said(forms, tokenizer, AnswerFormat("choice", json.dumps(choices), "x"), s)
        for s in range(9)
    }
    assert heard <= set(choices) and len(heard) > 1
    assert set(said(forms, tokenizer, AnswerFormat("regex", "[ab]{4}", "x"), 1)) <= {"a", "b"}
    forms.close()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ('{"type": "objekt"}', "objekt"),
        ('{"not": {}}', "not"),
        ('{"type": "object", "if": {}, "x-guidance": {"lenient": true}}', "if"),
        ('{"type": "integer", "minimum": 5, "maximum": 3}', "minimum"),
        ('{"enum": []}', "empty"),
        ('{"$ref": "#"}', "no answer"),
        ('{"$ref": "http://example.com/x.json"}', "retriev"),
        ('{"type": "string", "pattern": "["}', "unclosed"),
        ('{"type": "string", "pattern": "(?=a)b"}', "look-around"),
        ("true", "object"),
        ("nonsense", "line 1"),
        ('{"a":' * 500 + "1" + "}" * 500, "recursion"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_the_reason(source: str, reason: str) -> None:
    forms = compiler(tiny.tokenizer())
    for _ in range(2):  # the second time from memory
        with pytest.raises(BadRequest) as caught:
            forms.compile(AnswerFormat("json", source, "response_format"))
        assert caught.value.param == "response_format"
        assert reason in caught.value.message
        assert "<" not in caught.value.message and "NoExtension" not in caught.value.message
    forms.close()


def test_a_schema_that_never_compiles_ends_in_time_and_harms_no_other() -> None:
    forms = compiler(tiny.tokenizer(), seconds=0.5)
    patterns = [
        {"type": "string", "pattern": f".*{chr(97 + i % 26)}.{{{i}}}x.*"} for i in range(40)
    ]
    forms.compile(AnswerFormat("regex", "a", "x"))
    began = time.monotonic()
    with pytest.raises(BadRequest, match="simpler"):
        forms.compile(AnswerFormat("json", json.dumps({"allOf": patterns}), "x"))
    assert time.monotonic() - began < 5
    assert forms.compile(AnswerFormat("json", '{"type": "integer"}', "x"))
    forms.close()


def test_vocabularies_without_the_signs_of_json_are_named() -> None:
    for tokenizer in (letters(), learn_words([TEXT], 100)):
        forms = compiler(tokenizer)
        with pytest.raises(BadRequest, match=r"lacks \{"):
            forms.compile(AnswerFormat("json", '{"type": "object"}', "response_format"))
        forms.close()


def test_a_token_that_does_not_fit_ends_the_answer_with_an_error() -> None:
    tokenizer = tiny.tokenizer()
    forms = compiler(tokenizer)
    constraint = forms.compile(AnswerFormat("regex", "aa", "x")).start()
    constraint.accept(tokenizer.encode("b")[0])
    with pytest.raises(GenerationFailed):
        constraint.mask(torch.zeros(len(tokenizer) + 3))
    forms.close()


# ---- through the server ---------------------------------------------------------------------

FORMAT = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
ASK = {"model": "m", "messages": CHAT, "max_tokens": 90, "response_format": FORMAT}


@pytest.mark.parametrize("settings", [{"temperature": 0}, {"temperature": 1.5, "top_p": 0.9}])
def test_every_choice_has_the_form(client: OpenAI, settings: dict[str, Any]) -> None:
    answer = client.chat.completions.create(**ASK, **settings, seed=3, n=3)
    assert {choice.finish_reason for choice in answer.choices} <= {"stop", "length"}
    for choice in answer.choices:
        if choice.finish_reason == "stop":
            jsonschema.validate(json.loads(choice.message.content), PERSON)
    if settings["temperature"]:
        assert any(choice.finish_reason == "stop" for choice in answer.choices)


def test_a_form_ends_the_answer_even_where_the_end_is_ignored(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="m",
        messages=CHAT,
        max_tokens=40,
        extra_body={"guided_choice": ["left", "right"], "ignore_eos": True},
    )
    assert answer.choices[0].message.content in ("left", "right")
    assert answer.choices[0].finish_reason == "stop"


def test_streamed_and_whole_answers_in_a_form_are_the_same(client: OpenAI) -> None:
    whole = client.chat.completions.create(**ASK, seed=4)
    stream = client.chat.completions.create(**ASK, seed=4, stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text == whole.choices[0].message.content


def test_neighbours_are_not_held_to_it(server: Served, client: OpenAI) -> None:
    free = {"model": "m", "prompt": "the quick", "max_tokens": 30, "temperature": 0}
    free["extra_body"] = {"ignore_eos": True}
    alone = client.completions.create(**free).choices[0].text
    with ThreadPoolExecutor(3) as pool:
        held = [
            pool.submit(client.chat.completions.create, **ASK, seed=seed, n=1) for seed in (1, 2)
        ]
        beside = pool.submit(client.completions.create, **free)
        assert beside.result().choices[0].text == alone
        assert all(answer.result().choices for answer in held)


def test_log_probabilities_and_short_answers(client: OpenAI) -> None:
    answer = client.chat.completions.create(**{**ASK, "max_tokens": 3}, logprobs=True, seed=1)
    assert answer.choices[0].finish_reason == "length"
    assert len(answer.choices[0].logprobs.content) == 3


def test_guessed_tokens_are_held_to_it_as_well(serving, llama_dir, client: OpenAI) -> None:
    guessing = serving(
        ServeOptions(model_dir=llama_dir, name="m", secret=SECRET, draft="prompt", max_slots=4)
    )
    with guessing.client() as other:
        for settings in ({"temperature": 0}, {"seed": 3, "temperature": 1.5, "top_p": 0.9}):
            ask = {**ASK, **settings}
            expected = client.chat.completions.create(**ask).choices[0].message.content
            assert other.chat.completions.create(**ask).choices[0].message.content == expected


def test_an_ngram_model_of_characters_keeps_to_it(serving, tmp_path) -> None:
    tokenizer = learn_characters([TEXT], 200)
    ids = [*tokenizer(TEXT)["input_ids"], 0]
    vocabulary = Vocabulary(size=len(tokenizer), end=0, unknown=1)
    model = train_ngram(NgramSpec(order=3), np.array(ids), np.array([0, len(ids)]), vocabulary)
    save_markov(tmp_path, "ngram", Units(unit="char", sentences="line"), model)
    save_tokenizer(tokenizer, tmp_path)
    served = serving(ServeOptions(model_dir=tmp_path, name="m", secret=SECRET))
    with served.client() as client:
        answer = client.chat.completions.create(**ASK, seed=1, n=3)
        for choice in answer.choices:
            if choice.finish_reason == "stop":
                jsonschema.validate(json.loads(choice.message.content), PERSON)
        assert any(choice.finish_reason == "stop" for choice in answer.choices)


def test_an_unusable_schema_is_a_bad_request(server: Served, client: OpenAI) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "objekt"}}}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="m", messages=CHAT, response_format=form)
    assert caught.value.param == "response_format"
    assert "objekt" in caught.value.message


def test_no_slot_is_left_behind(server: Served) -> None:
    import httpx2 as httpx

    def running() -> int:
        health = httpx.get(
            f"{server.url}/health", headers={"Authorization": f"Bearer {SECRET}"}
        ).json()
        return health["running"] + health["waiting"]

    wait_until(lambda: running() == 0)
