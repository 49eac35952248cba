"""From messages or text to token ids that fit the model's context."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import PreTrainedTokenizerBase

from .adapter_words import AdapterWords
from .constraints import Grammar, GrammarCompiler
from .errors import BadRequest, ContextTooLong
from .params import SamplingParams
from .protocol import Call, Prompt, check_ids
from .templates import TemplateRenderer


class PromptBuilder:
    """Tokenizes, bounded before it starts: no prompt costs more than the context is worth."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        renderer: TemplateRenderer,
        *,
        vocabulary: int,
        context_length: int,
        forms: GrammarCompiler | None = None,
        words: AdapterWords | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._renderer = renderer
        self._vocabulary = vocabulary
        self._context = context_length
        self._forms = forms
        self._words = words
        self._core: Any = getattr(tokenizer, "backend_tokenizer", None)
        if self._core is not None:
            self._core.no_truncation()
            self._core.no_padding()
        self._longest = max((len(token) for token in tokenizer.get_vocab()), default=1)

    def build(self, call: Call, adapter: str = "") -> list[tuple[list[int], SamplingParams]]:
        """Token ids and finished sampling parameters for each prompt of a call."""
        for token in call.params.logit_bias:
            check_ids([token], self._vocabulary, "logit_bias")
        if call.chat:
            renderer = self._words.renderer(adapter) if self._words else self._renderer
            text, special = renderer.render(call.messages)
            prompts = [self._encode(text, special=special, param="messages")]
        else:
            prompts = [self._ids(prompt) for prompt in call.prompts]
        grammar = self._grammar(call)
        return [(ids, self._params(call, ids, grammar)) for ids in prompts]

    def inputs(self, inputs: tuple[Prompt, ...]) -> list[list[int]]:
        """Token ids of texts to be embedded."""
        found = [self._ids(item, "input") for item in inputs]
        for ids in found:
            if not ids:
                raise BadRequest(
                    "'input' is empty: there is nothing to embed.",
                    param="input",
                    code="empty_prompt",
                )
            if len(ids) > self._context:
                raise self._too_long(str(len(ids)), None, "input")
        return found

    def close(self) -> None:
        """End what was started to compile forms."""
        if self._forms is not None:
            self._forms.close()

    def _grammar(self, call: Call) -> Grammar | None:
        form = call.form
        if form is None:
            return None
        if self._forms is None:
            raise BadRequest(
                f"'{form.param}' is not served by this model's engine.", param=form.param
            )
        return self._forms.compile(form)

    def _ids(self, prompt: Prompt, param: str = "prompt") -> list[int]:
        if isinstance(prompt, str):
            return self._encode(prompt, special=True, param=param)
        check_ids(prompt, self._vocabulary, param)
        return prompt

    def _encode(self, text: str, *, special: bool, param: str) -> list[int]:
        # No token is longer than the longest in the vocabulary, so a text this long cannot
        # fit; finding out by tokenizing it could take a minute.
        least = len(text) // self._longest
        if least > self._context:
            raise self._too_long(f"at least {least}", None, param)
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise BadRequest(
                f"'{param}' holds half of a surrogate pair, which is no text.", param=param
            ) from error
        if self._core is not None:
            ids: list[int] = self._core.encode(text, add_special_tokens=special).ids
        else:
            ids = self._tokenizer.encode(text, add_special_tokens=special)
        return ids

    def _params(self, call: Call, ids: list[int], grammar: Grammar | None) -> SamplingParams:
        param = "messages" if call.chat else "prompt"
        if not ids:
            raise BadRequest(
                f"'{param}' is empty: the model needs at least one token to go on from.",
                param=param,
                code="empty_prompt",
            )
        room = self._context - len(ids)
        wanted = max(1, room) if call.max_tokens is None else call.max_tokens
        scoring = call.max_tokens == 0 and room >= 0
        if not scoring and (room < 1 or wanted > room):
            asked = None if call.max_tokens is None else wanted
            raise self._too_long(str(len(ids)), asked, param, call.max_tokens_field)
        return dataclasses.replace(call.params, max_tokens=wanted, grammar=grammar)

    def _too_long(
        self, tokens: str, asked: int | None, param: str, field: str = "max_tokens"
    ) -> ContextTooLong:
        answer = "" if asked is None else f" and '{field}' asks for {asked} more"
        return ContextTooLong(
            f"This model's context is {self._context} tokens, but '{param}' has {tokens} "
            f"tokens{answer}. Shorten the prompt or ask for fewer tokens.",
            param=param if asked is None else field,
        )
