"""Finds pickles by their content and names what they would run. Nothing is ever unpickled.

A pickle is refused whatever is in it: lists of dangerous names have holes. The opcode and the
global are named so that a reader knows what was in the file.
"""

import io
import pickletools
import re
import zipfile
from dataclasses import dataclass
from typing import Any, BinaryIO

#: Bytes of a pickle that are looked at.
LOOK = 8 << 20
#: Opcodes by which a pickle reaches for code.
REACHING = {
    "GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "REDUCE", "BUILD",
    "EXT1", "EXT2", "EXT4",
}  # fmt: skip
#: Globals that saved tensors are made of: not what one looks for first.
USUAL = ("torch ", "torch._utils ", "collections OrderedDict", "numpy", "_codecs encode")
_GLOBAL = re.compile(r"[A-Za-z_][\w.]* [A-Za-z_][\w.]*")


@dataclass(frozen=True)
class Pickle:
    """A pickle: where inside the file it lies, and the first thing that it reaches for."""

    member: str = ""
    opcode: str = ""
    target: str = ""
    position: int = 0

    def __str__(self) -> str:
        where = f" in {self.member}" if self.member else ""
        if not self.opcode:
            return f"A pickle{where} that reaches for no code; pickles are not taken."
        target = f" {self.target}" if self.target else ""
        return f"The opcode {self.opcode}{target} at byte {self.position:,}{where}."


def pickle_in(file: BinaryIO) -> Pickle | None:
    """The pickle that a file is or holds, or None. Reads a bounded part of it."""
    head = file.read(16)
    file.seek(0)
    if head.startswith(b"PK\x03\x04"):
        return _in_zip(file)
    if head.startswith(b"\x93NUMPY"):
        return _in_numpy(file)
    return pickle_of(file.read(LOOK))


def pickle_of(data: bytes, member: str = "") -> Pickle | None:
    """What `data` reaches for if it begins like a pickle; one that breaks off counts as well."""
    if not data:
        return None
    walk = _Walk()
    whole = walk.over(data)
    binary = data[:1] == b"\x80" and data[1:2] <= b"\x05" and walk.steps > 1
    # The oldest protocol is made of letters, and so is any text: it must make sense to its end.
    if not binary and not (whole and walk.runs()):
        return None
    found = walk.worst()
    if found is None:
        return Pickle(member=member)
    opcode, target, position = found
    return Pickle(member=member, opcode=opcode, target=target, position=position)


class _Walk:
    """Goes over opcodes and remembers the strings that STACK_GLOBAL takes from the stack."""

    def __init__(self) -> None:
        self.steps = 0
        self.reaching: list[tuple[str, str, int]] = []
        self._strings: list[str] = []
        self._memo: dict[int, str] = {}

    def over(self, data: bytes) -> bool:
        """Whether it is a pickle to its end (STOP)."""
        try:
            for opcode, argument, position in pickletools.genops(io.BytesIO(data)):
                self.steps += 1
                self._step(opcode.name, argument, position or 0)
                if opcode.name == "STOP":
                    return True
        except (ValueError, IndexError, UnicodeDecodeError, OverflowError, MemoryError):
            return False
        return False

    def _step(self, name: str, argument: Any, position: int) -> None:
        if name in REACHING:
            self.reaching.append((name, self._target(name, argument), position))
        if name in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"):
            number = len(self._memo) if name == "MEMOIZE" else int(argument)
            self._memo[number] = self._strings[-1] if self._strings else ""
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self._strings.append(self._memo.get(int(argument), ""))
        elif isinstance(argument, str) and name not in ("GLOBAL", "INST"):
            self._strings.append(argument)

    def _target(self, name: str, argument: Any) -> str:
        if name in ("GLOBAL", "INST"):
            return str(argument).replace("\n", " ")[:120]
        if name == "STACK_GLOBAL":
            return " ".join(self._strings[-2:])[:120]
        if name.startswith("EXT"):
            return f"extension {argument}"
        return ""

    def runs(self) -> bool:
        """Whether it names a global as Python would, and does something with it."""
        targets = [target for name, target, _ in self.reaching if name in ("GLOBAL", "INST")]
        acts = any(name not in ("GLOBAL", "STACK_GLOBAL") for name, _, _ in self.reaching)
        return bool(targets) and acts and all(_GLOBAL.fullmatch(target) for target in targets)

    def worst(self) -> tuple[str, str, int] | None:
        """The first name that a saved tensor does not need, else the first of all."""
        named = [found for found in self.reaching if found[1]]
        unusual = [found for found in named if not found[1].startswith(USUAL)]
        return next(iter(unusual or named or self.reaching), None)


def _in_zip(file: BinaryIO) -> Pickle | None:
    """Members of a zip that are pickles: files of torch, and of Python's own making."""
    try:
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist()[:200]:
                if info.flag_bits & 1 or info.is_dir():
                    continue
                with archive.open(info) as member:
                    found = pickle_of(member.read(LOOK), info.filename)
                if found:
                    return found
    except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError, ValueError, RuntimeError):
        file.seek(0)
        return _in_broken_zip(file.read(LOOK))
    except Exception as error:
        # zlib's and lzma's own errors: a member that cannot be read is no reason to let it pass.
        return Pickle(member=f"a zip that cannot be read ({type(error).__name__})")
    return None


def _in_broken_zip(data: bytes) -> Pickle | None:
    """A zip without its end (or with a lying one): look behind each local header."""
    at = 0
    while (at := data.find(b"PK\x03\x04", at)) >= 0:
        name_size = int.from_bytes(data[at + 26 : at + 28], "little")
        extra = int.from_bytes(data[at + 28 : at + 30], "little")
        name = data[at + 30 : at + 30 + name_size].decode("utf-8", "replace")
        found = pickle_of(data[at + 30 + name_size + extra :], name)
        if found:
            return found
        at += 4
    return None


def _in_numpy(file: BinaryIO) -> Pickle | None:
    """An array of objects is a pickle behind a header; an array of numbers is none."""
    data = file.read(LOOK)
    wide = data[6:7] >= b"\x02"
    size = int.from_bytes(data[8 : 12 if wide else 10], "little")
    start = (12 if wide else 10) + size
    if b"'|O'" in data[:start] or b"O" in data[:start].split(b"'descr'")[-1].split(b"'fortran")[0]:
        return pickle_of(data[start:], "an array of objects") or Pickle(
            member="an array of objects"
        )
    return None
