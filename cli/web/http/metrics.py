"""Counts of requests, as the text that Prometheus reads."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from threading import Lock

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Upper bounds of the histogram, in seconds."""


class Metrics:
    """Requests by endpoint and status, and how long they took."""

    def __init__(self) -> None:
        self._start = time.time()
        self._lock = Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._buckets: Counter[tuple[str, float]] = Counter()
        self._seconds: Counter[str] = Counter()

    def count(self, endpoint: str, status: int, seconds: float) -> None:
        """A request that was answered."""
        with self._lock:
            self._requests[endpoint, status] += 1
            self._seconds[endpoint] += seconds  # type: ignore[assignment]
            for bound in BUCKETS:
                if seconds <= bound:
                    self._buckets[endpoint, bound] += 1

    def text(self, gauges: Mapping[str, float]) -> str:
        """Prometheus's text format, version 0.0.4. gauges: further values by name."""
        with self._lock:
            lines = [*self._request_lines(), *self._second_lines()]
        lines += _family("mocosearch_start_time_seconds", "gauge", [("", self._start)])
        for name, value in gauges.items():
            lines += _family(f"mocosearch_{name}", "gauge", [("", value)])
        return "\n".join(lines) + "\n"

    def _request_lines(self) -> list[str]:
        samples = [
            (f'{{endpoint="{endpoint}",status="{status}"}}', float(count))
            for (endpoint, status), count in sorted(self._requests.items())
        ]
        return _family("mocosearch_requests_total", "counter", samples)

    def _second_lines(self) -> list[str]:
        name = "mocosearch_request_seconds"
        lines = [f"# TYPE {name} histogram"]
        for endpoint in sorted({endpoint for endpoint, _ in self._requests}):
            total = sum(n for (one, _), n in self._requests.items() if one == endpoint)
            for bound in BUCKETS:
                count = self._buckets[endpoint, bound]
                lines.append(f'{name}_bucket{{endpoint="{endpoint}",le="{bound}"}} {count}')
            lines.append(f'{name}_bucket{{endpoint="{endpoint}",le="+Inf"}} {total}')
            lines.append(f'{name}_sum{{endpoint="{endpoint}"}} {self._seconds[endpoint]:.6f}')
            lines.append(f'{name}_count{{endpoint="{endpoint}"}} {total}')
        return lines


def _family(name: str, kind: str, samples: Iterable[tuple[str, float]]) -> list[str]:
    return [f"# TYPE {name} {kind}", *(f"{name}{labels} {value:.15g}" for labels, value in samples)]
