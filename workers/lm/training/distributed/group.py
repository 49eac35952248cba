"""What all ways to train in several processes have in common: the group and its exchanges."""

import datetime as dt
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, TCPStore

from workers.lm.data.batches import Batch
from workers.lm.errors import InvalidTraining
from workers.lm.training.distributed.network import interface_of
from workers.lm.training.distributed.places import Gang, Place
from workers.lm.training.parallel import Alone

#: Longest wait for a process that computes. A dead one on this machine is noticed at once by who
#: started it; this is for one that hangs, or a node that is gone.
ANSWER_WITHIN = dt.timedelta(minutes=2)
#: While another process reads or writes files, which may take long.
MAIN_WITHIN = dt.timedelta(days=30)


class Group(Alone):
    """This process as one of a group that has met."""

    def __init__(self, place: Place) -> None:
        self.rank, self.world = place.rank, place.gang.world
        self.data_rank, self.data_world = self.rank, self.world
        self.nodes = self.world // place.gang.local
        self.is_first_here = self.rank in place.gang.firsts
        self._place = place
        self._device = _device_of(place)
        self._waits = 0
        _go_by(place.gang)
        server = TCPStore(
            place.gang.host,
            place.gang.port,
            world_size=self.world,
            is_master=self.is_main,
            timeout=ANSWER_WITHIN,
            wait_for_workers=False,
            master_listen_fd=place.listener if self.is_main else None,
        )
        self._store = PrefixStore(place.gang.token or "gang", server)
        if self.nodes > 1:
            self._meet(self._ranks("here", range(self.world)), self.rank)
        backend = "cpu:gloo,cuda:nccl" if self._device.type == "cuda" else "gloo"
        dist.init_process_group(
            backend,
            store=PrefixStore("group", self._store),
            rank=self.rank,
            world_size=self.world,
            timeout=ANSWER_WITHIN,
        )

    def device(self) -> torch.device:
        return self._device

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around an exchange within a step that ends when the slowest process has come."""
        begun = time.perf_counter()
        yield
        if self.waited_s is not None:
            self.waited_s += time.perf_counter() - begun

    def share(self, batch: Batch) -> tuple[Batch, int]:
        rows = len(batch[0])
        first, end = (rows * number // self.data_world for number in
                      (self.data_rank, self.data_rank + 1))  # fmt: skip
        counts = 1 if end > first else 0
        mine = slice(first, end) if counts else slice(0, 1)
        inputs, targets = batch
        return (inputs[mine], targets[mine]), counts

    def total(self, *values: float) -> list[float]:
        if self.data_world == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(sums)
        return [float(value) for value in sums]

    def mean(self, figures: torch.Tensor) -> torch.Tensor:
        if self.data_world > 1:
            dist.all_reduce(figures)
            figures /= self.data_world
        return figures

    def any(self, flag: bool) -> bool:
        told = torch.tensor([int(flag)], dtype=torch.uint8)
        with self.waiting():
            dist.all_reduce(told, op=dist.ReduceOp.MAX)
        return bool(told.item())

    def everyones(self, value: Any) -> list[Any]:
        values: list[Any] | None = [None] * self.world if self.is_main else None
        dist.gather_object(value, values)
        return values or []

    def of_main(self, value: Any) -> Any:
        values = [value]
        dist.broadcast_object_list(values)
        return values[0]

    def after_main(self) -> None:
        self._waits += 1
        key = f"main-{self._waits}"
        if self.is_main:
            self._store.set(key, "here")
        else:
            self._store.wait([key], MAIN_WITHIN)

    def after_firsts(self) -> None:
        self._waits += 1
        names = self._ranks(f"first-{self._waits}", self._place.gang.firsts)
        self._meet(names, self.rank // self._place.gang.local if self.is_first_here else None)

    def _ranks(self, name: str, ranks: range) -> list[str]:
        return [f"{name}-{rank}" for rank in ranks]

    def _meet(self, names: list[str], mine: int | None) -> None:
        """Leave one's own name of `names`, if one has any, and wait until all are there.

        The nodes of a gang begin at different times, as each fetches what it needs.
        """
        if mine is not None:
            self._store.set(names[mine], "")
        self._store.wait(names, MAIN_WITHIN)

    def leave(self) -> None:
        """The work is done. Rank 0 goes last, for the others may still ask what it knows."""
        names = [f"left-{rank}" for rank in range(1, self.world)]
        if self.is_main:
            self._store.wait(names, ANSWER_WITHIN)
        else:
            self._store.set(names[self.rank - 1], "")


def _go_by(gang: Gang) -> None:
    """Tell the libraries by which network interface the processes exchange."""
    names = {name for _, name in socket.if_nameindex()}
    if not gang.on_one_node:
        name = interface_of(gang.own)
        os.environ |= {"GLOO_SOCKET_IFNAME": name, "NCCL_SOCKET_IFNAME": f"={name}"}
    elif "lo" in names:
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"


def _device_of(place: Place) -> torch.device:
    """A GPU of its own for each process of a node that was given any; else the processor."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if torch.cuda.device_count() < place.gang.local:
        raise InvalidTraining(
            "processes",
            f"The job has {torch.cuda.device_count()} GPUs for {place.gang.local} processes. "
            "Ask for one each, or use fewer processes.",
        )
    device = torch.device("cuda", place.number)
    torch.cuda.set_device(device)
    return device
