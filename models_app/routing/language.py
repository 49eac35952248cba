"""Guesses the language of a text from its script and its commonest words, in well under 1 ms.

Made for choosing a deployment, not for linguistics. Languages with a script of their own are told
apart by it. Of those written in Latin and Cyrillic letters only the listed ones are known, by words
that others do not have; a text that is too short, mixed, or none of these is `unknown`, which rules
can name. No more than the first 2,000 characters are read.
"""

import re
from collections import Counter

UNKNOWN = "unknown"
READ = 2000
#: Fewer known words, or a smaller lead over the second best, say nothing.
_LEAST_WORDS = 2
_LEAD = 1.25

_LATIN = {
    "en": "the of and to is in that it for was on are with as this be at have from or by not what"
    " you which they will would there their can how why does my your please we he she",
    "de": "der die das und ist nicht ein eine zu den mit sich von auf für im dem auch es wie ich"
    " sie wir aber oder wird sind werden einen einer was warum bitte kann über nach bei zum zur",
    "fr": "le la les des est et un une dans que qui pour pas sur avec ce cette il elle nous vous"
    " ne je au aux du sont mais ou où comment pourquoi être plus par",
    "es": "el la los las que y en un una es por con para no se lo del al como pero su más está qué"
    " cómo porque son este esta muy hay",
    "it": "il lo la gli che di e è un una per non con sono si da come ma più questo questa del"
    " della nel alla perché cosa anche",
    "pt": "o a os as que e é um uma para com não por em do da dos das se mais como mas foi você ao"
    " são está isso porque",
    "nl": "de het een en van is dat niet op te in zijn met voor er maar aan ook als bij wat hoe"
    " waarom worden deze naar wij",
    "pl": "i w na nie się że to jest z do jak o co ale po czy dla od przez są być tak który",
    "tr": "ve bir bu için ile de da ne çok daha olarak mi gibi ama değil var nasıl neden olan",
    "sv": "och att det i på är som en av för med till den inte har om ett men var hur kan vi jag",
}
_CYRILLIC = {
    "ru": "и в не на что с как это по но из к у за от так же для бы то все есть где почему",
    "uk": "і в не на що з як це та до але від за так же для є де чому щоб або він вона їх",
}
_WORDS = {
    "latin": {code: frozenset(text.split()) for code, text in _LATIN.items()},
    "cyrillic": {code: frozenset(text.split()) for code, text in _CYRILLIC.items()},
}
#: Languages that their script tells; Han alone is Chinese unless kana stand beside it.
_SCRIPTS = {
    "latin": re.compile("[a-z\u00df-\u024f\u1e00-\u1eff]+"),
    "cyrillic": re.compile("[\u0400-\u052f]+"),
    "el": re.compile("[\u0370-\u03ff]+"),
    "ar": re.compile("[\u0600-\u06ff]+"),
    "he": re.compile("[\u0590-\u05ff]+"),
    "hi": re.compile("[\u0900-\u097f]+"),
    "th": re.compile("[\u0e00-\u0e7f]+"),
    "kana": re.compile("[\u3040-\u30ff]+"),
    "ko": re.compile("[\uac00-\ud7a3]+"),
    "han": re.compile("[\u3400-\u4dbf\u4e00-\u9fff]+"),
}
LANGUAGES = tuple(sorted({*_LATIN, *_CYRILLIC, "zh", "ja", "ko", "el", "ar", "he", "hi", "th"}))
_WORD = re.compile(r"[^\W\d_]+")
#: Of the letters of a text, so many must be of one script.
_SHARE = 0.5


def guess_language(text: str) -> str:
    """A code of LANGUAGES, or `unknown`."""
    text = text[:READ].lower()
    letters = sum(map(str.isalpha, text))
    if not letters:
        return UNKNOWN
    if text.isascii():
        return _by_words(_WORD.findall(text), _WORDS["latin"])
    scripts = Counter({n: sum(map(len, runs.findall(text))) for n, runs in _SCRIPTS.items()})
    # A kana character for every dozen of Han is enough: Chinese has none.
    asian = scripts["han"] + scripts["kana"]
    if asian > _SHARE * letters:
        return "ja" if scripts["kana"] * 12 >= asian else "zh"
    script, count = scripts.most_common(1)[0]
    if count <= _SHARE * letters:
        return UNKNOWN
    if script in _WORDS:
        return _by_words(_WORD.findall(text), _WORDS[script])
    return script if script in LANGUAGES else UNKNOWN


def _by_words(words: list[str], known: dict[str, frozenset[str]]) -> str:
    counts = Counter(words)
    scores = Counter(
        {code: sum(n for word, n in counts.items() if word in own) for code, own in known.items()}
    )
    (best, most), (_second, next_most) = scores.most_common(2)
    if most < _LEAST_WORDS or most < _LEAD * next_most or most == next_most:
        return UNKNOWN
    return best
