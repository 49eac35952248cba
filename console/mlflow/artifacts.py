"""Files of runs under `mlflow-artifacts:/<experiment>/<run>/artifacts/<path>`."""

from typing import Any

from django.conf import settings
from django.http import FileResponse
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from console.mlflow.base import Asked, MlflowApi, query
from console.mlflow.problems import Unsupported
from models_app.core.blobs import blob_put
from models_app.core.errors import NotFound
from models_app.core.parsers import BodyTooLarge
from models_app.core.storage.room import require_room
from models_app.registry.api.run_files import run_file_response
from models_app.registry.experiment_selectors import logged_get, run_files
from models_app.registry.models import LoggedRun
from models_app.registry.services import run_file_keep, run_file_path


class Listing(Asked):
    """Which folder."""

    path: str = ""


class ArtifactListApi(MlflowApi):
    """What lies directly in a folder of a run; a file names itself."""

    def get(self, request: Request) -> Response:
        logged, folder = _found(request, query(Listing, request).path)
        files: dict[str, dict[str, Any]] = {}
        for file in run_files(logged.pk):
            if file.path == folder:
                name = folder.rsplit("/", 1)[-1]
                files[name] = {"path": name, "is_dir": False, "file_size": file.size}
            elif not folder or file.path.startswith(f"{folder}/"):
                rest = file.path[len(folder) + 1 if folder else 0 :]
                name, is_inside, _rest = rest.partition("/")
                known = {"path": name, "is_dir": bool(is_inside)}
                files[name] = known if is_inside else {**known, "file_size": file.size}
        return Response({"files": [files[name] for name in sorted(files)]})


class ArtifactApi(MlflowApi):
    """One file: left, fetched."""

    def put(self, request: Request, path: str) -> Response:
        actor: Any = request.user
        logged, name = _found(request, path)
        name = run_file_path(actor=actor, run=logged.run, path=name)
        # Raw: whatever the type of the content says, it is a file.
        stream: Any = request._request
        length = int(request.headers.get("content-length") or 0)
        if length > settings.UPLOAD_LIMIT_MIB << 20:
            raise BodyTooLarge(
                _("A file may have at most %(n)s MiB.") % {"n": settings.UPLOAD_LIMIT_MIB}
            )
        require_room(length)
        sha256, size = blob_put(stream)
        run_file_keep(actor=actor, run=logged.run, path=name, sha256=sha256, size=size)
        return Response({})

    def get(self, request: Request, path: str) -> FileResponse:
        logged, name = _found(request, path)
        return run_file_response(logged.run, name)

    def delete(self, request: Request, path: str) -> Response:
        _found(request, path)
        raise Unsupported(_("Files of runs are kept. Log another one under the same path."))


def _found(request: Request, path: str) -> tuple[LoggedRun, str]:
    """The run of an address, and the path in it; NotFound where there is none."""
    actor: Any = request.user
    experiment, _slash, rest = path.strip("/").partition("/")
    key, _slash, rest = rest.partition("/")
    word, _slash, inside = rest.partition("/")
    logged = logged_get(actor=actor, key=key[:64])
    if word != "artifacts" or experiment != str(logged.experiment_id):
        raise NotFound(_("There are no files under %(path)s.") % {"path": path[:200]})
    return logged, inside
