"""Every route of the API with nonsense in every parameter: deterministic, and never a 500.

Each parameter takes some of the values, the next one others; CHAOS=full gives every value to each.
"""

import itertools
import json
import os
import time
from urllib.parse import quote, urlencode

import pytest
from drf_spectacular.generators import SchemaGenerator

from models_app.curation.services import data_policy_change
from models_app.registry.services import (
    conversion_start,
    evaluation_start,
    model_create,
    run_begin,
    training_start,
)
from models_app.storage.uploads import upload_start
from models_app.sweeps.services import sweep_start
from tests.factories.access import ApiTokenFactory, UserFactory
from tests.factories.data import ready_version as ready_data
from tests.factories.deployments import environment, revision_of, serving
from tests.factories.jobs import submitted
from tests.flows.problems import PROBLEM, check_problem
from tests.workers.jobs.test_train import TINY

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

#: One value of so many for each parameter.
SHARE = 1 if os.environ.get("CHAOS") == "full" else 8
RUBBISH = "\U0001f4a5' OR 1=1 --"
IN_PATHS = [
    "0", "-1", "9" * 30, "1e5", "1.5", "abc", "%00", "%ED%A0%80", "%FF%FE", "..%2F..%2Fetc",
    "x" * 1000, quote(RUBBISH), "%0d%0aSet-Cookie:%20a=b", "None", "٣",
]  # fmt: skip
IN_QUERIES = [
    "", "-1", "0", "9" * 30, "1e999", "NaN", "%00", "%ED%A0%80", "%FF%FE",
    "x" * 5000, quote(RUBBISH), "[]", "2026-13-45T99:99:99Z", "%25", "cD0x",
    "bz05OTk5OTk5OTk5OTk5OTk5OTk5OTk=", "٣", "true", "cD0lRUQlQTAlODA%3D",
]  # fmt: skip
#: JSON texts, not Python values: some cannot be said in Python.
IN_BODIES = [
    "null", "true", "[]", "{}", '""', "-1", "0", "1.5", "1e999", "1e308", "-9223372036854775809",
    "9" * 400, "9" * 5000,
    '"\\u0000"', '"\\ud800"', '"\\u202e\\u0007"', json.dumps("x" * 100_000), json.dumps(RUBBISH),
    '"../../etc/passwd"', '"e\\u0301"', '[[[[[[[[["deep"]]]]]]]]]',
    '{"\\u0000": 1}', '["a", 1, null]',
]  # fmt: skip
BODIES = [
    b"", b"null", b"[]", b"1", b'"text"', b"{", b"NaN", b'{"a": NaN}', b'{"a": Infinity}',
    b"\xff\xfe{}",
    b'{"\xed\xa0\x80": 1}', b"[" * 100_000, b'{"a":' * 5000 + b"1" + b"}" * 5000,
    b'{"a": 1, "a": 2}',
    b"\x00", b'{"a": ' + b"9" * 100_000 + b"}", b'{"nobody_knows_this": 1}', b'\xef\xbb\xbf{}',
    b"a=b",
]  # fmt: skip
TYPES = ["application/json", "text/plain", "application/xml", "application/x-www-form-urlencoded",
         "multipart/form-data", "multipart/form-data; boundary=x", "", "\x7f",
         "application/json; charset=utf-7"]  # fmt: skip


@pytest.fixture
def world(ana, ben, team, tmp_path):
    """One thing of each sort, and valid values for parameters and fields by name."""
    for name in ("development", "staging", "production"):
        environment(name)
    ana.is_admin = True
    ana.save()
    data = ready_data(ana, team, tmp_path)
    model = model_create(actor=ana, team=team, name="poet")
    version = training_start(actor=ana, team=team, model=model, dataset_version=data, spec=TINY)
    deployment = serving(ana, team)
    served = deployment.active_revision.model_version
    second = revision_of(ana, serving(ana, team, name="other"))
    protected = serving(ana, team, env="staging", name="third")
    evaluation = evaluation_start(actor=ana, version=served, dataset_version=data)
    job = submitted(team)
    conversion = conversion_start(actor=ana, version=served, format="int8")
    other = UserFactory(name="Zoe")
    token = ApiTokenFactory(user=ana, scopes=["read"])
    policy = data_policy_change(actor=ana, team=team, spec={})
    upload = upload_start(actor=ana, team=team, name="poems.txt", size=100)
    run = run_begin(actor=ana, team=team, name="elsewhere", params={"seed": 1})
    space = {"dropout": {"values": [0.0, 0.1]}}
    sweep = sweep_start(
        actor=ana, team=team, model=model, dataset_version=data, spec=TINY, space=space
    )
    del second, protected, evaluation
    return {
        "ids": {
            "approvals": 1, "config-revisions": version.config_revision_id,
            "configs": version.config_revision.config_id, "conversions": conversion.pk,
            "dataset-versions": data.pk,
            "datasets": data.dataset_id, "deployments": deployment.pk, "evaluations": 1,
            "jobs": job.pk, "model-versions": served.pk, "models": model.pk, "users": other.pk,
            "tokens": token.pk, "teams": team.slug, "environments": "development",
            "data-policies": policy.pk,
            "training-runs": run.pk, "sweeps": sweep.pk,
        },
        "fields": {
            "team": team.slug, "name": "something", "description": "words", "kind": "self_test",
            "params": {"steps": 3}, "title": "words", "priority": 0, "timeout_s": 60,
            "dataset_version": data.pk, "version": served.pk, "model_version": served.pk,
            "model": model.name, "config": dict(TINY), "spec": {}, "reason": "because",
            "size": 100, "sha256": "",
            "base_version": None, "changes": {}, "notes": "words", "decision": "approve",
            "comment": "words", "environment": "development", "protected": False,
            "required_approvals": 1, "expires_after_h": 24, "to": 1, "revision": 1, "replicas": 1,
            "slug": "letters", "admin": None, "email": "ben@example.com", "role": "viewer",
            "scopes": ["read"], "expires_in_days": 3, "grace_minutes": 0, "is_admin": False,
            "split": "validation", "format": "safetensors", "precision": "", "gate": {},
            "pool": "", "resources": {}, "max_documents": 10, "threads": 1, "text_field": "text",
            "document": "auto", "validation_fraction": 0.1, "seed": 1, "path": "none.txt",
            "tags": {"owner": "a"}, "run": run.pk, "expected": None, "state": "succeeded",
            "space": space, "strategy": "grid", "metric": "", "early_stopping": None,
            "max_trials": 4, "parallel": 1, "note": "words",
            "points": [{"name": "loss", "step": 1, "value": 2.5}],
        },
        "other": {"number": 1, "other": version.config_revision_id, "user_id": ben.pk,
                  "kind": "training", "path": "config.json", "key": upload.key},
    }  # fmt: skip


def operations():
    """(method, path, names in the path, names in the query, names in the body) of the schema."""
    schema = SchemaGenerator().get_schema(public=True)
    for path, methods in sorted(schema["paths"].items()):
        for method, operation in sorted(methods.items()):
            names = {"path": [], "query": [], "header": []}
            for parameter in operation.get("parameters", []):
                names[parameter["in"]].append(parameter["name"])
            content = operation.get("requestBody", {}).get("content", {})
            fields = content.get("application/json", {}).get("schema", {}).get("properties", {})
            yield method, path, names["path"], names["query"], list(fields), bool(content)


def filled(world, path, names):
    """Valid values for the parameters of a path."""
    sort = path.split("/")[3]
    values = {}
    for name in names:
        known = world["ids"].get(sort) if name in ("id", "slug", "name") else None
        values[name] = known if known is not None else world["other"].get(name, 1)
    return values


@pytest.fixture(autouse=True)
def quiet(caplog):
    """Refusals are what is wanted here: thousands of warnings would hide the faults."""
    caplog.set_level("ERROR", "django.request")


class Fuzzer:
    """Sends, and collects what must not be."""

    def __init__(self, client, world):
        self.client, self.world = client, world
        self.faults, self.sent, self.turn = [], 0, 0

    def send(self, method, path, body=None, kind="application/json"):
        self.sent += 1
        said = f"{method.upper()} {path[:160]} {kind} {(body or b'')[-160:]!r}"
        try:
            answer = self.client.generic(method.upper(), path, body or b"", content_type=kind)
        except Exception as error:
            self.faults.append(f"{said} raised {error!r}")
            return
        if answer.status_code >= 500:
            self.faults.append(f"{said} -> {answer.status_code} {answer.content[:200]!r}")
        elif answer.status_code >= 400 and not check_problem(answer):
            self.faults.append(f"{said} -> {answer.status_code} without {PROBLEM}")

    def some(self, values):
        """A part of the values, and another one at the next call."""
        self.turn += 1
        return values[self.turn % SHARE :: SHARE]

    def walk(self, method, path, in_path, in_query, fields, has_body):
        valid = filled(self.world, path, in_path)
        right = path.format(**valid)
        good = {name: self.world["fields"].get(name, "x") for name in fields}
        body = json.dumps(good).encode()
        for name in in_path:
            for value in self.some(IN_PATHS):
                self.send(method, path.format(**{**valid, name: value}), body)
        for name in in_query:
            for value in self.some(IN_QUERIES):
                self.send(method, f"{right}?{name}={value}")
        if in_query:
            self.send(method, f"{right}?{urlencode([(n, '1') for n in in_query * 2])}")
        if has_body and method != "delete":
            self.walk_body(method, right, good)

    def walk_body(self, method, right, good):
        body = json.dumps(good).encode()
        for name in good:
            rest = {other: value for other, value in good.items() if other != name}
            head = json.dumps(rest)[:-1]
            for text in self.some(IN_BODIES):
                join = ", " if rest else ""
                self.send(method, right, f'{head}{join}"{name}": {text}}}'.encode())
        for raw in self.some(BODIES):
            self.send(method, right, raw)
        for kind in self.some(TYPES):
            self.send(method, right, body, kind)


def test_no_route_answers_500(world, api_for, ana):
    """Values that go wrong deep inside would show as a 500, or as an exception of the view."""
    client = api_for(ana)
    client.raise_request_exception = False
    fuzzer = Fuzzer(client, world)
    begun = time.process_time()  # a busy machine is not this test's business
    # What ends things goes last, so that the others meet something that is there.
    ends = ("stop", "deactivate", "withdraw", "cancel", "delete", "rotate", "/end")
    ordered = sorted(operations(), key=lambda op: any(word in f"{op[0]} {op[1]}" for word in ends))
    for operation in ordered:
        fuzzer.walk(*operation)
    took = time.process_time() - begun
    print(f"{fuzzer.sent} requests in {took:.1f} s of processor time")

    assert not fuzzer.faults, f"{len(fuzzer.faults)} faults:\n" + "\n".join(fuzzer.faults[:40])
    assert fuzzer.sent > 1500


def test_methods_that_are_not_there_are_refused(world, api_for, ana):
    """405 as a problem, for every path and every method that the schema does not name."""
    client = api_for(ana)
    known = {}
    for method, path, names, *_ in operations():
        known.setdefault(path, (names, set()))[1].add(method)
    wrong = []
    for (path, (names, methods)), method in itertools.product(
        known.items(), ("put", "patch", "delete", "post")
    ):
        if method in methods:
            continue
        answer = client.generic(method.upper(), path.format(**filled(world, path, names)))
        if answer.status_code != 405 or not check_problem(answer):
            wrong.append(f"{method} {path}: {answer.status_code}")
    assert not wrong
