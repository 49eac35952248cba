"""Files of runs and versions, below `mlflow-artifacts:/`.

`<experiment>/<run>/artifacts/<path>` is a run's, `versions/<model>/<number>/<path>` a version's.
"""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import FileResponse
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from console.mlflow.base import Asked, MlflowApi, query
from console.mlflow.problems import Unsupported
from console.mlflow.version_shapes import VERSIONS
from console.mlflow.versions import version_files
from models_app.core.blobs import blob_put
from models_app.core.errors import NotFound, PermissionDenied
from models_app.core.parsers import BodyTooLarge
from models_app.core.storage.room import require_room
from models_app.registry.api.run_files import file_response, run_file_response
from models_app.registry.experiment_selectors import logged_get, run_files
from models_app.registry.models import LoggedRun
from models_app.registry.services import run_file_keep, run_file_path


class Listing(Asked):
    """Which folder."""

    path: str = ""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A path, and the run or the files of the version in which it lies."""

    inside: str
    run: LoggedRun | None = None
    version: dict[str, Any] | None = None

    def files(self) -> dict[str, Any]:
        """Everything there, by path: digest and size."""
        if self.run is None:
            return self.version or {}
        rows = run_files(self.run.pk)
        return {row.path: {"sha256": row.sha256, "size": row.size} for row in rows}


class ArtifactListApi(MlflowApi):
    """What lies directly in a folder; a file names itself."""

    def get(self, request: Request) -> Response:
        place = _place(request, query(Listing, request).path)
        folder = place.inside
        files: dict[str, dict[str, Any]] = {}
        for path, entry in place.files().items():
            if path == folder:
                name = folder.rsplit("/", 1)[-1]
                files[name] = {"path": name, "is_dir": False, "file_size": entry["size"]}
            elif not folder or path.startswith(f"{folder}/"):
                rest = path[len(folder) + 1 if folder else 0 :]
                name, is_inside, _rest = rest.partition("/")
                known = {"path": name, "is_dir": bool(is_inside)}
                files[name] = known if is_inside else {**known, "file_size": entry["size"]}
        return Response({"files": [files[name] for name in sorted(files)]})


class ArtifactApi(MlflowApi):
    """One file: left, fetched."""

    def put(self, request: Request, path: str) -> Response:
        actor: Any = request.user
        place = _place(request, path)
        if place.run is None:
            raise PermissionDenied(_("Files of versions never change. Register another version."))
        run = place.run.run
        name = run_file_path(actor=actor, run=run, path=place.inside)
        # Raw: whatever the type of the content says, it is a file.
        stream: Any = request._request
        length = int(request.headers.get("content-length") or 0)
        if length > settings.UPLOAD_LIMIT_MIB << 20:
            said = _("A file may have at most %(n)s MiB.")
            raise BodyTooLarge(said % {"n": settings.UPLOAD_LIMIT_MIB})
        require_room(length)
        sha256, size = blob_put(stream)
        run_file_keep(actor=actor, run=run, path=name, sha256=sha256, size=size)
        return Response({})

    def get(self, request: Request, path: str) -> FileResponse:
        place = _place(request, path)
        if place.run is not None:
            return run_file_response(place.run.run, place.inside)
        entry = place.files().get(place.inside)
        if entry is None:
            raise _missing(path)
        return file_response(place.inside, entry["sha256"])

    def delete(self, request: Request, path: str) -> Response:
        _place(request, path)
        raise Unsupported(_("Files of runs are kept. Log another one under the same path."))


def _place(request: Request, path: str) -> Place:
    """What an address means; NotFound where there is nothing."""
    actor: Any = request.user
    first, _slash, rest = path.strip("/").partition("/")
    second, _slash, rest = rest.partition("/")
    third, _slash, inside = rest.partition("/")
    if first == VERSIONS:
        return Place(inside=inside, version=version_files(actor, second, third))
    logged = logged_get(actor=actor, key=second[:64])
    if third != "artifacts" or first != str(logged.experiment_id):
        raise _missing(path)
    return Place(inside=inside, run=logged)


def _missing(path: str) -> NotFound:
    return NotFound(_("There is no file %(path)s.") % {"path": path[:200]})
