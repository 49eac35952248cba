"""`POST /v1/embeddings`: what is asked, and how it is answered."""

from __future__ import annotations

import asyncio
import base64
import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import BadRequest, Draining
from .fields import Fields, is_id

if TYPE_CHECKING:
    from .backend import Backend
    from .prompts import PromptBuilder
    from .protocol import Prompt

MAX_INPUTS = 2048
_LARGEST_WIDTH = 65_536
_MUST = "must be a string, an array of strings, an array of token ids, or an array of those"


@dataclass(frozen=True, slots=True)
class EmbeddingCall:
    """A checked request; `dimensions` None takes all that the model has."""

    model: str
    inputs: tuple[Prompt, ...]
    packed: bool
    dimensions: int | None


def parse_embedding(body: Any) -> EmbeddingCall:
    """The request in a body, or BadRequest."""
    fields = Fields(body)
    call = EmbeddingCall(
        model=fields.text("model", limit=512, required=True) or "",
        inputs=_inputs(fields),
        packed=_packed(fields),
        dimensions=fields.integer("dimensions", 1, _LARGEST_WIDTH),
    )
    fields.text("user", limit=512)
    fields.reject_unknown()
    return call


def _packed(fields: Fields) -> bool:
    given = fields.get("encoding_format")
    if given not in (None, "float", "base64"):
        raise fields.wrong("encoding_format", "must be 'float' or 'base64'")
    return bool(given == "base64")


def _inputs(fields: Fields) -> tuple[Prompt, ...]:
    raw = fields.get("input")
    if isinstance(raw, str):
        return (raw,)
    if not isinstance(raw, list) or not raw:
        raise fields.wrong("input", _MUST)
    if all(map(is_id, raw)):
        return (list(raw),)
    if len(raw) > MAX_INPUTS:
        raise fields.wrong("input", f"must have at most {MAX_INPUTS} entries, has {len(raw)}")
    strings = all(isinstance(item, str) for item in raw)
    if strings or all(isinstance(item, list) and item and all(map(is_id, item)) for item in raw):
        return tuple(raw)
    raise fields.wrong("input", _MUST)


class Embedding:
    """One request's way through the engine's thread."""

    def __init__(self, engine: Backend, call: EmbeddingCall) -> None:
        self._engine = engine
        self._call = call
        self._loop = asyncio.get_running_loop()
        self._result: asyncio.Future[list[list[float]]] = self._loop.create_future()
        self._job: Any = None
        self.tokens = 0

    async def answer(self, builder: PromptBuilder) -> dict[str, Any]:
        """The answer's body. Raises a `ServingError`."""
        embedder = getattr(self._engine, "embedder", None)
        if embedder is None:
            raise BadRequest(
                "This model has no hidden states to make embeddings of; ask a transformer.",
                param="model",
                code="unsupported_model",
            )
        width = self._call.dimensions or embedder.width
        if width > embedder.width:
            raise BadRequest(
                f"'dimensions' must be at most {embedder.width}, as many as this model has, "
                f"got {width}.",
                param="dimensions",
            )
        inputs = await asyncio.to_thread(builder.inputs, self._call.inputs)
        if self._engine.state != "ready":
            raise Draining
        self._job = embedder.job(inputs, self._done)
        self._engine.errands.add(self._job)  # type: ignore[attr-defined]
        vectors = await self._result
        self.tokens = sum(map(len, inputs))
        return await asyncio.to_thread(self._body, vectors, width)

    def cancel(self) -> None:
        """Nobody waits any more."""
        if self._job is not None:
            self._job.cancelled = True

    def _done(self, result: list[list[float]] | Exception) -> None:
        """Called on the engine's thread."""
        self._loop.call_soon_threadsafe(self._set, result)

    def _set(self, result: list[list[float]] | Exception) -> None:
        if self._result.done():
            return
        if isinstance(result, Exception):
            self._result.set_exception(result)
        else:
            self._result.set_result(result)

    def _body(self, vectors: list[list[float]], width: int) -> dict[str, Any]:
        data = [
            {"object": "embedding", "index": index, "embedding": self._written(vector, width)}
            for index, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": self.tokens, "total_tokens": self.tokens}
        return {"object": "list", "data": data, "model": self._call.model, "usage": usage}

    def _written(self, vector: list[float], width: int) -> list[float] | str:
        vector = _shortened(vector, width)
        if not self._call.packed:
            return vector
        return base64.b64encode(struct.pack(f"<{width}f", *vector)).decode()


def _shortened(vector: list[float], width: int) -> list[float]:
    """The first numbers, of length one again."""
    if width == len(vector):
        return vector
    head = vector[:width]
    length = math.sqrt(sum(number * number for number in head)) or 1.0
    return [number / length for number in head]
