"""The gateway's ASGI application: OpenAI's `/v1` for every deployment, one key check, one record.

No ORM and no Django view is touched while a request runs: keys and routes lie in memory
(`tables.py`), and records are written in batches (`records.py`).
"""

import asyncio
import json
import logging
import time

from django.conf import settings
from django.db import Error as DatabaseError

from console.access.roles import GRANTS
from console.access.roles import Scope as TokenScope
from console.gateway import errors
from console.gateway.answering import stream_error
from console.gateway.cache import Answers
from console.gateway.decision import Decision
from console.gateway.errors import GatewayError
from console.gateway.exchange import Exchange
from console.gateway.http import Disconnected, HttpCall, Kept, Receive, Scope, Send
from console.gateway.interrupt import Interrupt, Interrupted
from console.gateway.keys import Key
from console.gateway.listing import model, models
from console.gateway.metrics import KIND as METRICS_KIND
from console.gateway.metrics import Metrics
from console.gateway.openai import ENDPOINTS, parse_ask
from console.gateway.probing import Prober
from console.gateway.records import CLIENT_CLOSED, Record, Recorder
from console.gateway.reporting import Reporter
from console.gateway.routing.choosing import decide
from console.gateway.routing.mirroring import KEPT_BYTES, Mirrors
from console.gateway.seats import Seats
from console.gateway.tables import Tables
from console.gateway.upstream import Lost, Upstream

logger = logging.getLogger(__name__)
MODELS = "/v1/models"
SCOPE = str(GRANTS["deployments.infer_deployment"][1])
READ = str(TokenScope.READ)


class Gateway:
    """ASGI 3; one instance a process, between `startup` and `shutdown`."""

    async def startup(self) -> None:
        """Load the tables and begin to keep them fresh."""
        self.tables = Tables()
        self.recorder = Recorder()
        self.upstream = Upstream()
        self.reporter = Reporter(self.tables.routes)
        self.answers = Answers()
        self.seats = Seats(self.tables.routes, self.reporter.wake)
        self.mirrors = Mirrors(self.tables.routes, self.seats, self.upstream, self.recorder)
        await self.tables.start()
        self.recorder.start()
        self.metrics = Metrics(self.tables.routes, self.seats)
        self.mirrors.start()
        prober = Prober(self.tables.routes, self.seats, self.upstream)
        work = (prober.run(), self.reporter.run(self.seats))
        self._tasks = [asyncio.create_task(part) for part in work]

    async def shutdown(self) -> None:
        """Write the last records; requests have ended by now."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.mirrors.stop()
        await self.answers.close()
        await self.upstream.close()
        await self.recorder.stop()
        await self.tables.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry point for requests below `/v1/`."""
        call = HttpCall(scope, receive, send)
        try:
            key = await self._key(call)
            if not self.tables.routes.loaded:
                raise errors.unavailable()
            endpoint = ENDPOINTS.get(call.path)
            if endpoint is not None and call.method == "POST":
                await self._generate(call, key, endpoint)
            else:
                await self._other(call, key, endpoint)
        except GatewayError as error:
            await call.refuse(error)
        except Exception:
            logger.exception("request %s failed", call.request_id)
            if call.status:
                raise
            await call.refuse(errors.internal())

    async def show_metrics(self, call: HttpCall) -> None:
        """`GET /metrics` for keys that may read, of the deployments of their teams."""
        try:
            if call.method != "GET":
                raise errors.wrong_method(call.method)
            key = await self._key(call, READ)
            body = self.metrics.text(lambda route: key.may_ask(route.team_id))
        except GatewayError as error:
            await call.refuse(error)
        else:
            await call.answer(200, body, kind=METRICS_KIND)

    async def _key(self, call: HttpCall, scope: str = SCOPE) -> Key:
        try:
            key = await self.tables.keys.find(call.authorization)
        except (DatabaseError, TimeoutError) as error:
            logger.warning("a key could not be looked up: %r", error)
            raise errors.unavailable() from error
        if key is None:
            raise errors.unauthorized()
        if scope not in key.scopes:
            raise errors.scope_missing(scope)
        return key

    async def _other(self, call: HttpCall, key: Key, endpoint: str | None) -> None:
        path = call.path.rstrip("/")
        if endpoint is None and path != MODELS and not path.startswith(MODELS + "/"):
            raise errors.unknown_path(call.path)
        if call.method != ("GET" if endpoint is None else "POST"):
            raise errors.wrong_method(call.method)
        if path == MODELS:
            said: object = {"object": "list", "data": models(self.tables, key)}
        else:
            said = model(self.tables, key, path[len(MODELS) + 1 :])
        await call.answer(200, json.dumps(said).encode())

    async def _generate(self, call: HttpCall, key: Key, endpoint: str) -> None:
        started = time.monotonic()
        record = Record(call.request_id, key.user_id, key.prefix, endpoint)
        try:
            await self._answer(call, key, record)
        except GatewayError as error:
            record.status, record.outcome = error.status, error.code
            raise
        except Disconnected:
            record.status, record.outcome = CLIENT_CLOSED, "client_closed"
        except asyncio.CancelledError:
            record.status, record.outcome = 503, "gateway_stopped"
            raise
        except Exception:
            record.status, record.outcome = 500, "internal_error"
            raise
        finally:
            record.total_ms = round((time.monotonic() - started) * 1000, 3)
            self._keep(record)
            self.mirrors.answered(call, record)

    def _keep(self, record: Record) -> None:
        self.recorder.add(record)
        self.metrics.note(record)

    async def _answer(self, call: HttpCall, key: Key, record: Record) -> None:
        ask = parse_ask(await call.body())
        record.stream = ask.stream
        record.model = ask.model
        decision = decide(self.tables, key, call, ask)
        if decision.mirrors:
            call.copy = Kept(KEPT_BYTES)
        record.rule = decision.rule
        seconds = deadline_s(decision)
        exchange = Exchange(self.seats, self.upstream, self.answers, call, ask, key, record)
        try:
            with Interrupt(call.receive, seconds, call.stalled):
                await exchange.run(decision, seconds)
            self.mirrors.plan(decision, call, ask, key)
        except Interrupted as stop:
            if stop.reason == "deadline":
                await self._break_off(call, exchange, record, errors.deadline_passed(seconds))
            else:
                record.status, record.outcome = CLIENT_CLOSED, stop.reason
        except Lost:
            await self._break_off(call, exchange, record, errors.replica_lost())
        except asyncio.CancelledError:
            # This process is told to stop: nobody is left without a word, here neither.
            if exchange.stream is not None:
                await call.write(stream_error(errors.gateway_stopped(), exchange.stream), last=True)
            elif not call.status:
                await call.refuse(errors.gateway_stopped())
            raise
        finally:
            if exchange.stream is not None:
                record.prompt_tokens, record.completion_tokens = exchange.stream.tokens()

    async def _break_off(
        self, call: HttpCall, exchange: Exchange, record: Record, error: GatewayError
    ) -> None:
        """Raise the error while that is possible; in a stream that runs, it is the last event."""
        if exchange.stream is None:
            raise error
        # 200 was sent long ago; the record says what became of it.
        record.status, record.outcome = error.status, error.code
        await call.write(stream_error(error, exchange.stream), last=True)


def deadline_s(decision: Decision) -> float:
    """Seconds until the answer must be complete: as the first target's configuration says."""
    first = decision.targets[0]
    arm = first.arm or first.route.share(decision.sticky)
    return float(min(settings.GATEWAY_TIMEOUT_S, arm.settings.deadline_s))
