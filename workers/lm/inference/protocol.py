"""OpenAI's request bodies, read strictly: what is not served is refused, never ignored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .answer_format import AnswerFormat, read_format
from .errors import BadRequest
from .fields import Fields, is_id
from .messages import read_messages
from .params import SamplingParams
from .resuming import Resumed, read_resumed

MAX_CHOICES = 16
MAX_PROMPTS = 64
MAX_STOPS = 16
MAX_STOP_LENGTH = 256
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
    form: AnswerFormat | None = None
    resumed: Resumed | None = None

    @property
    def chat(self) -> bool:
        """True for chat completions."""
        return bool(self.messages)


def parse_chat(body: Any) -> Call:
    """`POST /v1/chat/completions`."""
    fields = Fields(body)
    messages = read_messages(fields)
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
    choices = fields.integer("n", 1, MAX_CHOICES) or 1
    return Call(
        model=model,
        stream=stream,
        include_usage=include_usage,
        running_usage=running_usage,
        choices=choices,
        params=_sampling(fields, top_logprobs, echo),
        max_tokens=max_tokens,
        max_tokens_field=max_tokens_field,
        logprobs=top_logprobs is not None,
        echo=echo,
        messages=messages,
        prompts=prompts,
        form=read_format(fields),
        resumed=read_resumed(fields, choices * max(1, len(prompts))),
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
        repetition_penalty=fields.number("repetition_penalty", 1.0, 0.01, 10),
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


def _prompts(fields: Fields) -> tuple[Prompt, ...]:
    raw = fields.get("prompt")
    if isinstance(raw, str):
        return (raw,)
    must = "must be a string, an array of strings, an array of token ids, or an array of those"
    if not isinstance(raw, list) or not raw:
        raise fields.wrong("prompt", must)
    if all(is_id(item) for item in raw):
        return (list(raw),)
    if len(raw) > MAX_PROMPTS:
        raise fields.wrong("prompt", f"must have at most {MAX_PROMPTS} entries, has {len(raw)}")
    if all(isinstance(item, str) for item in raw):
        return tuple(raw)
    if all(isinstance(item, list) and item and all(map(is_id, item)) for item in raw):
        return tuple(raw)
    raise fields.wrong("prompt", must)


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
    _tools(fields, "tools", "tool_choice")
    _tools(fields, "functions", "function_call")
    for name in ("audio", "prediction", "web_search_options"):
        if fields.get(name):
            raise fields.wrong(name, "is not served by this model")
    if fields.get("modalities") not in (None, ["text"]):
        raise fields.wrong("modalities", 'must be ["text"]')
    if fields.get("reasoning_effort") not in (None, "none"):
        raise fields.wrong("reasoning_effort", "is not served by this model")
    if fields.get("verbosity") not in (None, "medium"):
        raise fields.wrong("verbosity", "is not served by this model")
    _ignore_bookkeeping(fields)


def _tools(fields: Fields, tools: str, choice: str) -> None:
    """Tools may be named as long as none is to be called."""
    wanted, given = fields.get(choice), fields.get(tools)
    if given is not None and not isinstance(given, list):
        raise fields.wrong(tools, "must be an array")
    if given and wanted != "none":
        raise fields.wrong(tools, f"are not served; leave them out, or set '{choice}' to 'none'")
    if wanted not in (None, "none", "auto"):
        raise fields.wrong(choice, "must be 'none' or 'auto': no tools are served")


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
