"""What counts as personal data or a secret, and what does not."""

import pytest

from workers.lm.corpus.personal import find, redact

pytestmark = pytest.mark.nodb


@pytest.mark.parametrize(
    ("text", "kind", "written"),
    [
        ("ask bob.lee+x@mail.example.co.uk, please", "email", "bob.lee+x@mail.example.co.uk"),
        ("call +49 (0)30 123456-78 today", "phone", "+49 (0)30 123456-78"),
        ("call 030/123 45 67 89 today", "phone", "030/123 45 67 89"),
        ("call (415) 555-2671 today", "phone", "(415) 555-2671"),
        ("card 4111 1111 1111 1111.", "card", "4111 1111 1111 1111"),
        ("to DE89 3704 0044 0532 0130 00 now", "iban", "DE89 3704 0044 0532 0130 00"),
        ("GB82WEST12345698765432", "iban", "GB82WEST12345698765432"),
        ("from 192.168.10.24:80", "ip", "192.168.10.24"),
        ("from 2001:db8::8a2e:370:7334 to", "ip", "2001:db8::8a2e:370:7334"),
        ("password: hunter2!", "secret", "hunter2!"),
        ("use AKIAIOSFODNN7EXAMPLE", "secret", "AKIAIOSFODNN7EXAMPLE"),
        ("hf_abcdefghijklmnopqrstuvwxyz", "secret", "hf_abcdefghijklmnopqrstuvwxyz"),
    ],
)
def test_is_found(text, kind, written):
    assert [(found, text[a:b]) for a, b, found in find(text)] == [(kind, written)]
    assert redact(text, find(text)) == text.replace(written, f"[{kind.upper()}]")


@pytest.mark.parametrize(
    "text",
    [
        "on 2024-01-31 at 12:30", "4111 1111 1111 1112", "DE89 3704 0044 0532 0130 01",
        "version 1.2.3 of it", "256.1.1.1", "a@b", "@everyone", "pi is 3.14159265358979",
        "1234567890123", "the key to success", "no secret about it", "12:30:45", "std::vector",
        "",
    ],
)  # fmt: skip
def test_is_left_alone(text):
    assert find(text) == []


def test_a_private_key_is_one_secret():
    key = "-----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY-----"
    assert redact(f"a {key} b", find(f"a {key} b")) == "a [SECRET] b"


def test_only_what_is_asked_for():
    assert find("bob@example.com from 10.0.0.1", ["ip"]) == [(21, 29, "ip")]
