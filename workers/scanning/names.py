"""Which files are taken, by their names: a closed list, plain relative paths, no two alike."""

import re
import unicodedata
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from workers.scanning.limits import Limits
from workers.scanning.report import Report

#: Suffix -> how the file is looked at.
SUFFIXES = {
    # Only by itself: it becomes a model of our own before the scan.
    ".arpa": "arpa",
    ".safetensors": "weights",
    ".json": "json",
    ".jinja": "template",
    ".txt": "text",
    ".md": "text",
    ".rst": "text",
}
#: Whole names, in small letters, of files whose suffix says nothing.
NAMES = {
    "license": "text",
    "licence": "text",
    "notice": "text",
    "readme": "text",
    "copying": "text",
    "tokenizer.model": "pieces",
    "spiece.model": "pieces",
    "sentencepiece.bpe.model": "pieces",
}
#: What tools leave behind beside a model, and nobody misses.
LITTER = (".gitattributes", ".gitignore", ".ds_store", "thumbs.db")
LITTER_FOLDERS = (".git", ".cache", ".huggingface", "__macosx")
PROGRAMS = (
    ".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".exe", ".sh", ".bat", ".ps1", ".js", ".jar",
    ".ipynb", ".pth", ".whl", ".cu", ".cpp", ".c", ".rb", ".pl", ".wasm",
)  # fmt: skip
LONGEST = 240
LONGEST_PART = 120
_DRIVE = re.compile(r"[A-Za-z]:")
_UNKEEPABLE = ("C", "Zl", "Zp")


@dataclass
class Gate:
    """Decides for each name whether it may come in. Keeps count, and remembers for collisions."""

    report: Report
    limits: Limits
    leave_out: tuple[str, ...] = ()
    admitted: dict[str, str] = field(default_factory=dict)
    seen: int = 0
    full: bool = False

    def admit(self, name: str, kind: str = "file") -> bool:
        """Whether to take the file `name`, which its source calls a `kind` of file.

        Whatever is refused is in the report.
        """
        self.seen += 1
        if self.seen > self.limits.files:
            if not self.full:
                self.full = True
                said = f"There are more than {self.limits.files:,} files."
                self.report.add("files.many", "", said)
            return False
        problem = path_problem(name)
        if problem:
            rule, said = problem
            self.report.add(rule, name, said)
            return False
        if self._left_out(name):
            return False
        if kind != "file":
            rule = "files.link" if "link" in kind else "files.special"
            self.report.add(rule, name, f"It is a {kind}.")
            return False
        if len(PurePosixPath(name).parts) - 1 > self.limits.depth:
            said = f"It lies {len(PurePosixPath(name).parts) - 1} folders deep."
            self.report.add("files.deep", name, f"{said} At most {self.limits.depth} are taken.")
            return False
        return self._alone(name)

    def _left_out(self, name: str) -> bool:
        parts = [part.lower() for part in PurePosixPath(name).parts]
        if parts[-1] in LITTER or any(part in LITTER_FOLDERS for part in parts[:-1]):
            return True
        for pattern in self.leave_out:
            if fnmatchcase(name, pattern) or fnmatchcase(parts[-1], pattern.lower()):
                self.report.add("files.left_out", name, f"It matches {pattern}.")
                return True
        return False

    def _alone(self, name: str) -> bool:
        key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
        other = self.admitted.get(key)
        if other is not None:
            how = "twice" if other == name else f"beside {other!r}, which some disks take for it"
            self.report.add("files.twice", name, f"It is there {how}.")
            return False
        self.admitted[key] = name
        if unicodedata.normalize("NFC", name) != name:
            self.report.add("files.form", name, "Its accents are signs of their own (NFD).")
        return True


def path_problem(name: str) -> tuple[str, str] | None:
    """(rule, sentence) for a name that cannot be kept as it is; None for a plain one."""
    if not name or len(name.encode("utf-8", "surrogatepass")) > LONGEST:
        return "files.path", f"A name has 1 to {LONGEST} bytes."
    if any(0xD800 <= ord(c) <= 0xDFFF for c in name):
        return "files.path", "Its name is not UTF-8."
    if any(unicodedata.category(c).startswith(_UNKEEPABLE) for c in name):
        return "files.path", "Its name holds control characters."
    if "\\" in name or _DRIVE.match(name):
        return "files.path", "Its name is a Windows path."
    if name.startswith("/"):
        return "files.path", "Its name is an absolute path."
    parts = name.split("/")
    if ".." in parts:
        return "files.path", "Its name leads out of its folder (..)."
    if any(part in ("", ".") or len(part.encode()) > LONGEST_PART for part in parts):
        return "files.path", f"Parts of a name have 1 to {LONGEST_PART} bytes and are not a dot."
    return None


def sort_of(name: str) -> str | None:
    """How a file of this name is looked at; None for a kind that is not taken."""
    last = PurePosixPath(name).name.lower()
    if last in NAMES:
        return NAMES[last]
    if last.startswith(("license", "licence", "notice", "use_policy")) and "." not in last[7:]:
        return "text"
    return SUFFIXES.get(PurePosixPath(last).suffix)


def is_program(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in PROGRAMS
