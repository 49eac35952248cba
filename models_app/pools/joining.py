"""How new machines join: tokens that work once, nodes with a secret, and who a node is."""

import datetime as dt
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import SYSTEM, Actor
from models_app.core.errors import FieldError, NotFound, SlipwayError, WrongState
from models_app.core.names import clean_title
from models_app.core.permission import require
from models_app.core.states import advance
from models_app.pools.models import JoinToken, Node
from models_app.pools.services.operations import clean_labels
from models_app.pools.services.registration import node_announce
from models_app.pools.states import ALLOWED, NodeState

TOKEN_PREFIX, SECRET_PREFIX = "slipjoin_", "slipnode_"
DEFAULT_TTL = dt.timedelta(hours=24)
LONGEST_TTL = dt.timedelta(days=30)
#: Words that stand in the place of a node's name in the API.
RESERVED = {"join", "access"}
NEVER = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")


class JoinRefused(SlipwayError):
    """This join token is not valid."""

    status = 401
    code = "join_refused"
    title = "The node may not join"


class NodeRefused(SlipwayError):
    """No node of this name has this secret."""

    status = 401
    code = "node_refused"
    title = "The node is not known"


@transaction.atomic
def join_token_create(
    *,
    actor: Actor,
    note: str = "",
    labels: Mapping[str, str] | None = None,
    ttl: dt.timedelta = DEFAULT_TTL,
) -> tuple[JoinToken, str]:
    """A token with which one machine can join: (row, text). The text is shown this once."""
    require(actor, "pools.manage_node")
    if not dt.timedelta(minutes=1) <= ttl <= LONGEST_TTL:
        raise FieldError("ttl", _("Use a minute to %(days)s days.") % {"days": LONGEST_TTL.days})
    text = TOKEN_PREFIX + secrets.token_urlsafe(32)
    token = JoinToken.objects.create(
        note=clean_title(note, "note") if note else "",
        labels=clean_labels(labels or {}),
        digest=_digest(text),
        created_by_id=actor.pk,
        expires_at=Now() + ttl,
    )
    token.refresh_from_db()
    changes = {"note": token.note, "labels": token.labels, "expires_at": str(token.expires_at)}
    audit_record(actor=actor, action="join_token.created", obj=token, changes=changes)
    return token, text


@transaction.atomic
def join_token_revoke(*, actor: Actor, token_id: int) -> JoinToken:
    """Let nobody join with it any more; a node that has joined with it stays."""
    require(actor, "pools.manage_node")
    token = JoinToken.objects.select_for_update().filter(pk=token_id).first()
    if token is None:
        raise NotFound(_("There is no such join token."))
    if token.revoked_at or token.used_at:
        raise WrongState(_("This join token is used or revoked already. It does nothing any more."))
    token.revoked_at = Now()
    token.save(update_fields=["revoked_at"])
    token.refresh_from_db()
    audit_record(actor=actor, action="join_token.revoked", obj=token)
    return token


def join_token_list(*, actor: Actor) -> QuerySet[JoinToken]:
    """All join tokens, newest first, without their text."""
    require(actor, "pools.manage_node")
    return JoinToken.objects.select_related("created_by", "used_by").order_by("-id")


@transaction.atomic
def node_join(
    *, token: str, name: str, labels: Mapping[str, str] | None = None
) -> tuple[Node, str]:
    """Spend the token on a new node: (row, secret). The labels of the token win over its own.

    Raises JoinRefused. The node counts as unreachable until its worker gives a sign of life.
    """
    own = clean_labels(labels or {})
    row = _spendable(token)
    secret = SECRET_PREFIX + secrets.token_urlsafe(32)
    node = _enrolled(clean_node_name(name), {**own, **row.labels}, secret)
    JoinToken.objects.filter(pk=row.pk).update(used_at=Now(), used_by=node)
    by = row.created_by.email if row.created_by else "the command line"
    changes = {"token": row.pk, "note": row.note, "made_by": by, "labels": node.labels}
    audit_record(actor=SYSTEM, action="node.joined", obj=node, changes=changes)
    return node, secret


def node_authenticate(*, name: str, secret: str) -> Node:
    """The node that joined under this name with this secret, or NodeRefused.

    A removed or quarantined node is refused, too.
    """
    node = Node.objects.filter(name=name).first()
    known = node.secret_digest if node is not None else ""
    if not hmac.compare_digest(known or "-" * 64, _digest(secret)):
        raise NodeRefused(
            f"No node {name!r} has this secret. Join again: make a token on the console."
        )
    assert node is not None
    if node.state == NodeState.REMOVED:
        raise NodeRefused(f"The node {name} was removed. Join again with a new token.")
    if node.state == NodeState.QUARANTINED:
        raise NodeRefused(f"The node {name} is quarantined: {node.state_reason or 'by hand'}")
    return node


def node_may_register(*, name: str, secret: str) -> None:
    """Called before a worker takes a name: joined nodes prove theirs, others may not take it.

    Raises NodeRefused. A quarantined node may register: it is told what to do by its state.
    """
    node = Node.objects.filter(name=name).only("secret_digest", "state").first()
    known = node.secret_digest if node is not None else ""
    if not secret and not known:
        return
    if not hmac.compare_digest(known, _digest(secret)):
        remedy = (
            "Join again with a new token." if secret else "Give this worker another SLIPWAY_NODE."
        )
        raise NodeRefused(f"The name {name} belongs to a node with another secret. {remedy}")
    if node is not None and node.state == NodeState.REMOVED:
        raise NodeRefused(f"The node {name} was removed. Join again with a new token.")


def clean_node_name(name: str) -> str:
    """A host name as the name of a node, or FieldError."""
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise FieldError(
            "name",
            _("Use 1 to 100 letters, digits, dots, dashes and underscores, as in a host name."),
        )
    return name


def _spendable(text: str) -> JoinToken:
    """The token's row, locked, or JoinRefused with the reason and the remedy."""
    token = (
        JoinToken.objects.select_for_update(of=["self"])
        .select_related("created_by")
        .annotate(db_now=Now())
        .filter(digest=_digest(text))
        .first()
    )
    problem = _problem(token)
    if token is None or problem:
        raise JoinRefused(f"This join token {problem}. Make a new one on the console.")
    return token


def _problem(token: Any) -> str:
    if token is None:
        return "is not known"
    if token.revoked_at:
        return "was revoked"
    if token.used_at:
        return "was used already: it works once"
    return "has expired" if token.expires_at <= token.db_now else ""


def _enrolled(name: str, labels: dict[str, str], secret: str) -> Node:
    node = _free_node(name)
    facts = {
        "incarnation": f"joined:{secrets.token_hex(8)}",
        "labels": labels,
        "shares_store": False,
        "secret_digest": _digest(secret),
        "state_reason": "It has joined and not started yet.",
        "remove_when_empty": False,
        "drain_deadline_at": None,
        "started_at": Now(),
        "last_seen_at": NEVER,
    }
    if node.pk is None:
        node = Node.objects.create(
            name=node.name, state=NodeState.UNREACHABLE, state_changed_at=Now(), **facts
        )
    else:
        advance(node, NodeState.UNREACHABLE, allowed=ALLOWED, state_changed_at=Now(), **facts)
    node.refresh_from_db()
    node_announce(node)
    return node


def _free_node(wanted: str) -> Node:
    """A node under the first free of `wanted`, `wanted-2`, …; a removed node's name is free."""
    with connection.cursor() as cursor:  # two at once must not take the same name
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('slipway node names'))")
    for number in range(1, 10_000):
        name = wanted if number == 1 else f"{wanted}-{number}"
        node = Node.objects.select_for_update().filter(name=name).first()
        if node is None:
            return Node(name=name)
        if node.state == NodeState.REMOVED:
            return node
    raise FieldError("name", _("Ten thousand nodes have this name. Choose another one."))


def _digest(text: str) -> str:
    """sha256 is right here: both texts are random, so there is nothing to guess slowly."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
