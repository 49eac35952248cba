"""Everything that decides what a prepared version of a dataset holds, together with its parent."""

from typing import Literal

from django.utils.translation import gettext as _
from pydantic import Field, model_validator
from pydantic_core import InitErrorDetails, ValidationError

from models_app.configs.specs.base import Spec, refuse

Personal = Literal["email", "iban", "card", "phone", "ip", "secret"]
PERSONAL: tuple[Personal, ...] = ("email", "iban", "card", "phone", "ip", "secret")


class DataSpec(Spec):
    """The steps of a preparation, in the order in which they are taken."""

    unicode: Literal["keep", "nfc", "nfkc"] = Field(
        "nfc",
        title="Unicode form",
        description="nfc makes equal what looks equal; nfkc also replaces ligatures and the like.",
    )
    control_characters: Literal["keep", "remove"] = Field(
        "remove", title="Control characters", description="Also invisible ones of no width."
    )
    whitespace: Literal["keep", "collapse"] = Field(
        "keep",
        title="White space",
        description="collapse: one space, at most one empty line, none at the ends. Not for code.",
    )
    min_characters: int = Field(
        1, ge=0, le=10**9, title="Fewest characters", description="Shorter documents are dropped."
    )
    max_characters: int | None = Field(
        None, ge=1, le=10**9, title="Most characters", description="Empty: as long as they are."
    )
    longer: Literal["drop", "cut"] = Field(
        "drop", title="Longer documents", description="What happens to documents above the most."
    )
    languages: list[str] = Field(
        default_factory=list,
        max_length=50,
        title="Languages",
        description="ISO 639-1 such as en, zh; other documents are dropped. Empty keeps all.",
    )
    exact_duplicates: Literal["drop", "keep"] = Field(
        "drop",
        title="Exact duplicates",
        description="Documents that are equal but for case and white space; the first one stays.",
    )
    near_duplicates: Literal["drop", "group", "keep"] = Field(
        "drop",
        title="Near duplicates",
        description="drop keeps the first of similar documents, group keeps all in one split, keep "
        "does not look.",
    )
    near_threshold: float = Field(
        0.8,
        ge=0.5,
        le=1.0,
        title="Similar from",
        description="Share of common windows (Jaccard) from which two documents are similar.",
    )
    near_width: Literal[8, 16, 32] = Field(
        16, title="Window", description="Characters of a window; 8 suits Chinese and short texts."
    )
    personal_data: Literal["keep", "redact", "drop"] = Field(
        "keep",
        title="Personal data and secrets",
        description="redact puts the kind in brackets in its place, drop drops the document.",
    )
    personal_kinds: list[Personal] = Field(
        default_factory=lambda: list(PERSONAL),
        min_length=1,
        title="Kinds of personal data",
        description="email, iban, card, phone, ip, secret",
    )
    split: Literal["anew", "keep"] = Field(
        "anew",
        title="Split",
        description="anew: by text and seed, similar documents together; keep: as in the parent.",
    )
    validation_fraction: float = Field(
        0.1,
        ge=0.0,
        le=0.9,
        title="Validation share",
        description="How much is held out, about; 0 holds out nothing.",
    )
    seed: int = Field(1337, ge=0, le=2**63 - 1, title="Seed", description="Of the split.")
    shard_mib: int = Field(
        64, ge=1, le=1024, title="Size of a shard (MiB)", description="Files are cut at this size."
    )
    tokenizer: Literal["none", "bpe", "char", "version"] = Field(
        "none",
        title="Tokens",
        description="Also store tokens: of a tokenizer learned from the training split, or of a "
        "model version.",
    )
    vocab_size: int = Field(
        4096, ge=2, le=262_144, title="Vocabulary", description="Of a tokenizer that is learned."
    )
    tokenizer_version: int | None = Field(
        None, ge=1, le=2**63 - 1, title="Model version", description="Whose tokenizer is taken."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "DataSpec":
        problems = list(_cross_checks(self))
        if problems:
            details = [
                InitErrorDetails(type=refuse(text), loc=(name,), input=getattr(self, name))
                for name, text in problems
            ]
            raise ValidationError.from_exception_data("DataSpec", details)
        return self


def _cross_checks(spec: DataSpec) -> list[tuple[str, str]]:
    found = []
    if spec.max_characters is not None and spec.max_characters < spec.min_characters:
        most = f"{spec.min_characters:,}"
        found.append(("max_characters", _("Use at least the fewest, %(n)s.") % {"n": most}))
    if (spec.tokenizer == "version") != (spec.tokenizer_version is not None):
        said = _("Name a model version exactly if its tokenizer is to be taken.")
        found.append(("tokenizer_version", said))
    bad = [name for name in spec.languages if not (len(name) == 2 and name.isascii())]
    if bad or any(name != name.lower() for name in spec.languages):
        found.append(("languages", _("Use codes of two small letters, such as en.")))
    return found
