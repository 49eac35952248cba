"""Secrets do not get into the store, and ordinary lines stay as they are."""

import json

import pytest

from tests.workers.test_spool import everything, log, texts
from workers.masking import MASK
from workers.spool import Spool

pytestmark = pytest.mark.nodb

KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\nq83hF==\n-----END RSA PRIVATE KEY-----"


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "events.jsonl")


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("token is slip_AbCdEf0123456789xyz now", "slip_AbCdEf0123456789xyz"),
        ("Authorization: Bearer abc.def-123", "abc.def-123"),
        ('{"authorization": "Basic dXNlcjpwYXNz"}', "dXNlcjpwYXNz"),
        ("curl -H bearer a1b2c3d4e5", "a1b2c3d4e5"),
        ("password=hunter2 user=ana", "hunter2"),
        ("DB_PASSWORD: 'correct horse'", "correct horse"),
        ('{"api_key": "k-123"}', "k-123"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI/K7MDENG"),
        ("access_token=abc123&x=1", "abc123"),
        ("token: abcdefgh1234", "abcdefgh1234"),
        ("postgresql://ana:s3cr3t@db:5432/x", "s3cr3t"),
        ("redis://:pw-1@127.0.0.1:6379", "pw-1"),
        ("key AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
        ("ghp_0123456789abcdefghijABCDEFGHIJ012345", "ghp_0123456789"),
        ("HF hf_abcdefghijklmnopqrstuvwxyzABCDEF", "hf_abcdef"),
        ("sk-proj-abcdefghijklmnopqrstuv", "sk-proj"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-DEF", "eyJhbG"),
        (KEY, "MIIEpAIBAAKCAQEA7"),
    ],
)
def test_a_secret_is_masked_in_events_and_in_plain_output(spool, text, secret):
    spool.path.write_bytes(log("before") + log(text) + text.encode() + b"\n" + log("after"))
    seen = texts(spool.read())

    assert secret not in "\n".join(seen)
    assert MASK in "\n".join(seen)
    assert (seen[0], seen[-1]) == ("before", "after")


@pytest.mark.parametrize(
    "text",
    [
        "step 10 loss 2.31 tokens/s 5210 tokens: 4096",
        "pad token: 50256, eos token=50257",
        "The tokenizer has 512 tokens; key=value; keyboard",
        "see https://example.com/a@b and ssh://git@example.com/x",
        "the bearer of bad news",
        "the password was wrong",
        "risk-averse, disk-based, asia",
    ],
)
def test_an_ordinary_line_stays(spool, text):
    spool.path.write_bytes(log(text))

    assert texts(spool.read()) == [text]


def test_what_surrounds_a_secret_stays(spool):
    spool.path.write_bytes(log("login postgresql://ana:pw@db/x password=abc done"))

    expected = f"login postgresql://ana:{MASK}@db/x password={MASK} done"
    assert texts(spool.read()) == [expected]


def test_secrets_that_the_job_was_given_are_masked_wherever_they_stand(spool):
    secret = 'a "quoted" secret-0123456789'
    job = {"inputs": {"replica": {"secret": secret, "port": 8000, "name": "not-a-secret"}}}
    (spool.path.parent / "job.json").write_text(json.dumps(job))
    spool.path.write_bytes(log(f"I serve with {secret}!") + f"C says {secret}\n".encode())
    spool.path.open("ab").write(log("not-a-secret"))

    assert texts(spool.read()) == [f"I serve with {MASK}!", f"C says {MASK}", "not-a-secret"]


def test_a_private_key_is_masked_across_lines_and_readers(spool):
    key = KEY.split("\n")
    spool.path.write_bytes(b"".join(log(part) for part in [*key[:2], "and", *key[2:], "clear"]))
    whole = texts(spool.read())
    assert whole[-1] == "clear" and set(whole[:-1]) == {MASK}

    offset = len(log(key[0])) + len(log(key[1]))
    assert texts(Spool(spool.path, offset).read()) == whole[2:]


def test_a_key_that_never_ends_does_not_hide_the_rest(spool):
    spool.path.write_bytes(
        log(KEY.split("\n", maxsplit=1)[0]) + b"".join(log(str(n)) for n in range(500))
    )

    assert everything(spool)[-1] == "499"


def test_the_reason_of_a_failure_is_masked(spool):
    row = {"t": "failed", "message": "no route to redis://:pw-1@h", "reason": "user_code"}
    spool.path.write_bytes(json.dumps(row).encode() + b"\n")

    assert "pw-1" not in spool.read().outcome["message"]
