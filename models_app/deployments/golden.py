"""Golden answers: what a revision says to a few prompts, greedily, asked of one of its replicas.

Stored when the revision gets into service, and replayed before requests move back to it: the same
files and settings have to give the same tokens. A model server is asked over the network, so none
of this runs inside a transaction.
"""

import http.client
import json
import logging
import time
from dataclasses import dataclass

from models_app.core.clock import now
from models_app.deployments import replica_headers
from models_app.deployments.models import Deployment, GoldenAnswer, Replica, Revision, Rollout
from models_app.deployments.reconcile import reconcile_deployment
from models_app.deployments.secrets import replica_secret
from models_app.deployments.services.golden import (
    golden_compared,
    golden_store,
    golden_unanswered,
)
from models_app.deployments.services.in_place import in_place_replica
from models_app.deployments.states import (
    ROLLOUT_LIVE,
    Golden,
    ReplicaState,
    RevisionState,
)

logger = logging.getLogger(__name__)

#: Short enough for a context of a few tokens, and for models of characters as well as of words.
PROMPTS = ("The ", "Once upon", "1 2 3", "A: ", "def ", "and so")
MOST_TOKENS = 24
LEAST_TOKENS = 4
TIMEOUT_S = 20.0
#: A different answer is asked for once more: only one that stays different counts.
TRIES = 2


#: Revisions that could not be asked, in this process: how often, and when they are asked again.
_waits: dict[int, tuple[int, float]] = {}
LONGEST_WAIT_S = 600.0


class NoAnswer(Exception):
    """The replica gave none: it says why. `permanent`: it never will, to this prompt."""

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        self.permanent = permanent
        super().__init__(message)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Greedy text and the numbers of its tokens, as far as the server names them."""

    text: str
    tokens: list[int]

    def same(self, text: str, tokens: list[int]) -> bool:
        """Token for token, where both name them."""
        if self.tokens and tokens:
            return self.tokens == tokens
        return self.text == text


def golden_round() -> int:
    """Store what is missing and replay what a way back waits for; returns how many revisions."""
    return _replays() + _stores()


def _replays() -> int:
    rows = Rollout.objects.filter(state__in=ROLLOUT_LIVE, golden=Golden.DUE)
    return sum(_replay(row) for row in rows.select_related("revision__deployment__team"))


def _replay(rollout: Rollout) -> bool:
    replica = _ready(rollout.revision)
    if replica is None:
        return False
    asked: list[tuple[int, str, bool]] = []
    try:
        for stored in rollout.revision.golden_answers.all():
            answer = _asked_again(replica, stored)
            asked.append((stored.pk, answer.text, answer.same(stored.text, stored.tokens)))
    except NoAnswer as error:
        golden_unanswered(rollout_id=rollout.pk, why=str(error))
        return False
    golden_compared(rollout_id=rollout.pk, replica_id=replica.pk, answers=asked)
    # At once: the requests of a way back are not made to wait for the next tick.
    reconcile_deployment(rollout.deployment_id)
    return True


def _asked_again(replica: Replica, stored: GoldenAnswer) -> Answer:
    limit = len(stored.tokens) or MOST_TOKENS
    answer = ask(replica, stored.prompt, limit)
    for _ in range(TRIES - 1):
        if answer.same(stored.text, stored.tokens):
            break
        answer = ask(replica, stored.prompt, limit)
    return answer


def _stores() -> int:
    """Active revisions without stored answers, whoever activated them."""
    rows = Revision.objects.filter(
        state=RevisionState.ACTIVE,
        deployment__stopped_at=None,
        golden_answers=None,
        replica_set__state=ReplicaState.READY,
    ).distinct()
    at = time.monotonic()
    due = [row for row in rows.select_related("deployment__team") if _waits_until(row) <= at]
    return sum(_store(row) for row in due)


def _waits_until(revision: Revision) -> float:
    return _waits.get(revision.pk, (0, 0.0))[1]


def _store(revision: Revision) -> bool:
    """All answers that it can give; where it is only busy, another time."""
    replica = _ready(revision)
    if replica is None:
        return False
    answers: list[tuple[str, str, list[int]]] = []
    for prompt in revision.serving.golden_prompts or PROMPTS:
        try:
            answer = ask(replica, prompt, MOST_TOKENS)
        except NoAnswer as error:
            logger.info("r%s of %s: %s", revision.number, revision.deployment, error)
            if error.permanent:
                continue
            answers = []
            break
        answers.append((prompt, answer.text, answer.tokens))
    if answers:
        _waits.pop(revision.pk, None)
        return golden_store(revision_id=revision.pk, answers=answers)
    count = _waits.get(revision.pk, (0, 0.0))[0] + 1
    _waits[revision.pk] = count, time.monotonic() + min(LONGEST_WAIT_S, 2.0**count)
    return False


def _ready(revision: Revision) -> Replica | None:
    rows = Replica.objects.filter(revision=revision, state=ReplicaState.READY)
    row = rows.select_related("revision__deployment__team").order_by("pk").first()
    return row or in_place_replica(revision)


def ask(replica: Replica, prompt: str, limit: int) -> Answer:
    """One greedy answer of at most `limit` tokens; fewer where the context is that short."""
    while True:
        status, body = _post(replica, prompt, limit)
        if status == 200:
            return _read(body)
        if status != 400 or limit <= LEAST_TOKENS:
            said = body[:200].decode("utf-8", "replace")
            raise NoAnswer(
                f"replica {replica.pk} answered {status}: {said}",
                permanent=400 <= status < 500 and status not in (401, 408, 429),
            )
        limit //= 2


def _post(replica: Replica, prompt: str, limit: int) -> tuple[int, bytes]:
    deployment: Deployment = replica.revision.deployment
    body = {
        "model": f"{deployment.team.slug}/{deployment.name}",
        "prompt": prompt,
        "max_tokens": limit,
        "temperature": 0,
        "seed": 0,
        "stream": True,
    }
    headers = {
        "Authorization": f"Bearer {replica_secret(replica.pk, replica.epoch)}",
        "Content-Type": "application/json",
        "x-request-id": f"golden-{replica.pk}-{int(now().timestamp() * 1000)}",
        replica_headers.TOKENS: "1",
    }
    server = http.client.HTTPConnection(replica.host, replica.port or 0, timeout=TIMEOUT_S)
    try:
        server.request("POST", "/v1/completions", json.dumps(body), headers)
        answer = server.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(
            f"replica {replica.pk} does not answer: {error or type(error).__name__}"
        ) from error
    finally:
        server.close()


def _read(body: bytes) -> Answer:
    """The events of a stream; a comment before one names its tokens."""
    text, tokens, done = [], [], False
    for line in body.decode("utf-8", "replace").splitlines():
        if line.startswith(": "):
            tokens += _ids(line[2:])
        elif line == "data: [DONE]":
            done = True
        elif line.startswith("data: "):
            event = json.loads(line[6:])
            if "error" in event:
                raise NoAnswer(str(event["error"].get("message", "")))
            text += [choice.get("text") or "" for choice in event.get("choices", ())]
    if not done:
        raise NoAnswer("the answer broke off")
    # PostgreSQL keeps no NUL, which a model of bytes may well say.
    return Answer(text="".join(text).replace("\0", "\N{SYMBOL FOR NULL}"), tokens=tokens)


def _ids(comment: str) -> list[int]:
    _choice, _, numbers = comment.partition(" ")
    found = numbers.split(",")
    return [int(n) for n in found] if all(n.isdecimal() for n in found) else []
