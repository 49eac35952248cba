"""People who ask so many times a second, and check each word of what they are told.

Open loop: who comes does not wait for those before. Half of the requests stream. Each question
has a seed, or is greedy, so there is one right answer to it for each revision. A share is asked by
the stock `openai` client as it comes, the rest by a lighter one that asks again when that one does
(`lean.py`): fifty a second of the former would be most of the load.
"""

import asyncio
import functools
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from openai import APIError, AsyncOpenAI, RateLimitError

from benchmarks.faults.lean import Busy, Lean, Unfinished

#: Longest a request may take before its client gives up.
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked."""

    prompt: str
    seed: int
    temperature: float
    tokens: int

    def body(self) -> dict[str, Any]:
        """As arguments of the client."""
        return {
            "prompt": self.prompt, "seed": self.seed, "temperature": self.temperature,
            "max_tokens": self.tokens,
        }  # fmt: skip


#: Tokens of a stream that is to be under way when something is killed.
LONG = 96


@dataclass(slots=True)
class Told:
    """How one request went."""

    phase: str
    stream: bool
    begun: float
    question: Question | None = None
    text: str = ""
    #: Asked by the stock client.
    stock: bool = False
    #: ok, wrong, busy (429 to the end), failed
    how: str = "failed"
    #: Times that a stream broke off after its first event and was asked for again.
    cut: int = 0
    #: Times that the client itself asked again before there was an answer.
    retries: int = 0
    seconds: float = 0.0
    first_s: float = 0.0
    revision: str = ""
    error: str = ""


@dataclass
class Answers:
    """The right answers: by the revision's fingerprint and the question."""

    by_revision: dict[str, dict[Question, str]] = field(default_factory=dict)

    def right(self, fingerprint: str, question: Question, text: str) -> bool:
        """Whether this revision says exactly that."""
        return self.by_revision.get(fingerprint, {}).get(question) == text


def questions(count: int, seed: int = 7) -> list[Question]:
    """The same ones every time: half greedy, half drawn; 8 to 16 tokens."""
    chance = random.Random(seed)
    words = ["the ship", "a crane", "the harbour", "one captain", "the tide", "a sailor"]
    return [
        Question(
            prompt=f"{chance.choice(words)} {chance.choice(words)} {number}",
            seed=chance.randrange(1 << 30),
            temperature=0.0 if number % 2 else 0.8,
            tokens=chance.randint(8, 16),
        )
        for number in range(count)
    ]


class People:
    """Ask all the time between `start` and `stop`, in a thread of their own."""

    def __init__(
        self,
        url: str,
        token: str,
        model: str,
        asked: list[Question],
        per_second: float,
        stock_share: float = 0.1,
        long: int = LONG,
    ) -> None:
        self._long = Question(prompt="the ship", seed=11, temperature=0.8, tokens=long)
        self._lean, self._stock_share = (f"{url}/v1/completions", token), stock_share
        self._where = {"base_url": f"{url}/v1", "api_key": token, "timeout": PATIENCE_S}
        self._model, self._asked, self._gap_s = model, asked, 1 / per_second
        self.answers = Answers()
        self.phase = ""
        self.told: list[Told] = []
        #: Longest time that a request left later than it should have: the load is what it says.
        self.late_s = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._ask_all()))

    def learn(self) -> str:
        """Ask each question once and keep the answers; their fingerprint, "" if there were two."""
        return asyncio.run(self._learn())

    def start(self, phase: str) -> None:
        """Begin."""
        self.phase = phase
        self._thread.start()

    def stop(self) -> None:
        """Nobody comes any more; wait until everybody has been served."""
        self._over.set()
        self._thread.join()

    def judge(self) -> None:
        """Compare every text with what its revision says in peace."""
        for told in self.told:
            question = told.question
            if told.how != "ok" or question is None:
                continue
            if not self.answers.right(told.revision, question, told.text):
                told.how = "wrong"
                told.error = f"{told.revision} said {told.text!r} to {question}"

    def hold(self, count: int) -> None:
        """Have so many long streams begin besides, and wait until half of them are under way."""
        assert self._loop is not None
        held = [Told(self.phase, stream=True, begun=time.monotonic()) for _ in range(count)]
        for told in held:
            part = functools.partial(self._light, self._client, self._long, told)
            asyncio.run_coroutine_threadsafe(self._ask(part, self._long, told), self._loop)
        while sum(bool(told.first_s and not told.seconds) for told in held) < count / 2:
            if all(told.seconds for told in held):
                self.hold(count)  # the first had ended before the last began
                return
            time.sleep(0.002)

    def well(self, more: int) -> None:
        """Wait until so many more requests have ended in this phase, however they did."""
        wanted = len(self.told) + more
        while len(self.told) < wanted:
            time.sleep(0.05)

    async def _learn(self) -> str:
        async with AsyncOpenAI(**self._where) as client:
            found: dict[Question, str] = {}
            prints = set()
            for question in [*self._asked, self._long]:
                answer = await client.completions.create(model=self._model, **question.body())
                found[question] = answer.choices[0].text
                prints.add(answer.system_fingerprint or "")
        if len(prints) > 1:
            return ""  # a roll-out has just switched
        (fingerprint,) = prints
        self.answers.by_revision[fingerprint] = found
        return fingerprint

    async def _ask_all(self) -> None:
        chance, running = random.Random(1), set()
        async with AsyncOpenAI(**self._where) as stock, Lean(*self._lean, PATIENCE_S) as lean:
            self._client, self._loop = lean, asyncio.get_running_loop()
            due = time.monotonic()
            while not self._over.is_set():
                due += self._gap_s
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                self.late_s = max(self.late_s, time.monotonic() - due)
                question = chance.choice(self._asked)
                told = Told(self.phase, stream=chance.random() < 0.5, begun=time.monotonic())
                told.stock = chance.random() < self._stock_share
                answer = self._stock if told.stock else self._light
                part = functools.partial(answer, stock if told.stock else lean, question, told)
                task = asyncio.create_task(self._ask(part, question, told))
                running.add(task)
                task.add_done_callback(running.discard)
            await asyncio.gather(*running)

    async def _ask(
        self, answer: Callable[[], Awaitable[str]], question: Question, told: Told
    ) -> None:
        try:
            while True:
                try:
                    told.question, told.text = question, await answer()
                    break
                except (Unfinished, APIError) as error:
                    # A client that sees its stream break asks once more, and says so.
                    if not told.first_s or told.cut:
                        raise
                    told.cut, told.error = 1, f"cut: {error!r}"
            told.how = "ok"
        except (RateLimitError, Busy) as error:
            told.how, told.error = "busy", repr(error)
        except Exception as error:
            told.how, told.error = "failed", repr(error)
        told.seconds = time.monotonic() - told.begun
        self.told.append(told)

    async def _light(self, client: Lean, question: Question, told: Told) -> str:
        body = {"model": self._model, "stream": told.stream, **question.body()}
        answer = await client.ask(body)
        told.retries += answer.retries
        parts = []
        async for chunk in answer.chunks():
            if told.stream:
                told.first_s = told.first_s or time.monotonic() - told.begun
            told.revision = chunk.get("system_fingerprint") or told.revision
            parts += [choice["text"] for choice in chunk["choices"]]
        return "".join(parts)

    async def _stock(self, client: AsyncOpenAI, question: Question, told: Told) -> str:
        create = client.completions.with_raw_response.create
        asked = {"model": self._model, **question.body()}
        if not told.stream:
            raw = await create(**asked)
            told.retries += raw.retries_taken
            answer = raw.parse()
            told.revision = answer.system_fingerprint or ""
            return str(answer.choices[0].text)
        raw = await create(**asked, stream=True)
        told.retries += raw.retries_taken
        parts, finished = [], False
        async for chunk in raw.parse():
            told.first_s = told.first_s or time.monotonic() - told.begun
            told.revision = chunk.system_fingerprint or told.revision
            parts += [choice.text for choice in chunk.choices]
            finished = finished or any(choice.finish_reason for choice in chunk.choices)
        if not finished:
            raise Unfinished("the stream ended without a word")
        return "".join(parts)


def percentile(values: Iterable[float], share: float) -> float:
    """The value below which `share` of them lie; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


class Crowd:
    """So many people at once, each of whom asks again when he has his answer; `size` may change."""

    def __init__(self, url: str, token: str, model: str, question: Question) -> None:
        self._lean = (f"{url}/v1/completions", token)
        self._body = {"model": model, "stream": True, **question.body()}
        self.size = 0
        #: (when it ended, seconds until its first token, seconds) of each answer
        self.answered: list[tuple[float, float, float]] = []
        self.failed: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._ask_all()))

    def __enter__(self) -> "Crowd":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    async def _ask_all(self) -> None:
        people: set[asyncio.Task[None]] = set()
        async with Lean(*self._lean, PATIENCE_S, retries=0) as client:
            while not self._over.is_set():
                people = {task for task in people if not task.done()}
                for _ in range(self.size - len(people)):
                    people.add(asyncio.create_task(self._ask(client)))
                await asyncio.sleep(0.01)
            await asyncio.gather(*people)

    async def _ask(self, client: Lean) -> None:
        begun, first = time.monotonic(), 0.0
        try:
            answer = await client.ask(self._body)
            async for _ in answer.chunks():
                first = first or time.monotonic() - begun
        except Exception as error:
            self.failed.append(repr(error))
        else:
            ended = time.monotonic()
            self.answered.append((ended, first, ended - begun))
