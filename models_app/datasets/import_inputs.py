"""Files of the import directory as inputs of a job: what they are when it is submitted, and later.

Small ones by their digest. Reading gigabytes would hold up the one who submits, so larger ones
count as unchanged while size and time of change are the same; their digest is taken when they are
read.
"""

import hashlib
from pathlib import Path

from models_app.core.blobs import CHUNK
from models_app.core.digests import digest_json
from models_app.core.errors import FieldError
from models_app.datasets.importing import import_files
from models_app.jobs.kind import Input

#: Bytes of all files together that are read when a job is submitted.
MOST_READ = 64 << 20
#: More files than that are one input, named by their folder.
MOST_NAMED = 200


def path_inputs(path: str) -> list[Input]:
    """Each file under `path`, or the folder as a whole where it holds many. Gone: none."""
    try:
        files = import_files(path)
    except FieldError:
        return []
    read = sum(file.stat().st_size for _name, file in files) <= MOST_READ
    marks = {name: _digest(file) if read else _mark(file) for name, file in files}
    if len(marks) > MOST_NAMED:
        return [Input(role="folder", name=path.strip(), digest=digest_json(marks))]
    return [Input(role="file", name=name, digest=mark) for name, mark in marks.items()]


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _mark(file: Path) -> str:
    known = file.stat()
    return f"{known.st_size} bytes, changed at {known.st_mtime_ns}"
