"""One row per call: gathered in memory, written in batches a few times a second."""

import asyncio
import datetime as dt
import logging
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from django.db import Error as DatabaseError
from django.db import connection

from models_app.deployments.services import request_records_store

logger = logging.getLogger(__name__)
EVERY_S = 0.25
BATCH = 2000
#: Rows that wait at most; a database that is away for longer costs rows, never answers.
BOUND = 50_000
CLIENT_CLOSED = 499  # nginx's status for a client that hung up


@dataclass(slots=True)
class Record:
    """A row of RequestRecord in the making."""

    request_id: str
    user_id: int
    token_prefix: str
    endpoint: str
    at: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    deployment_id: int | None = None
    revision_id: int | None = None
    replica_id: int | None = None
    node: str = ""
    stream: bool = False
    status: int = 0
    outcome: str = ""
    retries: int = 0
    resumes: int = 0
    model: str = ""
    rule: str = ""
    adapter: str = ""
    degraded: str = ""
    mirrored: bool = False
    cache: str = ""
    cached_tokens: int = 0
    gateway_wait_ms: float = 0.0
    queue_ms: float | None = None
    prefill_ms: float | None = None
    wake_ms: float = 0.0
    detail: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    first_token_ms: float | None = None
    total_ms: float = 0.0


class Recorder:
    """A bounded queue and the task that empties it."""

    def __init__(self) -> None:
        self._queue: deque[Record] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gateway-records")
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0

    def add(self, record: Record) -> None:
        """Never waits; over the bound the row is dropped and counted."""
        if len(self._queue) >= BOUND:
            self.dropped += 1
            return
        self._queue.append(record)

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._write())

    async def stop(self) -> None:
        """Write what is left."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._flush()
        self._thread.shutdown(wait=False)

    async def _write(self) -> None:
        told = 0
        while True:
            await asyncio.sleep(EVERY_S)
            if not await self._flush():
                await asyncio.sleep(1)
            if self.dropped > told:
                logger.error("%d request records were dropped in all", self.dropped)
                told = self.dropped

    async def _flush(self) -> bool:
        """Write all that waits; False if the database did not take it."""
        loop = asyncio.get_running_loop()
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            # Shielded: a batch in the thread is written even if we are told to stop.
            work = loop.run_in_executor(self._thread, _store, batch)
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                await asyncio.gather(work, return_exceptions=True)
                raise
            except DatabaseError as error:
                logger.warning("%d request records wait for the database: %s", len(batch), error)
                self._queue.extendleft(reversed(batch))
                return False
            except Exception:
                logger.exception("%d request records could not be written", len(batch))
                self.dropped += len(batch)
        return True


def _row(record: Record) -> dict[str, Any]:
    return {name: getattr(record, name) for name in Record.__slots__}


def _store(batch: Sequence[Record]) -> None:
    try:
        request_records_store([_row(record) for record in batch])
    finally:
        connection.close()
