"""What this process has seen, as Prometheus reads it. Counts begin anew with the process."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable

from console.gateway.records import Record
from console.gateway.routes import Route, Routes
from console.gateway.seats import Seats

KIND = b"text/plain; version=0.0.4; charset=utf-8"
#: Upper bounds in seconds.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
#: Outcomes are few by nature; a replica that invents them must not fill the memory.
OUTCOMES = 500
Labels = dict[str, str]


class Histogram:
    """Seconds by deployment."""

    def __init__(self) -> None:
        self.counts: dict[int, list[int]] = {}
        self.sums: dict[int, float] = {}

    def note(self, deployment_id: int, milliseconds: float) -> None:
        """One more."""
        counts = self.counts.get(deployment_id)
        if counts is None:
            counts = self.counts[deployment_id] = [0] * (len(BUCKETS) + 1)
        counts[bisect_left(BUCKETS, milliseconds / 1000)] += 1
        self.sums[deployment_id] = self.sums.get(deployment_id, 0.0) + milliseconds / 1000


class Metrics:
    """Counters of requests, and gauges that are read when somebody asks."""

    def __init__(self, routes: Routes, seats: Seats) -> None:
        self._routes = routes
        self._seats = seats
        self._requests: Counter[tuple[int, int, str]] = Counter()
        self._cache: Counter[tuple[int, str]] = Counter()
        self._tokens: Counter[tuple[int, str]] = Counter()
        self._retries: Counter[int] = Counter()
        self._first, self._total, self._wait = Histogram(), Histogram(), Histogram()

    def note(self, record: Record) -> None:
        """A request is over; copies for comparison are nobody's request."""
        if record.mirrored:
            return
        which = record.deployment_id or 0
        outcome = record.outcome if len(self._requests) < OUTCOMES else "other"
        self._requests[which, record.status, outcome] += 1
        if record.cache:
            self._cache[which, record.cache] += 1
        self._tokens[which, "prompt"] += record.prompt_tokens
        self._tokens[which, "completion"] += record.completion_tokens
        self._retries[which] += record.retries
        if record.first_token_ms is not None:
            self._first.note(which, record.first_token_ms)
        if record.status == 200:
            self._total.note(which, record.total_ms)
        if record.gateway_wait_ms:
            self._wait.note(which, record.gateway_wait_ms)

    def text(self, may_see: Callable[[Route], bool]) -> bytes:
        """Of the deployments that the reader may see."""
        routes = {r.deployment_id: r for r in self._routes.by_name.values() if may_see(r)}
        page = _Page()
        page.counter(
            "slipway_gateway_requests",
            "Requests of models by status and outcome.",
            (
                ({**_of(routes[d]), "status": str(status), "outcome": outcome}, count)
                for (d, status, outcome), count in self._requests.items()
                if d in routes
            ),
        )
        for name, about, counter in (
            ("slipway_gateway_cache_lookups", "Look-ups of kept answers.", self._cache),
            ("slipway_gateway_tokens", "Tokens read and written.", self._tokens),
        ):
            label = "result" if counter is self._cache else "kind"
            page.counter(
                name,
                about,
                (
                    ({**_of(routes[d]), label: word}, count)
                    for (d, word), count in counter.items()
                    if d in routes
                ),
            )
        page.counter(
            "slipway_gateway_retries",
            "Requests that another replica was asked again.",
            ((_of(routes[d]), count) for d, count in self._retries.items() if d in routes),
        )
        page.counter(
            "slipway_gateway_ejections",
            "Replicas left alone because they did not answer.",
            [({}, self._seats.ejections)],
        )
        self._gauges(page, routes)
        for name, about, found in (
            ("first_token", "Until the first token of a stream", self._first),
            ("answer", "Until an answer was complete", self._total),
            ("wait", "In line at the gateway, of those who waited", self._wait),
        ):
            page.histogram(f"slipway_gateway_{name}_seconds", f"{about}.", found, routes)
        return page.body()

    def _gauges(self, page: "_Page", routes: dict[int, Route]) -> None:
        page.gauge(
            "slipway_gateway_waiting",
            "Requests in line.",
            ((_of(route), self._seats.waiting(route)) for route in routes.values()),
        )
        replicas = [
            ({**_of(route), "replica": str(replica.id)}, replica)
            for route in routes.values()
            for arm in route.arms
            for replica in arm.replicas
        ]
        page.gauge(
            "slipway_gateway_running",
            "Sequences at each replica.",
            ((labels, replica.outstanding) for labels, replica in replicas),
        )
        page.gauge(
            "slipway_gateway_replica_usable",
            "1: requests are sent there; 0: it is left alone.",
            ((labels, 0 if replica.ejected else 1) for labels, replica in replicas),
        )


class _Page:
    """Lines of Prometheus' text format."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def _head(self, name: str, kind: str, about: str) -> None:
        self._lines += [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]

    def counter(self, name: str, about: str, rows: Iterable[tuple[Labels, float]]) -> None:
        self._head(f"{name}_total", "counter", about)
        self._lines += [f"{name}_total{_labels(labels)} {value}" for labels, value in rows]

    def gauge(self, name: str, about: str, rows: Iterable[tuple[Labels, float]]) -> None:
        self._head(name, "gauge", about)
        self._lines += [f"{name}{_labels(labels)} {value}" for labels, value in rows]

    def histogram(self, name: str, about: str, found: Histogram, routes: dict[int, Route]) -> None:
        self._head(name, "histogram", about)
        for deployment_id, counts in found.counts.items():
            if deployment_id not in routes:
                continue
            labels, below = _of(routes[deployment_id]), 0
            for bound, count in zip((*map(str, BUCKETS), "+Inf"), counts, strict=True):
                below += count
                self._lines.append(f"{name}_bucket{_labels({**labels, 'le': bound})} {below}")
            total = found.sums[deployment_id]
            self._lines += [
                f"{name}_sum{_labels(labels)} {round(total, 6)}",
                f"{name}_count{_labels(labels)} {below}",
            ]

    def body(self) -> bytes:
        return ("\n".join(self._lines) + "\n").encode()


def _of(route: Route) -> Labels:
    return {"deployment": route.name}


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return "{" + inside + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
