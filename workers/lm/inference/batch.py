"""Answers many requests, each exactly once, however often the process dies in between.

Answers are gathered and saved in parts. A save is a folder of its own with all parts so far (links
to the earlier ones), whole or absent, so that what was saved is never computed again and what was
not saved was never seen by anybody.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.lm.durable import file_digest, folder_published, remove_folder

from .offline import Offline

SAVE_EVERY_S = 5.0
SAVE_EVERY = 100
_POLL_S = 0.2


class BatchStopped(Exception):
    """Asked to stop; what is answered is saved."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request: its place in the batch, its name, what is asked; `text` is kept with it."""

    number: int
    custom_id: str
    body: dict[str, Any]
    text: str | None = None


class Answers:
    """What is answered: parts in the newest folder `answers-<count>`, and those not saved yet."""

    def __init__(self, folder: Path, ctx: Any, total: int) -> None:
        self._home, self._ctx, self._total = folder, ctx, total
        self._new: list[bytes] = []
        self._saved_at = time.monotonic()
        self.failed = 0
        self.done: set[int] = set()
        kept = sorted(folder.glob("answers-*[0-9]"))
        self._folder: Path | None = kept[-1] if kept else None
        for row in self._rows():
            self.done.add(row["n"])
            self.failed += row["status"] != 200

    def _rows(self) -> Iterator[dict[str, Any]]:
        for part in self.parts():
            with part.open("rb") as lines:
                yield from map(json.loads, lines)

    def parts(self) -> list[Path]:
        """The saved parts."""
        return sorted(self._folder.glob("*.jsonl")) if self._folder else []

    def add(self, request: Request, status: int, body: Any) -> None:
        """Take an answer; it counts once it is saved."""
        row = {"n": request.number, "custom_id": request.custom_id, "status": status, "body": body}
        if request.text is not None:
            row["text"] = request.text
        self.failed += status != 200
        self.done.add(request.number)
        self._new.append(json.dumps(row, ensure_ascii=False).encode() + b"\n")

    def save_if_due(self) -> None:
        """Save now and then."""
        late = time.monotonic() - self._saved_at > SAVE_EVERY_S
        if len(self._new) >= SAVE_EVERY or (self._new and late):
            self.save()

    def save(self) -> None:
        """Bring what is new to the disk, and say so."""
        self._saved_at = time.monotonic()
        if not self._new:
            return
        earlier, count = self.parts(), len(self.done)
        target = self._home / f"answers-{count:09d}"
        with folder_published(target) as aside:
            for part in earlier:
                os.link(part, aside / part.name)
            (aside / f"part-{count:09d}.jsonl").write_bytes(b"".join(self._new))
        before, self._folder, self._new = self._folder, target, []
        self._tell(count)
        if before is not None:
            remove_folder(before)

    def _tell(self, count: int) -> None:
        parts = self.parts()
        names = "".join(f"{part.name} {file_digest(part)}\n" for part in parts)
        self._ctx.checkpoint(
            step=count,
            path=str(self._folder),
            digest=hashlib.sha256(names.encode()).hexdigest(),
            size_bytes=sum(part.stat().st_size for part in parts),
            metrics={"failed": float(self.failed)},
        )
        self._ctx.progress(step=count, total=self._total, stage="answering")


@dataclass(frozen=True, kw_only=True)
class Work:
    """What answers, what is asked of it, and `most` requests at the same time."""

    model: Offline
    endpoint: str
    answers: Answers
    ctx: Any
    most: int

    def do(self, requests: Iterator[Request]) -> None:
        """Ask for whatever is not answered yet. Raises BatchStopped or EngineBroken."""
        asyncio.run(self._do(requests))

    async def _do(self, requests: Iterator[Request]) -> None:
        answers = self.answers
        left = (request for request in requests if request.number not in answers.done)
        running: dict[asyncio.Task[tuple[int, Any]], Request] = {}
        try:
            while self._ask_more(running, left):
                done, _pending = await asyncio.wait(
                    running, timeout=_POLL_S, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    answers.add(running.pop(task), *task.result())
                answers.save_if_due()
                if self.ctx.should_stop():
                    raise BatchStopped("Stopped; what is answered is kept.")
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            answers.save()

    def _ask_more(
        self, running: dict[asyncio.Task[tuple[int, Any]], Request], left: Iterator[Request]
    ) -> bool:
        """Keep the model busy; False where everything is answered."""
        while len(running) < self.most and (request := next(left, None)) is not None:
            task = asyncio.create_task(self.model.ask(self.endpoint, request.body))
            running[task] = request
        return bool(running)
