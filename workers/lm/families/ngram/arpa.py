"""N-gram models as ARPA text, written as KenLM's `lmplz` writes it."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from workers.lm.errors import InvalidWork
from workers.lm.families.markov import LogProbs
from workers.lm.families.ngram.layout import alphabet_of, begin_of
from workers.lm.families.ngram.model import NgramModel

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
#: What separates words in ARPA; KenLM takes vertical tabs and form feeds as parts of words.
SPACES = "\t\n\r "
_LINES_AT_ONCE = 65_536


def write_arpa(model: NgramModel, names: Sequence[str], path: Path) -> None:
    """Write the model with `names[id]` for every token; markers get the names that ARPA has.

    Probabilities and back-off weights are decimal logarithms, in as few digits as tell them from
    their neighbours among 32-bit numbers. Raises InvalidWork naming `names` where a name is empty,
    has spaces, or comes twice, and `end` where there is no end marker, which readers demand.
    """
    names = _names_of(model, names)
    alphabet = alphabet_of(model.vocabulary)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("\\data\\\n")
        for length, order in enumerate(model.orders, start=1):
            file.write(f"ngram {length}={order.keys.size}\n")
        texts: list[str] = []
        for length, order in enumerate(model.orders, start=1):
            file.write(f"\n\\{length}-grams:\n")
            prefixes, last = np.divmod(order.keys, alphabet)
            if length == 1:
                texts = [names[token] for token in last.tolist()]
            else:
                texts = [
                    f"{texts[prefix]} {names[token]}"
                    for prefix, token in zip(prefixes.tolist(), last.tolist(), strict=True)
                ]
            file.writelines(_lines(order.log_probs, texts, order.back_offs))
        file.write("\n\\end\\\n")


def _names_of(model: NgramModel, names: Sequence[str]) -> list[str]:
    vocabulary = model.vocabulary
    if len(names) != vocabulary.size:
        raise InvalidWork("names", f"{len(names)} names for {vocabulary.size} tokens.")
    if vocabulary.end is None:
        raise InvalidWork("end", "An ARPA file needs an end marker; this model has none.")
    given = list(names) + [BEGIN] * (vocabulary.begin is None)
    given[begin_of(vocabulary)] = BEGIN
    given[vocabulary.end] = END
    if vocabulary.unknown is not None:
        given[vocabulary.unknown] = UNKNOWN
    seen: dict[str, int] = {}
    for token, name in enumerate(given):
        if not name or any(space in name for space in SPACES):
            raise InvalidWork("names", f"Token {token} is called {name!r}: empty or with spaces.")
        if name in seen:
            raise InvalidWork("names", f"Tokens {seen[name]} and {token} are both called {name!r}.")
        seen[name] = token
    return given


def _lines(log_probs: LogProbs, texts: list[str], back_offs: LogProbs) -> Iterator[str]:
    for start in range(0, len(texts), _LINES_AT_ONCE):
        part = slice(start, start + _LINES_AT_ONCE)
        rows = zip(_decimals(log_probs[part]), texts[part], strict=True)
        if back_offs.size:
            weights = _decimals(back_offs[part])
            yield "".join(
                f"{number}\t{text}\t{weight}\n"
                for (number, text), weight in zip(rows, weights, strict=True)
            )
        else:
            yield "".join(f"{number}\t{text}\n" for number, text in rows)


def _decimals(logs: LogProbs) -> list[str]:
    """Decimal logarithms in digits; 0 for the begin marker, which has no probability."""
    decimal = (logs.astype(np.float64) / math.log(10)).astype(np.float32)
    decimal[~np.isfinite(decimal)] = 0
    different, index = np.unique(decimal + 0.0, return_inverse=True)
    texts = [text.removesuffix(".0") for text in different.astype(str).tolist()]
    return [texts[place] for place in index.tolist()]
