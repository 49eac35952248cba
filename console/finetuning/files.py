"""`/v1/files`: conversations for fine-tuning, kept as they came and imported as a dataset."""

from typing import Any

from django.http import FileResponse, HttpRequest, HttpResponseBase

from console.finetuning.entry import answered, team_of
from console.finetuning.errors import missing, wrong
from console.finetuning.pages import page
from console.finetuning.shapes import file_shape
from models_app.core.errors import NotFound
from models_app.core.permission import require
from models_app.core.reading import blob_reader
from models_app.datasets.uploads import StoredFile, stream_uploads
from models_app.finetuning.models import TuningFile
from models_app.finetuning.selectors import file_get, file_list
from models_app.finetuning.services import file_add, file_delete

#: OpenAI's own bounds of a page of files.
MOST, USUAL = 10_000, 10_000


def list_files(request: HttpRequest) -> HttpResponseBase:
    """Newest first, unless `order` is `asc`."""
    actor: Any = request.user
    require(actor, "datasets.view_dataset")
    order = request.GET.get("order", "desc")
    if order not in ("asc", "desc"):
        raise wrong("order", "Use asc or desc.")
    rows = file_list(actor=actor, purpose=request.GET.get("purpose", ""))
    return answered(page(request, rows, file_shape, most=MOST, usual=USUAL, order=order))


def add_file(request: HttpRequest) -> HttpResponseBase:
    """`file` and `purpose` as multipart/form-data."""
    actor: Any = request.user
    team = team_of(request, "datasets.add_dataset")
    stream_uploads(request)
    given = request.FILES.get("file")
    if not isinstance(given, StoredFile):
        raise wrong("file", "Send the file as multipart/form-data, in the part 'file'.")
    purpose = request.POST.get("purpose", "")
    return answered(
        file_shape(file_add(actor=actor, team=team, entry=given.entry(), purpose=purpose))
    )


def one_file(request: HttpRequest, key: str) -> HttpResponseBase:
    """Name, size, and how far its import has come."""
    return answered(file_shape(file_named(request, key)))


def remove_file(request: HttpRequest, key: str) -> HttpResponseBase:
    """It is found no more; what was trained on it keeps its data."""
    actor: Any = request.user
    file_delete(actor=actor, file=file_named(request, key))
    return answered({"id": key, "object": "file", "deleted": True})


def file_content(request: HttpRequest, key: str) -> HttpResponseBase:
    """The bytes as they came."""
    row = file_named(request, key)
    return FileResponse(
        blob_reader(row.sha256), content_type="application/octet-stream", filename=row.name,
        as_attachment=True,
    )  # fmt: skip


def file_named(request: HttpRequest, key: str) -> TuningFile:
    """One of the caller's files, or NotFound in OpenAI's words."""
    actor: Any = request.user
    require(actor, "datasets.view_dataset")
    try:
        return file_get(actor=actor, key=key)
    except NotFound:
        raise missing("File object", key) from None
