"""OpenAI's request bodies, read strictly: what is not served is refused, never ignored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .errors import BadRequest
from .fields import Fields
from .params import SamplingParams

ROLES = frozenset({"system", "developer", "user", "assistant"})
MAX_CHOICES = 16
MAX_PROMPTS = 64
MAX_STOPS = 16
MAX_STOP_LENGTH = 256
MAX_MESSAGES = 4096
MAX_BIASES = 1024
MAX_TOP_LOGPROBS = 20
LARGEST_MAX_TOKENS = 10_000_000

Prompt = str | list[int]


@dataclass(frozen=True, slots=True)
class Call:
    """A checked request. `params.max_tokens` is filled in when the prompt's length is known.

    Exactly one of `messages` (chat) and `prompts` (completions) is given.
    """

    model: str
    stream: bool
    include_usage: bool
    running_usage: bool
    choices: int
    params: SamplingParams
    max_tokens: int | None
    max_tokens_field: str
    logprobs: bool
    echo: bool = False
    messages: tuple[dict[str, str], ...] = ()
    prompts: tuple[Prompt, ...] = ()

    @property
    def chat(self) -> bool:
        """True for chat completions."""
        return bool(self.messages)


def parse_chat(body: Any) -> Call:
    """`POST /v1/chat/completions`."""
    fields = Fields(body)
    messages = _messages(fields)
    wanted = fields.boolean("logprobs")
    top = fields.integer("top_logprobs", 0, MAX_TOP_LOGPROBS)
    if top is not None and not wanted:
        raise fields.wrong("top_logprobs", "needs 'logprobs' set to true")
    limit, limit_field = _chat_limit(fields)
    call = _common(
        fields,
        top_logprobs=(top or 0) if wanted else None,
        max_tokens=limit,
        max_tokens_field=limit_field,
        messages=messages,
    )
    _refuse_unserved(fields)
    fields.reject_unknown()
    return call


def parse_completion(body: Any) -> Call:
    """`POST /v1/completions`."""
    fields = Fields(body)
    prompts = _prompts(fields)
    echo = fields.boolean("echo")
    top = fields.integer("logprobs", 0, MAX_TOP_LOGPROBS)
    # OpenAI's default is 16; 0 is only useful (and only taken) together with echo.
    limit = fields.integer("max_tokens", 0 if echo else 1, LARGEST_MAX_TOKENS)
    call = _common(
        fields,
        top_logprobs=top,
        max_tokens=16 if limit is None else limit,
        max_tokens_field="max_tokens",
        prompts=prompts,
        echo=echo,
    )
    best_of = fields.integer("best_of", 1, MAX_CHOICES)
    if best_of is not None and best_of != call.choices:
        raise fields.wrong("best_of", "is only served where it equals 'n'")
    if fields.text("suffix", limit=1) not in (None, ""):
        raise fields.wrong("suffix", "is not served")
    _ignore_bookkeeping(fields)
    fields.reject_unknown()
    return call


def _common(
    fields: Fields,
    *,
    top_logprobs: int | None,
    max_tokens: int | None,
    max_tokens_field: str,
    messages: tuple[dict[str, str], ...] = (),
    prompts: tuple[Prompt, ...] = (),
    echo: bool = False,
) -> Call:
    model = fields.text("model", limit=512, required=True) or ""
    stream = fields.boolean("stream")
    include_usage, running_usage = _stream_options(fields, stream)
    return Call(
        model=model,
        stream=stream,
        include_usage=include_usage,
        running_usage=running_usage,
        choices=fields.integer("n", 1, MAX_CHOICES) or 1,
        params=_sampling(fields, top_logprobs, echo),
        max_tokens=max_tokens,
        max_tokens_field=max_tokens_field,
        logprobs=top_logprobs is not None,
        echo=echo,
        messages=messages,
        prompts=prompts,
    )


def _sampling(fields: Fields, top_logprobs: int | None, echo: bool) -> SamplingParams:
    top_k = fields.integer("top_k", -1, 2**31)
    return SamplingParams(
        max_tokens=1,
        temperature=fields.number("temperature", 1.0, 0, 2),
        top_p=fields.number("top_p", 1.0, 0, 1),
        top_k=max(0, top_k or 0),
        min_p=fields.number("min_p", 0.0, 0, 1),
        presence_penalty=fields.number("presence_penalty", 0.0, -2, 2),
        frequency_penalty=fields.number("frequency_penalty", 0.0, -2, 2),
        seed=fields.seed("seed"),
        logit_bias=_logit_bias(fields),
        stop=_stops(fields),
        top_logprobs=top_logprobs,
        score_prompt=echo and top_logprobs is not None,
        ignore_eos=fields.boolean("ignore_eos"),
    )


def _chat_limit(fields: Fields) -> tuple[int | None, str]:
    new = fields.integer("max_completion_tokens", 1, LARGEST_MAX_TOKENS)
    old = fields.integer("max_tokens", 1, LARGEST_MAX_TOKENS)
    if new is not None and old is not None and new != old:
        raise fields.wrong("max_tokens", "contradicts 'max_completion_tokens'; send one of them")
    return (old, "max_tokens") if new is None else (new, "max_completion_tokens")


def _messages(fields: Fields) -> tuple[dict[str, str], ...]:
    raw = fields.get("messages")
    if not isinstance(raw, list) or not 1 <= len(raw) <= MAX_MESSAGES:
        raise fields.wrong("messages", f"must be an array of 1 to {MAX_MESSAGES} messages")
    return tuple(_message(item, index) for index, item in enumerate(raw))


def _message(item: Any, index: int) -> dict[str, str]:
    fields = Fields(item, f"messages[{index}].")
    role = fields.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise fields.wrong("role", f"must be one of {', '.join(sorted(ROLES))}")
    message = {"role": "system" if role == "developer" else role, "content": _content(fields)}
    name = fields.text("name", limit=64)
    if name:
        message["name"] = name
    for unserved in ("tool_calls", "function_call", "audio", "refusal"):
        if fields.get(unserved):
            raise fields.wrong(unserved, "is not served")
    fields.reject_unknown()
    return message


def _content(fields: Fields) -> str:
    content = fields.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        raise fields.wrong("content", "must be a string or an array of text parts")
    texts = []
    for index, part in enumerate(content):
        inner = Fields(part, f"{fields.param('content')}[{index}].")
        if inner.get("type") != "text":
            raise inner.wrong("type", "must be 'text': this model reads text only")
        text = inner.get("text")
        if not isinstance(text, str):
            raise inner.wrong("text", "must be a string")
        texts.append(text)
    return "".join(texts)


def _prompts(fields: Fields) -> tuple[Prompt, ...]:
    raw = fields.get("prompt")
    if isinstance(raw, str):
        return (raw,)
    must = "must be a string, an array of strings, an array of token ids, or an array of those"
    if not isinstance(raw, list) or not raw:
        raise fields.wrong("prompt", must)
    if all(_is_id(item) for item in raw):
        return (list(raw),)
    if len(raw) > MAX_PROMPTS:
        raise fields.wrong("prompt", f"must have at most {MAX_PROMPTS} entries, has {len(raw)}")
    if all(isinstance(item, str) for item in raw):
        return tuple(raw)
    if all(isinstance(item, list) and item and all(map(_is_id, item)) for item in raw):
        return tuple(raw)
    raise fields.wrong("prompt", must)


def _is_id(item: Any) -> bool:
    return isinstance(item, int) and not isinstance(item, bool)


def _stops(fields: Fields) -> tuple[str, ...]:
    raw = fields.get("stop")
    if raw is None:
        return ()
    stops = [raw] if isinstance(raw, str) else raw
    if not isinstance(stops, list) or len(stops) > MAX_STOPS:
        raise fields.wrong("stop", f"must be a string or an array of at most {MAX_STOPS} strings")
    for stop in stops:
        if not isinstance(stop, str) or not 1 <= len(stop) <= MAX_STOP_LENGTH:
            raise fields.wrong("stop", f"must hold strings of 1 to {MAX_STOP_LENGTH} characters")
    return tuple(stops)


def _logit_bias(fields: Fields) -> dict[int, float]:
    raw = fields.get("logit_bias")
    if raw is None:
        return {}
    if not isinstance(raw, dict) or len(raw) > MAX_BIASES:
        raise fields.wrong("logit_bias", f"must be an object of at most {MAX_BIASES} token ids")
    inner = Fields(raw, "logit_bias.")
    biases = {}
    for key in raw:
        if not (key.isascii() and key.isdigit() and len(key) < 10):
            raise fields.wrong("logit_bias", "must have token ids as its keys")
        biases[int(key)] = inner.number(key, 0.0, -100, 100)
    return biases


def _stream_options(fields: Fields, stream: bool) -> tuple[bool, bool]:
    options = fields.nested("stream_options")
    if options is None:
        return False, False
    if not stream:
        raise fields.wrong("stream_options", "is only allowed when 'stream' is true")
    usage = options.boolean("include_usage")
    running = options.boolean("continuous_usage_stats")
    options.boolean("include_obfuscation")
    options.reject_unknown()
    return usage, running


def _refuse_unserved(fields: Fields) -> None:
    """Fields whose meaning would be lost if they were ignored."""
    for name in ("tools", "functions", "audio", "prediction", "web_search_options"):
        if fields.get(name):
            raise fields.wrong(name, "is not served by this model")
    if fields.get("tool_choice") not in (None, "none", "auto"):
        raise fields.wrong("tool_choice", "is not served by this model")
    if fields.get("function_call") not in (None, "none", "auto"):
        raise fields.wrong("function_call", "is not served by this model")
    if fields.get("modalities") not in (None, ["text"]):
        raise fields.wrong("modalities", 'must be ["text"]')
    form = fields.nested("response_format")
    if form is not None and form.get("type") != "text":
        raise form.wrong("type", "must be 'text'; other formats are not served")
    _ignore_bookkeeping(fields)


def _ignore_bookkeeping(fields: Fields) -> None:
    """Fields that change nothing in the answer; their types are still checked."""
    for name in ("user", "service_tier", "safety_identifier", "prompt_cache_key"):
        fields.text(name, limit=512)
    fields.boolean("store")
    fields.boolean("parallel_tool_calls")
    if fields.get("metadata") is not None and not isinstance(fields.get("metadata"), dict):
        raise fields.wrong("metadata", "must be an object")


def check_ids(ids: list[int], vocabulary: int, param: str) -> None:
    """Token ids the model does not have are refused before they reach it."""
    for token in ids:
        if not 0 <= token < vocabulary:
            raise BadRequest(
                f"'{param}' holds token id {token if abs(token) < 2**63 else 'of many digits'}, "
                f"but this model has the ids 0 to {vocabulary - 1}.",
                param=param,
            )
