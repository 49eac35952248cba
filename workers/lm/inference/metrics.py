"""`GET /metrics`: the replica's numbers in Prometheus' text format.

Names beginning with `vllm:` are those that dashboards and routers for model servers read; ours
begin with `slipway_`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .backend import Backend
    from .exchange import RequestEnd

TEXT = b"text/plain; version=0.0.4; charset=utf-8"
_FIRST_TOKEN = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1,
    2.5,
    5,
    7.5,
    10,
)
_WHOLE = (0.05, 0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480)
_STATES = ("ready", "draining", "failed")


class Histogram:
    """Counts below each bound, and their sum."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """One observation."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: str) -> Iterable[str]:
        """Buckets, sum and count."""
        total = 0
        for bound, count in zip([*self._bounds, "+Inf"], self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{{labels},le="{bound}"}} {total}'
        yield f"{name}_sum{{{labels}}} {self._sum:.6f}"
        yield f"{name}_count{{{labels}}} {total}"


class Metrics:
    """Belongs to the event loop; what the engine counts is read from its own snapshot."""

    def __init__(self, model: str) -> None:
        self._label = f'model_name="{_escaped(model)}"'
        self._first = Histogram(_FIRST_TOKEN)
        self._whole = Histogram(_WHOLE)
        self._outcomes: Counter[tuple[str, str, int]] = Counter()
        self._finishes: Counter[str] = Counter()

    def note(self, record: RequestEnd) -> None:
        """A request has ended."""
        self._outcomes[record.route, record.outcome, record.status] += 1
        self._finishes.update(record.finish_reasons)
        if record.first_token_ms is not None:
            self._first.add(record.first_token_ms / 1000)
        if record.outcome == "completed":
            self._whole.add(record.total_ms / 1000)

    def text(self, engine: Backend) -> bytes:
        """Everything, as it is now."""
        lines: list[str] = []
        stats = engine.stats().as_dict()
        for name, kind, value in _numbers(engine, stats):
            lines += [f"# TYPE {name} {kind}", f"{name}{{{self._label}}} {_shown(value)}"]
        for name, histogram in (
            ("vllm:time_to_first_token_seconds", self._first),
            ("vllm:e2e_request_latency_seconds", self._whole),
        ):
            lines.append(f"# TYPE {name} histogram")
            lines += histogram.lines(name, self._label)
        lines.append("# TYPE vllm:request_success_total counter")
        for reason, count in sorted(self._finishes.items()):
            label = f'{self._label},finished_reason="{reason}"'
            lines.append(f"vllm:request_success_total{{{label}}} {count}")
        lines.append("# TYPE slipway_requests_total counter")
        for (route, outcome, status), count in sorted(self._outcomes.items()):
            label = f'{self._label},route="{route}",outcome="{outcome}",status="{status}"'
            lines.append(f"slipway_requests_total{{{label}}} {count}")
        lines.append("# TYPE slipway_state gauge")
        for state in _STATES:
            label = f'{self._label},state="{state}"'
            lines.append(f"slipway_state{{{label}}} {int(stats['state'] == state)}")
        return ("\n".join(lines) + "\n").encode()


def _numbers(engine: Backend, stats: Mapping[str, Any]) -> Iterable[tuple[str, str, float]]:
    total, free = stats.get("cache_blocks_total") or 0, stats.get("cache_blocks_free") or 0
    slots = engine.max_slots
    used = 1 - free / total if total else stats["running"] / max(1, slots)
    hits = stats.get("prefix_hit_tokens") or 0
    asked = stats["prompt_tokens"] + hits  # each was looked for, and computed where it was not kept
    yield "vllm:num_requests_running", "gauge", stats["running"]
    yield "vllm:num_requests_waiting", "gauge", stats["waiting"]
    yield "vllm:num_preemptions_total", "counter", stats.get("preemptions") or 0
    for name in ("vllm:gpu_cache_usage_perc", "vllm:kv_cache_usage_perc"):
        yield name, "gauge", used
    for prefix in ("vllm:gpu_prefix_cache", "vllm:prefix_cache"):
        yield f"{prefix}_queries_total", "counter", asked
        yield f"{prefix}_hits_total", "counter", hits
    yield "vllm:prompt_tokens_total", "counter", stats["prompt_tokens"]
    yield "vllm:generation_tokens_total", "counter", stats["completion_tokens"]
    yield "vllm:spec_decode_num_draft_tokens_total", "counter", stats.get("drafted_tokens") or 0
    yield (
        "vllm:spec_decode_num_accepted_tokens_total",
        "counter",
        stats.get("accepted_tokens") or 0,
    )
    yield "slipway_slots", "gauge", slots
    yield "slipway_context_length", "gauge", engine.context_length
    yield "slipway_steps_total", "counter", stats["steps"]
    yield "slipway_uptime_seconds", "gauge", stats["uptime_s"]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _shown(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6f}"
