"""Trees of files, `{path: {sha256, size}}`, and changes to them.

Whoever names a stored file by its digest must be known to have it: knowing a digest is not having
the file.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from models_app.core.blobs import Manifest
from models_app.core.errors import FieldError

MOST_FILES = 10_000
_DEEPEST, _LONGEST = 20, 255


@dataclass(frozen=True, kw_only=True)
class Put:
    """A path gets this stored file."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Remove:
    """A file, or a folder with all that is in it, goes."""

    path: str
    folder: bool = False


def tree_changed(
    manifest: Manifest, changes: Sequence[Put | Remove], known: Mapping[str, int]
) -> Manifest:
    """The tree with the changes made. `known`: digests that may be named, with their sizes.

    Raises FieldError naming the path.
    """
    tree = dict(manifest)
    for change in changes:
        path = clean_path(change.path.rstrip("/"))
        if isinstance(change, Put):
            if known.get(change.sha256) != change.size:
                said = _("%(path)s was not uploaded. Send the file first, then push again.")
                raise FieldError(path, said % {"path": path})
            tree[path] = {"sha256": change.sha256, "size": change.size}
        else:
            _remove(tree, path, folder=change.folder)
    if len(tree) > MOST_FILES:
        said = _("A version may have at most %(most)s files.")
        raise FieldError("files", said % {"most": f"{MOST_FILES:,}"})
    return tree


def _remove(tree: Manifest, path: str, *, folder: bool) -> None:
    gone = [name for name in tree if (name.startswith(f"{path}/") if folder else name == path)]
    if not gone:
        said = _("A file with this name doesn't exist: %(path)s.")
        raise FieldError(path, said % {"path": path})
    for name in gone:
        del tree[name]


def clean_path(path: str) -> str:
    """A relative path of plain names, composed (NFC); or FieldError."""
    text = unicodedata.normalize("NFC", path)
    parts = text.split("/")
    bad = any(part in ("", ".", "..") or len(part.encode()) > _LONGEST for part in parts)
    control = any(unicodedata.category(c).startswith("C") or c == "\\" for c in text)
    if bad or control or len(parts) > _DEEPEST:
        said = _("The path %(path)r leaves its tree or cannot be kept. Use plain relative names.")
        raise FieldError("path", said % {"path": path[:200]})
    return text
