"""Where a model version can be imported from, and what must be true of that before a job exists."""

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from models_app.core.errors import FieldError
from models_app.core.reading import blob_reader
from models_app.registry.bundles.manifest import SUFFIX, BundleRefused
from models_app.registry.bundles.peeking import manifest_peek

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst")
MOST_PATTERNS = 50
_REPO = re.compile(r"[\w.-]{1,96}(?:/[\w.-]{1,96})?", re.ASCII)
_REVISION = re.compile(r"[\w./-]{1,200}", re.ASCII)
_TOKEN = re.compile(r"[\x21-\x7e]{1,500}")


class Source(BaseModel):
    """What all sources share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    leave_out: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(
        default_factory=list,
        max_length=MOST_PATTERNS,
        description="Files that are not imported, by name or pattern, such as *.bin",
    )

    def plain(self) -> dict[str, Any]:
        """What the version keeps of it: never a secret."""
        return self.model_dump(mode="json", exclude={"token"})


class PathSource(Source):
    """A folder or an archive inside the import directory, or a cache of the Hub there."""

    kind: Literal["path"] = "path"
    path: str = Field(
        description="A folder or an archive inside the import directory", max_length=1000
    )
    revision: str = Field("", description="In a cache: a branch, tag or commit", max_length=200)


class HubSource(Source):
    """A revision of a model on another console, or on any server with the Hub's API."""

    kind: Literal["hub"] = "hub"
    url: str = Field(description="Address of the hub, such as https://console/hf", max_length=500)
    repo: str = Field(description="team/model", max_length=200)
    revision: str = Field("main", description="A branch, tag or commit", max_length=200)
    token: SecretStr = Field(SecretStr(""), description="API token for that hub; not kept")


class UploadSource(Source):
    """An archive that was uploaded and lies in the store."""

    kind: Literal["upload"] = "upload"
    files: list[dict[str, Any]]


class PushSource(Source):
    """The files of a draft, which lie in the store."""

    kind: Literal["push"] = "push"
    manifest: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class ImportFolder:
    """A folder, or an archive, to read. `blobs`: it is a snapshot whose links lead there."""

    root: Path
    blobs: Path | None = None
    #: The commit of a snapshot.
    commit: str = ""


def check_source(source: Source) -> bool:
    """FieldError where it cannot work; nothing is asked over the network.

    True for a bundle, which names its own base; a packed one is found to be one later.
    """
    if isinstance(source, PathSource):
        root = import_folder(source.path, source.revision).root
        return _is_bundle(source, "path", root.open("rb") if root.is_file() else None)
    if isinstance(source, HubSource):
        check_hub(source.url)
        if not _REPO.fullmatch(source.repo) or ".." in source.repo:
            raise FieldError("repo", _("Name the model as the hub does: team/model."))
        if not _REVISION.fullmatch(source.revision) or ".." in source.revision:
            raise FieldError("revision", _("Name a branch, a tag or a commit."))
        token = source.token.get_secret_value()
        if token and not _TOKEN.fullmatch(token):
            raise FieldError("token", _("A token is one line without spaces."))
    elif isinstance(source, UploadSource):
        _check_upload(source.files)
        return _is_bundle(source, "files", blob_reader(source.files[0]["sha256"]))
    return False


def _is_bundle(source: PathSource | UploadSource, field: str, archive: BinaryIO | None) -> bool:
    """Whether the archive begins as a bundle. One whose list is unusable is refused: FieldError."""
    with archive or io.BytesIO() as stream:
        try:
            found = manifest_peek(stream) is not None
            if not found and _is_called_bundle(source):
                raise BundleRefused("bundle.manifest", str(_("It is not its first entry.")))
        except BundleRefused as error:
            raise FieldError(field, error.sentence(), code=error.rule) from None
    if found and source.leave_out:
        raise FieldError("leave_out", _("A bundle is imported whole: leave this empty."))
    return found


def _is_called_bundle(source: PathSource | UploadSource) -> bool:
    if isinstance(source, UploadSource):
        return str(source.files[0]["name"]).endswith(SUFFIX)
    return source.path.strip().endswith(SUFFIX)


def _check_upload(files: list[dict[str, Any]]) -> None:
    if len(files) != 1:
        raise FieldError("files", _("Choose one archive that holds all files of the model."))
    name = str(files[0]["name"]).replace("\\", "/").rsplit("/", 1)[-1]
    if not name.isprintable() or not 0 < len(name) <= 200:
        raise FieldError("files", _("A file needs a printable name of at most 200 characters."))
    if not name.lower().endswith(ARCHIVES):
        said = _("%(name)s is no archive that is read. Pack the folder of the model as %(kinds)s.")
        raise FieldError("files", said % {"name": name, "kinds": ", ".join(ARCHIVES)})
    if not files[0]["size"]:
        raise FieldError("files", _("%(name)s is empty.") % {"name": name})


def check_hub(url: str) -> str:
    """The address as the operator's list has it, or FieldError: others are never asked."""
    given = url.strip().rstrip("/")
    parts = urlsplit(given)
    if not settings.IMPORT_HUBS:
        said = _(
            "No hub is allowed yet. Ask the operator to name it in SLIPWAY_IMPORT_HUBS: %(url)s"
        )
        raise FieldError("url", said % {"url": given or "https://huggingface.co"})
    for allowed in settings.IMPORT_HUBS:
        known = urlsplit(allowed)
        if (parts.scheme, parts.netloc.lower(), parts.path) == (
            known.scheme, known.netloc.lower(), known.path,
        ):  # fmt: skip
            return str(allowed)
    said = _("%(url)s is not among the hubs that are allowed here: %(known)s.")
    known_hubs = ", ".join(settings.IMPORT_HUBS)
    raise FieldError("url", said % {"url": given, "known": known_hubs})


def import_folder(path: str, revision: str = "") -> ImportFolder:
    """What `path` names inside the import directory: a folder, an archive; of a cache its snapshot.

    Links on the way are resolved first; whatever then lies outside is refused.
    """
    root = Path(settings.IMPORT_DIR).resolve()
    given = path.strip()
    if not given or "\0" in given:
        raise FieldError("path", _("Name a folder inside the import directory."))
    target = Path(given) if Path(given).is_absolute() else root / given
    try:
        target = target.resolve()
        archive = target.is_file() and target.name.lower().endswith(ARCHIVES)
        missing = not target.is_relative_to(root) or not (archive or target.is_dir())
    except (OSError, RuntimeError):
        missing = True
    if missing:
        said = _("There is no folder or archive %(path)r inside the import directory.")
        raise FieldError("path", said % {"path": given})
    if target.parent.name == "snapshots" and (target.parent.parent / "blobs").is_dir():
        return ImportFolder(target, target.parent.parent / "blobs", target.name)
    if (target / "snapshots").is_dir() and (target / "blobs").is_dir():
        return _snapshot(target, revision.strip() or "main")
    if revision.strip():
        raise FieldError("revision", _("Only a cache of the Hub has revisions; leave this empty."))
    return ImportFolder(target)


def _snapshot(cache: Path, revision: str) -> ImportFolder:
    """The snapshot of a branch, tag or commit in a cache folder (`models--team--name`)."""
    snapshots = sorted(place.name for place in (cache / "snapshots").iterdir() if place.is_dir())
    plain = bool(_REVISION.fullmatch(revision)) and ".." not in revision
    reference = cache / "refs" / revision if plain else cache
    commit = revision
    if reference.is_file() and not reference.is_symlink() and reference.stat().st_size < 200:
        commit = reference.read_text(errors="replace").strip()
    elif revision == "main" and len(snapshots) == 1:
        commit = snapshots[0]
    if commit not in snapshots:
        said = _("The cache has no revision %(revision)r. It has: %(known)s.")
        known = ", ".join(snapshots[:5]) or "–"
        raise FieldError("revision", said % {"revision": revision, "known": known})
    return ImportFolder((cache / "snapshots" / commit).resolve(), cache / "blobs", commit)
