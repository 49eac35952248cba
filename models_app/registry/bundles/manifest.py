"""What stands in a bundle's first file, `slipway-bundle.json`, and what must be true of it.

It comes out of foreign hands: whatever is wrong with it has the code of a rule of the scan.
"""

import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from django.utils.translation import gettext as _
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from models_app.core.digests import tree_digest
from models_app.core.errors import FieldError
from models_app.core.names import clean_slug
from models_app.registry.card_words import words_checked
from models_app.registry.scan_rules import RULES
from models_app.registry.states import Family

#: The first entry of the tar file, and where files of the version and of its base lie in it.
NAME, FILES, BASE = "slipway-bundle.json", "files/", "base/"
FORMAT, SCHEMA = "slipway-bundle", 1
#: End of the name of a bundle.
SUFFIX = ".slipway.tar"
MOST_BYTES = 8 << 20
MOST_FIGURES = 1000
ADAPTER: str = Family.ADAPTER.value
MOST_FILES = 10_000
#: Consoles that a version has gone through.
MOST_HOPS = 100

Json = dict[str, Any]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _is_slug(name: str) -> str:
    try:
        return clean_slug(name)
    except FieldError as error:
        raise ValueError(error.errors[error.field][0]) from None


Name = Annotated[str, AfterValidator(_is_slug)]


class BundleRefused(Exception):
    """It cannot be imported: which rule it breaks, in which file, and what was found."""

    def __init__(self, rule: str, what: str, file: str = NAME) -> None:
        super().__init__(what)
        self.rule, self.what, self.file = rule, what, file

    def sentence(self) -> str:
        """For whoever sent it, with the remedy, in the language of the request."""
        rule = RULES[self.rule]
        return f"{self.file}: {_(rule.title)}. {self.what} {_(rule.remedy)}"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class File(_Part):
    """One file of a tree."""

    path: str = Field(min_length=1, max_length=1000)
    size: int = Field(ge=0, lt=1 << 53)
    sha256: Digest


class Tree(_Part):
    """The files of a version."""

    digest: Digest
    family: Literal["transformer", "adapter", "ngram", "hmm"]
    files: list[File] = Field(min_length=1, max_length=MOST_FILES)

    def manifest(self) -> dict[str, Json]:
        """As the store names trees."""
        return {file.path: {"sha256": file.sha256, "size": file.size} for file in self.files}


class Hop(_Part):
    """A console that had the version: how it was called there, and what was measured there."""

    model: Name
    number: int = Field(ge=1, lt=1 << 31)
    #: Empty for the console that made it: its figures belong to the record.
    evaluations: list[Json] = Field(max_length=MOST_FIGURES)


class Origin(Hop):
    """The console that wrote the bundle, and those through which the version came to it."""

    earlier: list[Hop] = Field(max_length=MOST_HOPS)


def _is_card(words: Json) -> Json:
    try:
        return words_checked(**words)
    except FieldError as error:
        raise ValueError(error.message) from None
    except (TypeError, AttributeError):
        raise ValueError("A card has body, license, languages and tags.") from None


class Content(_Part):
    """A version: its files, and what the console that made it says of it."""

    origin: Origin
    version: Tree
    record: Json
    evaluations: list[Json] = Field(max_length=MOST_FIGURES)
    card: Annotated[Json, AfterValidator(_is_card)] | None


class Base(Content):
    """The base of an adapter. `included`: its files are in the bundle, below `base/`."""

    included: bool


class Manifest(Content):
    """The whole first file."""

    format: Literal["slipway-bundle"]
    schema_version: Literal[1]
    base: Base | None

    def listed(self) -> dict[str, File]:
        """Every file that the bundle must hold, by its name in the tar file."""
        found = {FILES + file.path: file for file in self.version.files}
        if self.base is not None and self.base.included:
            found |= {BASE + file.path: file for file in self.base.version.files}
        return found


def manifest_read(data: bytes) -> Manifest:
    """The manifest that these bytes are. Raises BundleRefused."""
    if len(data) > MOST_BYTES:
        raise _unreadable(f"It has more than {MOST_BYTES:,} bytes.")
    try:
        value = json.loads(data.decode(), object_pairs_hook=_alone)
        _check_plain(value)
    except BundleRefused:
        raise
    except (ValueError, RecursionError) as error:
        raise _unreadable(f"It is not JSON ({str(error)[:120]}).") from None
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise _unreadable(f"Its format is not {FORMAT!r}.")
    schema = value.get("schema_version")
    if type(schema) is int and schema > SCHEMA:
        said = f"Its schema version is {schema}; this console knows up to {SCHEMA}."
        raise BundleRefused("bundle.schema", said)
    try:
        manifest = Manifest.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _unreadable(f"{where}: {first['msg'][:200]}.") from None
    _check_trees(manifest)
    _check_base(manifest)
    return manifest


def _unreadable(what: str) -> BundleRefused:
    return BundleRefused("bundle.manifest", what)


def _alone(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        name = Counter(key for key, _value in pairs).most_common(1)[0][0]
        raise _unreadable(f"It says {name[:60]!r} twice.")
    return found


def _check_plain(value: Any) -> None:
    """ValueError for what PostgreSQL or canonical JSON cannot keep."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            waiting += [*found.keys(), *found.values()]
        elif isinstance(found, list):
            waiting += found
        elif isinstance(found, float) and not math.isfinite(found):
            raise ValueError("a number that is not finite")
        elif isinstance(found, str):
            found.encode()  # half of a surrogate pair
            if "\0" in found:
                raise ValueError("a zero byte in a text")


def _check_trees(manifest: Manifest) -> None:
    trees = [manifest.version] + ([manifest.base.version] if manifest.base else [])
    for tree in trees:
        name = _twice([file.path for file in tree.files])
        if name:
            raise BundleRefused("bundle.twice", f"{name[:200]} is listed twice.")
        found = tree_digest(tree.manifest())
        if found != tree.digest:
            said = f"The files that are listed have the tree digest {found[:16]}…, not"
            raise BundleRefused("bundle.digest", f"{said} {tree.digest[:16]}….")


def _twice(names: Sequence[str]) -> str:
    name, times = Counter(names).most_common(1)[0]
    return name if times > 1 else ""


def _check_base(manifest: Manifest) -> None:
    """An adapter has a base, which is whole by itself; anything else has none."""
    version, base = manifest.version, manifest.base
    if version.family != ADAPTER:
        if base is not None:
            raise _unreadable("It is a whole model and names a base.")
        return
    if base is None:
        raise BundleRefused("bundle.base", "It is an adapter and names no base.")
    if base.version.digest == version.digest:
        raise BundleRefused("bundle.base", "The adapter is named as its own base.")
    if base.version.family == ADAPTER:
        raise BundleRefused("bundle.base", "Its base is an adapter, too.")
