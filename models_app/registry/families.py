"""What each family of models is trained with, and what can be done with one."""

from models_app.registry.states import Family

#: Family -> kind of configuration that a training of it takes.
SPEC_KINDS: dict[str, str] = {
    Family.TRANSFORMER: "training",
    Family.ADAPTER: "training",
    Family.NGRAM: "ngram",
    Family.HMM: "hmm",
}
#: Families that count and estimate instead of descending a gradient: no base, no steps.
MARKOV: tuple[str, ...] = (Family.NGRAM, Family.HMM)


def spec_kind(family: str) -> str:
    """The kind of configuration of a training of this family."""
    return SPEC_KINDS[family]


def is_markov(family: str) -> bool:
    """Whether it is an n-gram or a hidden Markov model."""
    return family in MARKOV


def trained_format(family: str) -> str:
    """What the files of a training of this family are; see `formats.py`."""
    return family if is_markov(family) else "safetensors"
