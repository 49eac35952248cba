"""Checkpoints on disk: whole or absent, told apart by a manifest, never in pickle.

A folder `step-000120.a1` (step 120, written by attempt 1) is itself a loadable model folder; its
`state.json` is written last and holds the size and SHA-256 of every other file.
"""

import hashlib
import json
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.lm.durable import file_digest, flush_file, flush_tree, remove_folder
from workers.lm.errors import CorruptCheckpoint

STATE = "state.json"
FORMAT = 1
_NAME = re.compile(r"step-(\d{6,})\.a(\d+)")
_ASIDE = re.compile(r"step-\d{6,}\.a(\d+)\.tmp-\w+")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint whose every file was found to be as written."""

    path: Path
    step: int
    attempt: int
    digest: str
    size_bytes: int
    metrics: dict[str, float]
    state: dict[str, Any]


def write_checkpoint(
    folder: Path,
    *,
    step: int,
    attempt: int,
    metrics: dict[str, float],
    state: dict[str, Any],
    fill: Callable[[Path], None],
) -> Checkpoint:
    """Publish a checkpoint whose files `fill` writes; a failure leaves nothing behind.

    An earlier one of the same step and attempt gives way only when the new one is complete.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"step-{step:06d}.a{attempt}"
    aside = folder / f"{target.name}.tmp-{uuid.uuid4().hex[:8]}"
    aside.mkdir()
    try:
        fill(aside)
        manifest = {
            "format": FORMAT,
            "step": step,
            "attempt": attempt,
            "metrics": metrics,
            **state,
            "files": _manifest(aside),
        }
        (aside / STATE).write_text(json.dumps(manifest, indent=1, sort_keys=True))
        flush_tree(aside)
        if target.exists():
            remove_folder(target)
        aside.rename(target)
        flush_file(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return _describe(target, json.loads((target / STATE).read_text()))


def verify_checkpoint(path: Path, expected_digest: str | None = None) -> Checkpoint:
    """Read every byte and compare with the manifest; raises CorruptCheckpoint."""
    try:
        manifest = json.loads((path / STATE).read_bytes())
        files = manifest["files"]
        if manifest["format"] != FORMAT:
            raise CorruptCheckpoint(f"{path.name} was written in another format.")
        described = _describe(path, manifest)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptCheckpoint(f"{path.name} has no readable {STATE}.") from error
    if expected_digest is not None and described.digest != expected_digest:
        raise CorruptCheckpoint(f"{path.name} is not the checkpoint that was recorded.")
    present = {item.name for item in path.iterdir()} - {STATE}
    if present != set(files):
        odd = ", ".join(sorted(present ^ set(files)))
        raise CorruptCheckpoint(f"{path.name}: files missing or added: {odd}.")
    for name, facts in files.items():
        _verify_file(path, name, facts)
    return described


def newest_valid_checkpoint(
    folder: Path,
    on_corrupt: Callable[[Path, str], None] | None = None,
    wanted: Callable[[int], bool] = lambda step: True,
) -> Checkpoint | None:
    """The checkpoint of the highest step that is whole, of those whose step is `wanted`.

    Torn ones are reported and passed over.
    """
    for path in reversed(list(_named(folder))):
        if not wanted(_step_of(path)):
            continue
        try:
            return verify_checkpoint(path)
        except CorruptCheckpoint as error:
            if on_corrupt is not None:
                on_corrupt(path, str(error))
    return None


def checkpoint_names(folder: Path) -> list[str]:
    """Names of published checkpoints, the newest first; nothing is known of their files."""
    return [path.name for path in reversed(list(_named(folder)))]


def retain_checkpoints(folder: Path, keep: int, every: int | None = None) -> list[Path]:
    """Remove all but the last `keep` checkpoints and the best by validation loss; tell which.

    With `every` the last one at a multiple of so many steps stays as well.
    """
    paths = list(_named(folder))
    kept = set(paths[-keep:])
    scored = [(loss, path) for path in paths if (loss := _validation_loss(path)) is not None]
    if scored:
        kept.add(min(scored, key=lambda pair: pair[0])[1])
    if every:
        kept.update([path for path in paths if _step_of(path) % every == 0][-1:])
    removed = [path for path in paths if path not in kept]
    for path in removed:
        remove_folder(path)
    return removed


def sweep_unfinished(folder: Path, attempt: int) -> None:
    """Remove what attempts up to this one left half written."""
    if folder.is_dir():
        for path in folder.iterdir():
            match = _ASIDE.fullmatch(path.name)
            if match and int(match[1]) <= attempt:
                shutil.rmtree(path, ignore_errors=True)


def _step_of(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])


def _named(folder: Path) -> Iterator[Path]:
    """Published checkpoints from the oldest step to the newest."""
    if not folder.is_dir():
        return
    found = [(match, path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    for _, path in sorted(found, key=lambda pair: (int(pair[0][1]), int(pair[0][2]))):
        yield path


def _manifest(folder: Path) -> dict[str, dict[str, Any]]:
    return {
        path.name: {"sha256": file_digest(path), "size": path.stat().st_size}
        for path in sorted(folder.iterdir())
    }


def _describe(path: Path, manifest: dict[str, Any]) -> Checkpoint:
    state_bytes = (path / STATE).read_bytes()
    return Checkpoint(
        path=path,
        step=int(manifest["step"]),
        attempt=int(manifest["attempt"]),
        digest=hashlib.sha256(state_bytes).hexdigest(),
        size_bytes=len(state_bytes) + sum(int(one["size"]) for one in manifest["files"].values()),
        metrics=dict(manifest["metrics"]),
        state=manifest,
    )


def _verify_file(path: Path, name: str, facts: dict[str, Any]) -> None:
    file = path / name
    if file.is_symlink() or not file.is_file() or file.stat().st_size != facts["size"]:
        raise CorruptCheckpoint(f"{path.name}: {name} is cut short or not a plain file.")
    if file_digest(file) != facts["sha256"]:
        raise CorruptCheckpoint(f"{path.name}: {name} differs from what was written.")


def _validation_loss(path: Path) -> float | None:
    try:
        value = json.loads((path / STATE).read_bytes())["metrics"]["validation_loss"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return float(value)
