"""Text that every machine has: the Python standard library's own sources and its help topics."""

import gzip
import io
import json
import sysconfig
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

#: Packages that are tests, tools or generated tables rather than readable code.
SKIP = {
    "test", "tests", "idlelib", "lib2to3", "site-packages", "encodings", "turtledemo",
    "__pycache__", "ensurepip", "pydoc_data", "msilib",
}  # fmt: skip
MOST_BYTES = 6_000_000
LONGEST_FILE = 200_000


def documents() -> Iterator[dict[str, str]]:
    """`{"text", "source"}` in a fixed order: help topics first, then modules by path."""
    topics: dict[str, str] = import_module("pydoc_data.topics").topics
    for name in sorted(topics):
        yield {"source": f"topics/{name}", "text": topics[name]}
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if any(part in SKIP or part.startswith("config-") for part in relative.parts):
            continue
        if path.stat().st_size > LONGEST_FILE:
            continue
        try:
            yield {"source": relative.as_posix(), "text": path.read_text("utf-8")}
        except (UnicodeDecodeError, OSError):
            continue


def corpus() -> tuple[bytes, int, int]:
    """The corpus as gzipped JSONL: (bytes of the file, documents, bytes of text). Deterministic."""
    raw, count, size = io.BytesIO(), 0, 0
    # Without a time in the header the same library always gives the same file.
    with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6, mtime=0) as out:
        for document in documents():
            size += len(document["text"].encode())
            if size > MOST_BYTES:
                break
            out.write(json.dumps(document, ensure_ascii=False, sort_keys=True).encode() + b"\n")
            count += 1
    return raw.getvalue(), count, size
