"""A model that several processes hold together: this one leads, the others do as it does.

The leader decides what a step computes and tells all others, then every process computes it with
its part of the weights and of the keys and values; the exchanges inside the layers keep them
together. What the leader samples the others never see.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import FileStore
from torch.distributed import distributed_c10d

from .errors import ModelRefused
from .kv_cache import SlotBlocks
from .loading import LoadedModel, load_split
from .lora import AdapterBank
from .packed import PackedRunner
from .parallel_bank import ParallelBank
from .probe import choose_runner

if TYPE_CHECKING:
    from .plan import Runner, StepPlan
    from .server import ServeOptions

#: Longest exchange; a process that died is noticed at once, this is for one that hangs.
ANSWER_WITHIN = dt.timedelta(minutes=2)
#: Until all others have started and read their part.
START_S = 600.0
#: A polite stop; then they are killed.
GRACE_S = 5.0
_POLL_S = 0.1


class RankLost(Exception):
    """One of the processes that hold the model has ended; the others are worth nothing."""


@dataclass
class Part:
    """What one process has of the model, and what computes with it."""

    loaded: LoadedModel
    runner: Runner
    why: str
    blocks: SlotBlocks | None = None

    def make_blocks(self, budget_bytes: int) -> None:
        """A store of prefixes over this part of the keys and values."""
        assert isinstance(self.runner, PackedRunner)
        self.blocks = SlotBlocks(self.runner.cache, budget_bytes)

    @property
    def _bank(self) -> AdapterBank:
        assert isinstance(self.runner, PackedRunner)
        return self.runner.bank

    def put_adapter(self, key: str, folder: Path) -> None:
        """This part of an adapter's factors; its files have been checked by the leader."""
        for _ in self._bank.put(key, self._bank.read(folder)):
            pass

    def drop_adapter(self, key: str) -> None:
        """Away with it."""
        for _ in self._bank.drop(key):
            pass

    def begin_adapters(self, spans: list[tuple[str, int]]) -> None:
        """Whose the rows of the next step are."""
        self._bank.begin(spans)

    def end_adapters(self) -> None:
        """The step is over."""
        self._bank.end()

    def do(self, target: str, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the leader does, here."""
        where = self if target == "part" else getattr(self, target)
        return getattr(where, method)(*args, **kwargs)


def build_part(options: ServeOptions, store: Path, rank: int, world: int) -> Part:
    """Meet the others, read this rank's part and prove a runner with it, all in step."""
    device = f"cuda:{rank}" if options.device.startswith("cuda") else options.device
    torch.set_num_threads(options.threads)
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    # The group's name counts those of this process, one too that failed while it began (a refused
    # model whose other parts were quicker); the others, which are new, would wait for the first.
    distributed_c10d._world.group_count = 0
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo",
        store=FileStore(str(store), world),
        rank=rank,
        world_size=world,
        timeout=ANSWER_WITHIN,
    )
    loaded = load_split(
        options.model_dir,
        dtype=options.dtype,
        device=device,
        max_context=options.max_context,
        rank=rank,
        world=world,
    )
    runner, why = choose_runner(
        loaded.model,
        context_length=loaded.context_length,
        max_slots=options.max_slots,
        prefill_chunk=options.prefill_chunk,
    )
    return Part(loaded, runner, f"split over {world} processes, {why}")


class _Follower:
    """One other process, and the line on which it is told what to do."""

    def __init__(self, rank: int, world: int, options: ServeOptions, store: Path) -> None:
        self.name = f"Part {rank + 1} of {world}"
        mine, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "workers.lm.inference.rank", str(theirs.fileno()),
                 str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        self.line = Connection(mine.detach())
        # As plain values: whoever runs the command line knows the class by another name.
        self.line.send((asdict(options), store, rank, world))

    def heard(self, wait_s: float) -> tuple[str, str] | None:
        """(word, text) that it has said, None where it has said nothing in time."""
        try:
            return self.line.recv() if self.line.poll(wait_s) else None
        except (EOFError, OSError):
            return None

    def end(self) -> str:
        """How it ended; empty while it runs."""
        code = self.process.poll()
        if code is None:
            return ""
        how = signal.Signals(-code).name if code < 0 else f"status {code}"
        return f"{self.name} has ended ({how})."


class Ranks:
    """The other processes; none is left after `close`."""

    def __init__(self, options: ServeOptions, world: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="slipway-ranks-"))
        self.store = self.folder / "meeting"
        self.lost = ""
        self._closing = threading.Event()
        self._telling = threading.Lock()
        self._followers: list[_Follower] = []
        try:
            for rank in range(1, world):
                self._followers.append(_Follower(rank, world, options, self.store))
        except OSError:
            self.close()
            raise

    def await_word(self, word: str) -> None:
        """Until each has said it. Raises ModelRefused with what one of them says instead."""
        deadline = time.monotonic() + START_S
        for follower in self._followers:
            while (said := follower.heard(_POLL_S)) is None:
                if ended := follower.end():
                    raise ModelRefused(f"{ended} It may need more memory than it may have.")
                if time.monotonic() > deadline:
                    raise ModelRefused(f"{follower.name} was not ready in time.")
            if said[0] != word:
                raise ModelRefused(f"{follower.name}: {said[1]}")

    def tell(self, target: str, method: str, *args: Any, **kwargs: Any) -> None:
        """Have all of them do this. Raises RankLost."""
        try:
            with self._telling:
                for follower in self._followers:
                    follower.line.send((target, method, args, kwargs))
        except OSError as error:
            raise RankLost(self.why_lost()) from error

    def why_lost(self, wait_s: float = 2.0) -> str:
        """Which of them has ended and how, once that can be seen."""
        deadline = time.monotonic() + wait_s
        while not self.lost and time.monotonic() < deadline:
            self.lost = self._ended()
            time.sleep(0 if self.lost else 0.02)
        return self.lost

    def watch(self, on_lost: Callable[[str], None]) -> None:
        """Tell on a thread of its own when one of them ends by itself."""

        def look() -> None:
            while not self._closing.wait(_POLL_S):
                if ended := self.lost or self._ended():
                    self.lost = ended
                    on_lost(ended)
                    return

        threading.Thread(target=look, name="ranks", daemon=True).start()

    def _ended(self) -> str:
        return next((end for follower in self._followers if (end := follower.end())), "")

    def close(self) -> None:
        """Politely, then by force."""
        self._closing.set()
        with self._telling:
            followers, self._followers = self._followers, []
        for follower in followers:
            with contextlib.suppress(OSError):
                follower.line.close()
        deadline = time.monotonic() + GRACE_S
        for follower in followers:
            try:
                follower.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                follower.process.kill()
                follower.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        if dist.is_initialized():
            with contextlib.suppress(RuntimeError):
                dist.destroy_process_group()


class ParallelRunner:
    """The leader's runner: tells the others, then does the same with its own part."""

    def __init__(self, part: Part, ranks: Ranks) -> None:
        self.part, self.ranks = part, ranks
        own: AdapterBank | None = getattr(part.runner, "bank", None)
        #: Adapters beside the model, where what computes it can have any.
        self.bank = None if own is None else ParallelBank(own, ranks)
        for name in ("move", "release", "fork", "has_room"):
            if hasattr(part.runner, name):
                setattr(self, name, partial(self._all, "runner", name))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.part.runner, name)

    def forward(self, plan: StepPlan) -> torch.Tensor:
        """See `plan.Runner`. Raises RankLost where one of the processes has ended."""
        logits: torch.Tensor = self._all("runner", "forward", plan)
        return logits

    def blocks(self, budget_bytes: int) -> ParallelBlocks | None:
        """A store of prefixes of which every process keeps its part."""
        if not isinstance(self.part.runner, PackedRunner):
            return None
        self._all("part", "make_blocks", budget_bytes)
        return ParallelBlocks(self)

    def _all(self, target: str, method: str, *args: Any, **kwargs: Any) -> Any:
        if self.ranks.lost:
            raise RankLost(self.ranks.lost)
        self.ranks.tell(target, method, *args, **kwargs)
        try:
            return self.part.do(target, method, args, kwargs)
        except RuntimeError as error:
            if lost := self.ranks.why_lost():
                raise RankLost(lost) from error
            raise

    def close(self) -> None:
        """No process is left."""
        self.ranks.close()


class ParallelBlocks:
    """Blocks of prefixes, in every process its part; a `prefixes.BlockStore`."""

    def __init__(self, runner: ParallelRunner) -> None:
        store = runner.part.blocks
        assert store is not None
        self.blocks, self.size = store.blocks, store.size
        self.save = partial(runner._all, "blocks", "save")
        self.load = partial(runner._all, "blocks", "load")


def lead(options: ServeOptions) -> ParallelRunner:
    """Start the others and build all parts. Raises ModelRefused; then no process is left."""
    world = options.tensor_parallel
    ranks = Ranks(options, world)
    try:
        ranks.await_word("here")
        try:
            part = build_part(options, ranks.store, 0, world)
        except ModelRefused:
            raise
        except Exception as error:
            # Mostly because one of them has gone: what that one says is the reason.
            ranks.await_word("ready")
            raise ModelRefused(f"The model cannot be split: {error}") from error
        ranks.await_word("ready")
    except BaseException:
        ranks.close()
        raise
    return ParallelRunner(part, ranks)
