"""Chat templates: the same text as transformers makes, and no way to hold up the server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.waiting import WAIT_S
from tests.workers.lm.inference import tiny
from workers.lm.inference.errors import BadRequest, ModelRefused
from workers.lm.inference.templates import TemplateProcess, TemplateRenderer, plain_lines

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Grüße & <b>"},
    {"role": "assistant", "content": "你好"},
    {"role": "user", "content": "bye"},
]

CHATML = (
    "{%- for message in messages %}\n{{ '<|im_start|>' + message['role'] + '\n' "
    "+ message['content'] | trim + '<|im_end|>' }}\n{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
RICH = (
    "{{ bos_token }}{% set ns = namespace(count=0) %}{% for m in messages %}"
    "{% if m.role == 'system' %}{% continue %}{% endif %}{% set ns.count = ns.count + 1 %}"
    "[{{ ns.count }} {{ m | tojson }}]{% generation %}x{% endgeneration %}{% endfor %}"
    "{% if tools is none %}no tools{% endif %}{{ dict(a=1) | tojson }}{{ eos_token }}"
)


@pytest.fixture
def process() -> Iterator[Callable[[str], TemplateProcess]]:
    started: list[TemplateProcess] = []

    def make(template: str, seconds: float = 20) -> TemplateProcess:
        started.append(TemplateProcess(template, seconds=seconds))
        return started[-1]

    yield make
    for one in started:
        one.stop()


@pytest.mark.parametrize("template", [CHATML, RICH])
def test_the_text_is_that_of_transformers(template: str) -> None:
    tokenizer = tiny.tokenizer(template)
    renderer = TemplateRenderer(tokenizer)
    text, special = renderer.render(TALK)
    renderer.close()
    assert text == tokenizer.apply_chat_template(TALK, tokenize=False, add_generation_prompt=True)
    assert special is False


def test_models_without_a_template_get_labelled_lines() -> None:
    renderer = TemplateRenderer(tiny.tokenizer())
    text, special = renderer.render(TALK[:2])
    assert text == "system: Be brief.\nuser: Grüße & <b>\nassistant:" == plain_lines(TALK[:2])
    assert special is True


def test_an_endless_template_is_killed_and_the_next_request_works(
    process: Callable[..., TemplateProcess],
) -> None:
    loops = "{% for a in range(99999) %}" * 3 + "{% endfor %}" * 3
    renderer = process("{% if messages %}" + loops + "{% endif %}fine", seconds=0.5)
    renderer.start()
    started = time.monotonic()
    with pytest.raises(BadRequest) as refused:
        renderer.render({"messages": [1]})
    assert time.monotonic() - started < 10
    assert refused.value.code == "chat_template_error"
    deadline = time.monotonic() + WAIT_S
    while True:  # on a crowded machine half a second may be short even for this
        try:
            assert renderer.render({"messages": []}) == "fine"
            return
        except BadRequest:
            assert time.monotonic() < deadline


@pytest.mark.parametrize(
    "template",
    [
        "{{ 'A' * 10 ** 9 }}",
        "{% for a in range(3000) %}{{ 'A' * 1000 }}{% endfor %}",
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{% set ns = namespace(__class__=1) %}",
        "{{ raise_exception('roles must alternate') }}",
        "{{ missing.field }}",
    ],
)
def test_hostile_and_wrong_templates_are_a_client_error(
    process: Callable[..., TemplateProcess], template: str
) -> None:
    with pytest.raises(BadRequest):
        process(template).render({"messages": []})


def test_a_template_that_does_not_compile_refuses_the_model(
    process: Callable[..., TemplateProcess],
) -> None:
    with pytest.raises(ModelRefused):
        process("{% for %}").start()
    with pytest.raises(ModelRefused):
        TemplateRenderer(tiny.tokenizer("x" * 70_000))
