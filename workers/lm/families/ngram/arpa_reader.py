"""Reading n-gram models from ARPA text, of KenLM or of other hands."""

import math
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from workers.lm.errors import InvalidWork
from workers.lm.families.markov import FloatArray, IntArray
from workers.lm.families.ngram.arpa import BEGIN, END, UNKNOWN
from workers.lm.families.ngram.layout import alphabet_of
from workers.lm.families.ngram.model import NgramModel
from workers.lm.families.ngram.order import Order, find
from workers.lm.families.ngram.spec import LARGEST_ORDER, LARGEST_VOCABULARY, Vocabulary

_LONGEST_LINE = 1 << 16
_GZIP = b"\x1f\x8b"


def read_arpa(path: Path) -> tuple[NgramModel, list[str]]:
    """The model and the name of every token, numbered in the file's order.

    Raises InvalidWork for the field `arpa`, naming the line.
    """
    with path.open("rb") as file:
        lines = _Lines(file)
        sizes = _read_sizes(lines)
        orders: list[Order] = []
        names: dict[bytes, int] = {}
        for length, size in enumerate(sizes, start=1):
            section = _Section(lines, length, size, last=length == len(sizes))
            if length == 1:
                names = section.read_names()
                vocabulary = _vocabulary_of(lines, names)
                order = section.order_of_tokens(vocabulary)
            else:
                section.read(names)
                order = section.order(orders, vocabulary)
            orders.append(order)
        _expect_end(lines)
    record = {"source": "ARPA", "warnings": []}
    return NgramModel(vocabulary, orders, record), [name.decode() for name in names]


class _Lines:
    """Lines without their line ends, and the number of the one read last."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.number = 0

    def next(self, expected: str) -> bytes:
        line = self._file.readline(_LONGEST_LINE)
        self.number += 1
        if not line:
            raise self.refusal(f"The file ends where {expected} should be.")
        if len(line) == _LONGEST_LINE:
            raise self.refusal("The line is too long.")
        return line.rstrip(b"\r\n")

    def next_filled(self, expected: str) -> bytes:
        while not (line := self.next(expected)).strip():
            pass
        return line

    def rest(self) -> bytes:
        return self._file.read(_LONGEST_LINE)

    def refusal(self, message: str, line: int | None = None) -> InvalidWork:
        return InvalidWork("arpa", f"Line {self.number if line is None else line}: {message}")


def _read_sizes(lines: _Lines) -> list[int]:
    line = lines.next_filled("\\data\\")
    while line.startswith(b"#"):
        line = lines.next_filled("\\data\\")
    if line.startswith(_GZIP):
        raise lines.refusal("The file is compressed; unpack it with gunzip.")
    if line != b"\\data\\":
        raise lines.refusal(f"Expected \\data\\, found {_shown(line)}.")
    sizes: list[int] = []
    while (line := lines.next("the numbers of n-grams")).strip():
        name, _, size = line.partition(b"=")
        if name.split() != [b"ngram", str(len(sizes) + 1).encode()] or not size.strip().isdigit():
            raise lines.refusal(f"Expected “ngram {len(sizes) + 1}=NUMBER”, found {_shown(line)}.")
        sizes.append(int(size))
    if not 1 <= len(sizes) <= LARGEST_ORDER:
        raise lines.refusal(
            f"The order is {len(sizes)}; it must lie between 1 and {LARGEST_ORDER}."
        )
    if not 1 <= sizes[0] <= LARGEST_VOCABULARY:
        raise lines.refusal(f"{sizes[0]} tokens; there must be 1 to {LARGEST_VOCABULARY:,}.")
    return sizes


def _vocabulary_of(lines: _Lines, names: dict[bytes, int]) -> Vocabulary:
    begin, end, unknown = (names.get(name.encode()) for name in (BEGIN, END, UNKNOWN))
    if begin is None or end is None:
        raise lines.refusal(f"The 1-grams end without {BEGIN if begin is None else END}.")
    return Vocabulary(size=len(names), begin=begin, end=end, unknown=unknown)


def _expect_end(lines: _Lines) -> None:
    line = lines.next_filled("\\end\\")
    if line != b"\\end\\":
        raise lines.refusal(f"Expected \\end\\, found {_shown(line)}.")
    if lines.rest().strip():
        raise lines.refusal("There is more behind \\end\\.", lines.number + 1)


class _Section:
    """The n-grams of one length; numbers are checked together, after all of them are read."""

    def __init__(self, lines: _Lines, length: int, size: int, *, last: bool) -> None:
        self._lines = lines
        self._length = length
        self._size = size
        self._last = last
        self._words = array("q")
        self._numbers = array("d")
        title = f"\\{length}-grams:"
        line = lines.next_filled(title)
        if line != title.encode():
            raise lines.refusal(f"Expected {title}, found {_shown(line)}.")
        self._first = lines.number + 1

    def read_names(self) -> dict[bytes, int]:
        """Read single tokens and number them."""
        names: dict[bytes, int] = {}
        for _ in range(self._size):
            name = self._next()[0]
            if name in names:
                raise self._lines.refusal(f"{_shown(name)} is there twice.")
            try:
                name.decode()
            except UnicodeDecodeError:
                raise self._lines.refusal(f"{_shown(name)} is not UTF-8.") from None
            names[name] = len(names)
        return names

    def read(self, names: dict[bytes, int]) -> None:
        """Read n-grams of two tokens or more."""
        numbers = names.__getitem__
        for _ in range(self._size):
            words = self._next()
            try:
                self._words.extend(map(numbers, words))
            except KeyError as error:
                raise self._lines.refusal(
                    f"{_shown(error.args[0])} is not among the 1-grams."
                ) from None

    def _next(self) -> list[bytes]:
        """The words of one line; its numbers are put aside."""
        line = self._lines.next(f"one of {self._size} {self._length}-grams")
        parts = line.split()
        weighted = len(parts) == self._length + 2
        if not weighted and len(parts) != self._length + 1:
            raise self._lines.refusal(
                f"Expected a {self._length}-gram with its probability, found {_shown(line)}."
            )
        try:
            self._numbers.append(float(parts[0]))
            self._numbers.append(float(parts[-1]) if weighted else 0.0)
        except ValueError:
            raise self._lines.refusal(f"Expected numbers in {_shown(line)}.") from None
        return parts[1 : self._length + 1]

    def _natural(self) -> tuple[FloatArray, FloatArray]:
        """Natural logarithms of probabilities and back-off weights."""
        logs, weights = np.array(self._numbers).reshape(-1, 2).T * math.log(10)
        self._refuse(
            ~(np.isfinite(logs) & (logs <= 0)),
            "The logarithm of the probability must be a finite number, 0 or less.",
        )
        self._refuse(~np.isfinite(weights), "The back-off weight must be a finite number.")
        if self._last:
            self._refuse(weights != 0, "The longest n-grams have no back-off weight.")
            weights = weights[:0]
        return logs, weights

    def _refuse(self, bad: NDArray[np.bool_], message: str) -> None:
        if bad.any():
            raise self._lines.refusal(message, self._first + int(bad.argmax()))

    def order_of_tokens(self, vocabulary: Vocabulary) -> Order:
        """What was read, of single tokens."""
        logs, weights = self._natural()
        logs[vocabulary.begin] = -np.inf
        keys = np.arange(vocabulary.size)
        return Order(keys, logs.astype(np.float32), weights.astype(np.float32))

    def order(self, orders: Sequence[Order], vocabulary: Vocabulary) -> Order:
        """What was read, of longer n-grams; `orders` are the shorter ones."""
        logs, weights = self._natural()
        alphabet = alphabet_of(vocabulary)
        words: IntArray = np.array(self._words, np.int64).reshape(-1, self._length)
        self._refuse(
            (words[:, 1:] == vocabulary.begin).any(axis=1), f"{BEGIN} can only come first."
        )
        index = words[:, 0]
        for place, order in enumerate(orders[1:], start=1):
            index = find(order.keys, index * alphabet + words[:, place])
            self._refuse(
                index < 0, f"Its first {place + 1} tokens are not among the {place + 1}-grams."
            )
        keys = index * alphabet + words[:, -1]
        by_key = np.argsort(keys, kind="stable")
        keys = keys[by_key]
        again = np.zeros(keys.size, bool)
        again[by_key[1:]] = keys[1:] == keys[:-1]
        self._refuse(again, "This n-gram is there twice.")
        weights = weights if self._last else weights[by_key]
        return Order(keys, logs[by_key].astype(np.float32), weights.astype(np.float32))


def _shown(text: bytes) -> str:
    shown = text[:60].decode(errors="replace")
    return f"“{shown}”" + ("…" if len(text) > 60 else "")
