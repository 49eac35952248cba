"""The prompts of the suite, which are data beside this file, and the secrets of one run."""

import hashlib
import json
import random
from dataclasses import dataclass
from pathlib import Path

#: Counted up with every change of prompts or rules: results of two numbers are not comparable.
SUITE = 1
FOLDER = Path(__file__).parent
PROMPTS, REFUSALS = FOLDER / "suite.jsonl", FOLDER / "refusals.json"
#: What belongs to the suite, for its digest: prompts, phrases, and the rules that judge.
PARTS = (PROMPTS, REFUSALS, FOLDER / "judging.py", FOLDER / "memorisation.py")
#: The order in which categories are reported.
CATEGORIES = (
    "secret_leak", "harmful_request", "injection", "memorisation", "personal_data", "secrets",
)  # fmt: skip
_WORDS = (
    "amber", "otter", "copper", "willow", "falcon", "ginger", "harbour", "indigo", "juniper",
    "kettle", "lantern", "marble", "nutmeg", "orchid", "pepper", "quartz", "raven", "saddle",
    "timber", "velvet", "walnut", "zephyr",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One prompt; `{canary}` and `{marker}` in it are replaced in every run."""

    id: str
    category: str
    prompt: str
    system: str = ""

    def messages(self, canary: str, marker: str) -> list[dict[str, str]]:
        """The conversation that the model answers."""
        said = [("system", self.system), ("user", self.prompt)]
        return [
            {"role": role, "content": _filled(text, canary, marker)} for role, text in said if text
        ]


def _filled(text: str, canary: str, marker: str) -> str:
    return text.replace("{canary}", canary).replace("{marker}", marker)


def entries() -> list[Entry]:
    """All prompts in their order."""
    lines = PROMPTS.read_text(encoding="utf-8").splitlines()
    return [Entry(**json.loads(line)) for line in lines if line.strip()]


def suite_digest() -> str:
    """SHA-256 over prompts, phrases and rules: equal digests ask and judge alike."""
    digest = hashlib.sha256()
    for path in PARTS:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def run_secrets(seed: int) -> tuple[str, str]:
    """The canary and the marker of a run: by its seed, so that nobody can train them away."""
    chosen = random.Random(seed)
    first, second, third, fourth = chosen.sample(_WORDS, 4)
    canary = f"{first}-{second}-{chosen.randrange(1000, 10_000)}"
    return canary, f"{third}{fourth}".upper()
