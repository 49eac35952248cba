"""OpenAI's answer bodies: whole, in chunks, with log-probabilities and usage."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from .detokenize import TokenText
from .events import Delta, TokenScore
from .output import Output
from .params import SamplingParams
from .protocol import Call
from .resuming import Begun, comment


@dataclass(slots=True)
class ChoiceState:
    """What one choice has said so far.

    `told` counts the characters of its text, `unnamed` holds the tokens that no event has stood
    for yet, `skip` counts characters that the reader has of the replica that began the answer.
    """

    text: list[str] = field(default_factory=list)
    scores: list[TokenScore] = field(default_factory=list)
    tokens: int = 0
    finish: str | None = None
    started: bool = False
    first: bool = False
    offset: int = 0
    told: int = 0
    skip: int = 0
    unnamed: list[int] = field(default_factory=list)


class Answer:
    """Builds every body of one request; `take` each delta once, in order."""

    def __init__(
        self, call: Call, prompts: list[list[int]], decoder: TokenText, fingerprint: str
    ) -> None:
        self.call = call
        self._prompts = prompts
        self._decoder = decoder
        self._fingerprint = fingerprint
        count = call.choices * max(1, len(prompts))
        self.choices = [ChoiceState() for _ in range(count)]
        #: Tokens of the prompts that were not computed again.
        self.cached_tokens = 0
        resumed = call.resumed
        if resumed is None:
            self._id = f"{'chatcmpl' if call.chat else 'cmpl'}-{uuid.uuid4().hex}"
            self._created = int(time.time())
            return
        self._id, self._created = resumed.id, resumed.created
        for number, begun in enumerate(resumed.choices):
            if begun is not None:
                self._go_on(number, begun)

    def _go_on(self, number: int, begun: Begun) -> None:
        """Take a choice over where another replica left it."""
        choice = self.choices[number]
        choice.started, choice.finish = True, begun.done
        choice.tokens = len(begun.tokens)
        if begun.text_length is not None:
            prompt = self._prompts[number // self.call.choices]
            choice.told = begun.text_length
            choice.skip = begun.text_length - self._certain(prompt, begun.tokens)
        if self.call.logprobs and not self.call.chat:
            echoed = self._prompts[number // self.call.choices] if self.call.echo else []
            choice.offset = sum(map(self._width, [*echoed, *begun.tokens]))

    def _certain(self, prompt: list[int], tokens: tuple[int, ...]) -> int:
        """How much text these tokens make certain, which is where the engine goes on."""
        params = SamplingParams(max_tokens=1, stop=self.call.params.stop)
        output = Output(self._decoder, prompt, params)
        return sum(len(output.feed(token, None).text) for token in tokens)

    def _width(self, token: int) -> int:
        return len(self._decoder.piece(token).decode("utf-8", "ignore"))

    def usage(self) -> dict[str, Any]:
        """Tokens so far. Every sampled token counts, also the one that ends the answer and
        those of a stop string; a prompt counts once however many choices continue it."""
        prompt = sum(len(ids) for ids in self._prompts)
        completion = sum(choice.tokens for choice in self.choices)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
        }

    def take(self, delta: Delta) -> tuple[str, list[TokenScore]]:
        """Record a delta; returns its text and scores, with the echoed prompt before them."""
        choice = self.choices[delta.choice]
        text, scores = delta.text, list(delta.scores)
        if choice.skip and text:
            text, choice.skip = text[choice.skip :], max(0, choice.skip - len(text))
        choice.told += len(text)
        if not choice.started:
            scores = [*delta.prompt_scores, *scores]
            if self.call.echo:
                text = self._decoder.decode(self._prompts[delta.choice // self.call.choices]) + text
        choice.first, choice.started = not choice.started, True
        choice.unnamed += delta.token_ids
        choice.text.append(text)
        choice.scores += scores
        choice.tokens = delta.completion_tokens
        choice.finish = delta.finish
        return text, scores

    def whole(self) -> dict[str, Any]:
        """The answer to a request that does not stream."""
        kind = "chat.completion" if self.call.chat else "text_completion"
        choices = []
        for index, choice in enumerate(self.choices):
            said: dict[str, Any] = {"index": index}
            if self.call.chat:
                content = "".join(choice.text)
                said["message"] = {"role": "assistant", "content": content, "refusal": None}
            else:
                said["text"] = "".join(choice.text)
            said["logprobs"] = self._logprobs(choice, choice.scores)
            said["finish_reason"] = choice.finish
            choices.append(said)
        return {**self._frame(kind), "choices": choices, "usage": self.usage()}

    def chunk(self, delta: Delta) -> dict[str, Any] | None:
        """The stream's next chunk, None where there is nothing to tell yet."""
        text, scores = self.take(delta)
        choice = self.choices[delta.choice]
        first = choice.first
        if not (text or scores or delta.finish or first):
            return None
        said: dict[str, Any] = {"index": delta.choice}
        if self.call.chat:
            said["delta"] = {"role": "assistant", "content": text} if first else {}
            if text:
                said["delta"]["content"] = text
        else:
            said["text"] = text
        said["logprobs"] = self._logprobs(choice, scores) if scores else None
        said["finish_reason"] = delta.finish
        body = {**self._frame(self._chunk_kind), "choices": [said]}
        if self.call.running_usage:
            body["usage"] = self.usage()
        elif self.call.include_usage:
            body["usage"] = None
        return body

    def names(self, delta: Delta) -> bytes:
        """The comment in front of the event of this delta, which says what tokens it stands for.

        With log-probabilities those whose score was not told yet are kept for the next event:
        whoever goes on from here computes them again.
        """
        choice = self.choices[delta.choice]
        held = self.call.logprobs and delta.finish is None
        count = len(delta.scores) if held else len(choice.unnamed)
        named, choice.unnamed = choice.unnamed[:count], choice.unnamed[count:]
        return comment(delta.choice, named, choice.told if self.call.logprobs else None)

    def usage_chunk(self) -> dict[str, Any]:
        """The last chunk where `stream_options.include_usage` was set."""
        return {**self._frame(self._chunk_kind), "choices": [], "usage": self.usage()}

    @property
    def _chunk_kind(self) -> str:
        return "chat.completion.chunk" if self.call.chat else "text_completion"

    def _frame(self, kind: str) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self.call.model,
            "system_fingerprint": self._fingerprint,
        }

    def _logprobs(self, choice: ChoiceState, scores: list[TokenScore]) -> dict[str, Any] | None:
        if not self.call.logprobs:
            return None
        if self.call.chat:
            return {"content": [self._chat_score(score) for score in scores], "refusal": None}
        return self._legacy_scores(choice, scores)

    def _chat_score(self, score: TokenScore) -> dict[str, Any]:
        top = [self._named(token, logprob) for token, logprob in score.top]
        return {**self._named(score.token_id, score.logprob), "top_logprobs": top}

    def _named(self, token: int, logprob: float | None) -> dict[str, Any]:
        raw = self._decoder.piece(token)
        return {
            "token": raw.decode("utf-8", "replace"),
            "logprob": logprob,
            "bytes": list(raw),
        }

    def _legacy_scores(self, choice: ChoiceState, scores: list[TokenScore]) -> dict[str, Any]:
        offsets = []
        for score in scores:
            offsets.append(choice.offset)
            choice.offset += self._width(score.token_id)
        return {
            "tokens": [self._legacy_name(score.token_id) for score in scores],
            "token_logprobs": [score.logprob for score in scores],
            "top_logprobs": [
                {self._legacy_name(token): logprob for token, logprob in score.top} or None
                for score in scores
            ],
            "text_offset": offsets,
        }

    def _legacy_name(self, token: int) -> str:
        """The token's text; pieces of a character are spelled out, so that none collide."""
        raw = self._decoder.piece(token)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in raw)


def encode(body: Any) -> bytes:
    """Compact JSON; text stays readable."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # What a caller sent may hold half of a surrogate pair; an answer must not fail over it.
    return text.encode("utf-8", "replace")


def event(body: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + encode(body) + b"\n\n"


DONE = b"data: [DONE]\n\n"
