"""What a file is by its bytes, whatever its name says."""

from pathlib import Path
from typing import BinaryIO

from workers.scanning.pickles import pickle_in
from workers.scanning.report import Report

HEAD = 512
LFS = b"version https://git-lfs.github.com/spec/v1"
#: First bytes -> (rule, what it is). `files.nested` are archives.
MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "files.nested", "a zip archive"),
    (b"PK\x05\x06", "files.nested", "an empty zip archive"),
    (b"\x1f\x8b", "files.nested", "gzip data"),
    (b"\x28\xb5\x2f\xfd", "files.nested", "zstd data"),
    (b"BZh", "files.nested", "bzip2 data"),
    (b"\xfd7zXZ\x00", "files.nested", "xz data"),
    (b"7z\xbc\xaf\x27\x1c", "files.nested", "a 7z archive"),
    (b"Rar!\x1a\x07", "files.nested", "a RAR archive"),
    (b"\x04\x22\x4d\x18", "files.nested", "lz4 data"),
    (b"\x89HDF\r\n\x1a\n", "files.unknown", "an HDF5 file (Keras layers can hold code)"),
    (b"GGUF", "files.unknown", "a GGUF file"),
    (b"\x93NUMPY", "files.unknown", "a NumPy array"),
    (b"\x7fELF", "code.program", "a program (ELF)"),
    (b"MZ", "code.program", "a program (Windows)"),
    (b"\xca\xfe\xba\xbe", "code.program", "a program (Java or macOS)"),
    (b"\xcf\xfa\xed\xfe", "code.program", "a program (macOS)"),
    (b"#!", "code.program", "a script"),
    (b"\x89PNG", "files.unknown", "a picture"),
    (b"\xff\xd8\xff", "files.unknown", "a picture"),
    (b"%PDF", "files.unknown", "a PDF"),
    (b"SQLite format 3", "files.unknown", "a database"),
)


def sniff(file: BinaryIO) -> tuple[str, str] | None:
    """(rule, what it is) of a file that is none of those that are taken; None otherwise."""
    head = file.read(HEAD)
    file.seek(0)
    for magic, rule, what in MAGIC:
        if head.startswith(magic) and not (magic == b"MZ" and _is_text(head)):
            return rule, what
    if head[257:262] == b"ustar":
        return "files.nested", "a tar archive"
    if head.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        return "files.unknown", "a web page in place of the file"
    return None


def _is_text(head: bytes) -> bool:
    return b"\0" not in head


def is_pointer(head: bytes) -> bool:
    """Whether this is what Git LFS leaves where a large file should be."""
    return head.startswith(LFS)


def refuse(report: Report, name: str, path: Path | None, *, listed: str = "") -> None:
    """Say why a file is not taken, by its bytes where we have them: what it is, what it runs."""
    if path is not None:
        with path.open("rb") as file:
            found = pickle_in(file)
            if found:
                report.add("code.pickle", name, str(found))
                return
            file.seek(0)
            known = sniff(file)
        if known:
            rule, what = known
            report.add(rule, name, f"It is {what}.")
            return
    rule = "code.program" if listed == "program" else "files.unknown"
    said = {
        "program": "Its name is that of a program.",
        "": "Taken are .safetensors, .json, .txt, .md, .jinja, licences and tokenizer.model.",
    }
    report.add(rule, name, said[listed])
