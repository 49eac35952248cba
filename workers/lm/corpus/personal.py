"""Finds personal data and secrets in texts: addresses, numbers of people, keys of machines."""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator

from workers.masking import secret_spans

Span = tuple[int, int]
_LOCAL = re.compile(r"[A-Za-z0-9._%+\-]{1,64}\Z")
_DOMAIN = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}\b")
_DIGIT = re.compile(r"\d")
_NUMBER = re.compile(r"(?<![\w.+\-/])(?:\+|\()?\d[\d ()./\-]{5,24}\d(?![\w])")
_CARD = re.compile(r"(?<![\d.])[2-6]\d{3}(?:[ -]?\d){9,15}(?!\d)")
#: The beginnings that card companies use, with the lengths of their numbers.
_ISSUERS = [
    (re.compile(r"4"), {13, 16, 19}), (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]"), {16}),
    (re.compile(r"3[47]"), {15}), (re.compile(r"3(0[0-5]|[689])"), {14}), (re.compile(r"35"), {16}),
    (re.compile(r"6(011|4[4-9]|5|2)"), {16, 19}),
]  # fmt: skip
_IPV4 = re.compile(r"(?<![\d.])\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?![\d.]*\d)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:.])")
_IBAN = re.compile(r"(?<![A-Za-z0-9])([A-Z]{2})\d{2}(?=[ A-Z0-9]{11,})")
#: Characters of an IBAN by country (ISO 13616).
_IBAN_LENGTH = {
    "AD": 24, "AE": 23, "AT": 20, "BE": 16, "BG": 22, "BR": 29, "CH": 21, "CY": 28, "CZ": 24,
    "DE": 22, "DK": 18, "EE": 20, "ES": 24, "FI": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23,
    "GR": 27, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IS": 26, "IT": 27, "KW": 30, "KZ": 20,
    "LB": 28, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27, "MT": 31, "NL": 18, "NO": 15,
    "PL": 28, "PT": 25, "QA": 29, "RO": 24, "SA": 24, "SE": 24, "SI": 19, "SK": 24, "SM": 27,
    "TN": 24, "TR": 26, "UA": 29, "XK": 20,
}  # fmt: skip


def emails(text: str) -> Iterator[Span]:
    """Addresses of mail."""
    at = text.find("@")
    while at >= 0:
        local = _LOCAL.search(text, max(0, at - 64), at)
        domain = _DOMAIN.match(text, at + 1)
        if local and domain:
            yield local.start(), domain.end()
        at = text.find("@", at + 1)


def phones(text: str) -> Iterator[Span]:
    """Numbers written as telephone numbers: with a +, a leading 0, or as 3-3-4 digits."""
    for found in _NUMBER.finditer(text):
        written = found.group()
        digits = re.sub(r"\D", "", written)
        if written[0] == "+" or written.startswith("00"):
            good = 9 <= len(digits) <= 17
        elif written.lstrip("(")[0] == "0":
            good = 9 <= len(digits) <= 13 and len(digits) < len(written) and "." not in written
        else:
            good = bool(re.fullmatch(r"\(?[2-9]\d\d\)?[ .\-][2-9]\d\d[ .\-]\d{4}", written))
        if good:
            yield found.span()


def cards(text: str) -> Iterator[Span]:
    """Numbers of payment cards: an issuer's beginning and length, a right check digit (Luhn)."""
    for found in _CARD.finditer(text):
        digits = re.sub(r"\D", "", found.group())
        issued = any(sign.match(digits) and len(digits) in sizes for sign, sizes in _ISSUERS)
        if issued and _luhn([int(sign) for sign in digits]):
            yield found.span()


def _luhn(digits: list[int]) -> bool:
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def ibans(text: str) -> Iterator[Span]:
    """Numbers of bank accounts, of the right length and with right check digits."""
    for found in _IBAN.finditer(text):
        taken: list[str] = []
        length, end = _IBAN_LENGTH.get(found.group(1), 0), found.start()
        while end < len(text) and len(taken) < length and (text[end] == " " or text[end].isalnum()):
            if text[end] != " ":
                taken.append(text[end])
            end += 1
        if length and len(taken) == length and not text[end : end + 1].isalnum():
            moved = "".join(taken[4:] + taken[:4])
            if moved.isascii() and int("".join(str(int(c, 36)) for c in moved)) % 97 == 1:
                yield found.start(), end


def addresses(text: str) -> Iterator[Span]:
    """IP addresses of both kinds."""
    patterns = [_IPV4] if "." in text else []
    if text.count(":") > 1:
        patterns.append(_IPV6)
    for pattern in patterns:
        for found in pattern.finditer(text):
            if len(found.group()) > 3 and _is_address(found.group()):
                yield found.span()


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


#: Kind -> its finder, and whether a text without a digit cannot hold one.
FINDERS: dict[str, tuple[Callable[[str], Iterable[Span]], bool]] = {
    "email": (emails, False),
    "iban": (ibans, True),
    "card": (cards, True),
    "phone": (phones, True),
    "ip": (addresses, False),
    "secret": (secret_spans, False),
}
KINDS = tuple(FINDERS)


def find(text: str, kinds: Iterable[str] = KINDS) -> list[tuple[int, int, str]]:
    """(start, end, kind) of what is found, in order and without overlaps: what is named first in
    FINDERS wins.
    """
    digits = _DIGIT.search(text) is not None
    taken: list[tuple[int, int, str]] = []
    wanted = set(kinds)
    for kind, (finder, needs_digits) in FINDERS.items():
        if kind in wanted and (digits or not needs_digits):
            for start, end in finder(text):
                if not any(start < last and first < end for first, last, _ in taken):
                    taken.append((start, end, kind))
    return sorted(taken)


def redact(text: str, found: Iterable[tuple[int, int, str]]) -> str:
    """The text with the kind in brackets where something was found."""
    shown, at = [], 0
    for start, end, kind in found:
        shown += [text[at:start], f"[{kind.upper()}]"]
        at = end
    return "".join([*shown, text[at:]])
