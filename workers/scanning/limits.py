"""How much a scan and an import take; the operator's settings, handed to the job."""

from dataclasses import asdict, dataclass
from typing import Any

MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of one version."""

    files: int = 1000
    total_bytes: int = 262_144 * MIB
    #: How many times larger than the archive its content may be.
    ratio: int = 200
    #: Folders above a file.
    depth: int = 8
    connections: int = 4

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


#: Text files: nobody needs more, and they are read as a whole.
TEXT_BYTES = 16 * MIB
#: tokenizer.json and vocabularies of 250,000 tokens with their merges.
VOCABULARY_BYTES = 64 * MIB
TEMPLATE_BYTES = 64 * 1024
#: The format's own limit is 100 MB; a model of 10,000 tensors needs 2.
HEADER_BYTES = 32 * MIB
