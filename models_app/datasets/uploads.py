"""Streams uploaded files into the blob store while they arrive; nothing is kept in memory."""

from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from models_app.core.blobs import BlobWriter
from models_app.core.errors import SlipwayError


class UploadTooLarge(SlipwayError):
    """The upload is larger than this installation allows."""

    status = 413
    code = "too_large"
    title = gettext_lazy("The upload is too large")


class StoredFile(UploadedFile):  # type: ignore[type-arg]
    """An uploaded file that lies in the blob store already."""

    def __init__(self, name: str, sha256: str, size: int) -> None:
        super().__init__(file=None, name=name, size=size)
        self.sha256 = sha256

    def close(self) -> None:
        """There is nothing open."""

    def entry(self) -> dict[str, Any]:
        """As `version_import_files` takes it."""
        return {"name": self.name, "sha256": self.sha256, "size": self.size}


class BlobUploadHandler(FileUploadHandler):
    """Django's hook for uploads: chunks go to a BlobWriter, up to the limit of all files."""

    chunk_size = 1 << 20

    def __init__(self, request: HttpRequest | None = None) -> None:
        super().__init__(request)
        self._left = settings.UPLOAD_LIMIT_MIB << 20
        self._writer: BlobWriter | None = None

    def handle_raw_input(
        self, input_data: Any, META: Any, content_length: int, boundary: Any, encoding: Any = None
    ) -> None:
        if content_length > self._left + (1 << 20):
            raise _too_large()

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self._writer = BlobWriter()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        assert self._writer is not None
        self._left -= len(raw_data)
        if self._left < 0:
            self._writer.discard()
            raise _too_large()
        self._writer.write(raw_data)

    def file_complete(self, file_size: int) -> StoredFile:
        assert self._writer is not None
        sha256, size = self._writer.publish()
        self._writer = None
        return StoredFile(self.file_name or "", sha256, size)

    def upload_interrupted(self) -> None:
        if self._writer is not None:
            self._writer.discard()


def stream_uploads(request: HttpRequest) -> None:
    """Let this request's files go to the blob store. Call it before the body is looked at."""
    request.upload_handlers = [BlobUploadHandler(request)]


def _too_large() -> UploadTooLarge:
    said = _(
        "At most %(n)s MiB can be uploaded at once. Pack the files with gzip or zstd, or put them "
        "into the server's import directory."
    )
    return UploadTooLarge(said % {"n": f"{settings.UPLOAD_LIMIT_MIB:,}"})
