"""What a person may choose when files become a dataset version, and which files may be taken."""

import re
from pathlib import Path
from typing import Any, Literal

from django.conf import settings
from django.utils.translation import gettext as _
from pydantic import BaseModel, ConfigDict, Field

from models_app.core.errors import FieldError

FORMATS = (".txt", ".jsonl", ".csv", ".parquet")
COMPRESSIONS = (".gz", ".zst")
MOST_FILES = 10_000
#: In a path: its documents are held out, where names decide.
HELD_OUT = re.compile(r"(?<![a-z])(?:validation|valid|val|dev|test)(?![a-z])")


class ImportOptions(BaseModel):
    """How files become documents, and which of these are held out for validation."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    shape: Literal["documents", "multiple_choice", "exact_match"] = Field(
        "documents",
        title="What a row is",
        description="documents to train on and to score; or questions with known answers for"
        " evaluations, from JSONL: multiple_choice with prompt, choices and the number of the right"
        " one as answer, exact_match with prompt and answer. Questions are all held out.",
    )
    text_field: str = Field(
        "text",
        min_length=1,
        max_length=120,
        title="Text field",
        description="The field or column that holds the text, in JSONL, CSV and Parquet.",
    )
    document: Literal["auto", "file", "paragraph", "line"] = Field(
        "auto",
        title="Document",
        description="What one document is in text files. auto: a file each if there are at least "
        "20 of them, else a paragraph. In tables every row is one.",
    )
    split: Literal["random", "contiguous", "named"] = Field(
        "random",
        title="Split",
        description="Hold out documents at random, the end of the text, or the files that are "
        "named validation, valid, val, dev or test.",
    )
    validation_fraction: float = Field(
        0.1,
        ge=0.0,
        le=0.9,
        title="Validation share",
        description="How much is held out; 0 holds out nothing.",
    )
    seed: int = Field(
        1337,
        ge=0,
        le=2**63 - 1,
        title="Seed",
        description="The same files, options and seed give the same version.",
    )
    max_documents: int | None = Field(
        None,
        ge=1,
        le=10**12,
        title="Most documents",
        description="Stop after this many; empty takes all.",
    )
    invalid_rows: Literal["refuse", "skip"] = Field(
        "refuse",
        title="Rows that do not fit",
        description="refuse ends the import at the first one; skip passes over them, and the "
        "quality report counts and names them. For JSONL and CSV.",
    )


def check_file_name(name: str, field: str = "files") -> str:
    """The plain name of a file that can be imported, or FieldError."""
    plain = name.replace("\\", "/").rsplit("/", 1)[-1].strip()
    suffixes = [part.lower() for part in Path(plain).suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    if not plain or len(plain) > 200 or not plain.isprintable():
        raise FieldError(field, _("A file needs a printable name of at most 200 characters."))
    if not suffixes or suffixes[-1] not in FORMATS:
        said = _(
            "%(name)s: this kind of file is not read. Use %(formats)s, each also with "
            "%(gzip)s or %(zstd)s."
        )
        names = {"name": plain, "formats": ", ".join(FORMATS)}
        raise FieldError(field, said % {**names, "gzip": COMPRESSIONS[0], "zstd": COMPRESSIONS[1]})
    return plain


def import_files(path: str) -> list[tuple[str, Path]]:
    """Files under the import directory that `path` names: (name, place), in order.

    Links are resolved first; whatever then lies outside the directory is refused.
    """
    root = Path(settings.IMPORT_DIR).resolve()
    if not path.strip() or "\0" in path:
        raise FieldError("path", _("Name a file or a directory inside the import directory."))
    target = (root / path.strip().lstrip("/")).resolve()
    if Path(path.strip()).is_absolute() and Path(path.strip()).resolve().is_relative_to(root):
        target = Path(path.strip()).resolve()
    if not target.is_relative_to(root) or not target.exists():
        said = _("There is no %(path)r inside the import directory.") % {"path": path.strip()}
        raise FieldError("path", said)
    if target.is_file():
        return [(check_file_name(target.name, "path"), target)]
    found = [
        (file.relative_to(target).as_posix(), file)
        for file in sorted(target.rglob("*"))
        if _importable(file, root)
    ]
    if not found:
        said = _("%(path)r holds no %(formats)s file.")
        raise FieldError("path", said % {"path": path.strip(), "formats": ", ".join(FORMATS)})
    if len(found) > MOST_FILES:
        said = _("At most %(most)s files at once; there are %(n)s.")
        raise FieldError("path", said % {"most": f"{MOST_FILES:,}", "n": f"{len(found):,}"})
    return found


def _importable(file: Path, root: Path) -> bool:
    return file.is_file() and file.resolve().is_relative_to(root) and is_importable(file.name)


def is_importable(name: str) -> bool:
    """Whether files of this name can be read."""
    try:
        check_file_name(name)
    except FieldError:
        return False
    return True


def is_held_out(path: str) -> bool:
    """Whether the name says that its documents are for validation."""
    return HELD_OUT.search(path.lower()) is not None


def parameters_of(source: dict[str, Any]) -> dict[str, Any]:
    """The options that a stored version was imported with."""
    return dict(source.get("parameters", {}))
