"""AWS's target tracking, second by second, by its documented rules, around instances that do what was measured.

Documented (SageMaker Developer Guide, "Define a scaling policy"; Application Auto Scaling User Guide, "How target
tracking works"; API Reference of UpdateEndpointWeightsAndCapacities): invocations per instance are emitted every
minute, simultaneous requests every 10 s; scaling in is equally slow with both; out goes in proportion to the metric, in
"more gradually"; what a scale-out added counts during its cooldown; an endpoint in change takes no other change.

Not documented, and assumed: three points above the target scale out, fifteen minutes below 90 % of it scale in, by one
instance (what the alarms look like that target tracking makes); an instance starts in START_SECONDS.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.capacity.plan import FUNCTION_OVERHEAD_SECONDS, Instance, Settings

START_SECONDS = 240
POINTS_OUT, MINUTES_IN, SCALE_IN_BELOW = 3, 15, 0.9
MOST_PER_INSTANCE = 64  # MAX_REQUESTS of inference/serve.py
MOST_OF_SERVICE = 0.98  # the queue's formula has no answer for an instance that is never idle

Series = NDArray[np.float64]


def day(traffic: float) -> Series:
    """Requests a second, second by second: ten minutes of a fifth of the peak, 30 of the peak, 20 of a fifth."""
    return np.repeat([0.2 * traffic, traffic, 0.2 * traffic], [600, 1800, 1200])


@dataclass
class Scaling:
    """The scalable target: what is wanted, what is in service, and what the policy saw."""

    settings: Settings
    ready: int
    starting_until: int = 0
    wanted: int = 0
    points: deque[float] = field(default_factory=lambda: deque(maxlen=POINTS_OUT))
    minutes: deque[float] = field(default_factory=lambda: deque(maxlen=MINUTES_IN))
    scaled_out_at: int = -3600
    scaled_in_at: int = -3600

    def emit(self, second: int, point: float, minute: float) -> None:
        """Take what the metric says, where it is due, and act on it."""
        if self.wanted > self.ready and second >= self.starting_until:
            self.ready = self.wanted
        if second % self.settings.metric_seconds == 0:
            self.points.append(point)
        if second % 60 == 0:
            self.minutes.append(minute)
        if self.wanted != self.ready:
            return  # the endpoint is in change
        target = self.settings.target
        if len(self.points) == POINTS_OUT and min(self.points) > target:
            self._out(second, self.points[-1] / target)
        elif len(self.minutes) == MINUTES_IN and max(self.minutes) < SCALE_IN_BELOW * target:
            self._in(second)

    def _out(self, second: int, times: float) -> None:
        wanted = min(self.settings.max_instances, math.ceil(self.ready * times))
        if wanted > self.ready and second - self.scaled_out_at >= self.settings.scale_out_cooldown_seconds:
            self.wanted, self.scaled_out_at, self.starting_until = wanted, second, second + START_SECONDS
            self.points.clear()

    def _in(self, second: int) -> None:
        if self.ready > self.settings.min_instances and (
            second - self.scaled_in_at >= self.settings.scale_in_cooldown_seconds
        ):
            self.ready -= 1
            self.wanted, self.scaled_in_at = self.ready, second


def simulate(rates: Series, instance: Instance, settings: Settings) -> Mapping[str, Series]:
    """What happens second by second: `arrived`, `answered`, `throttled` (429 of the function), `turned_away` (503 of
    the endpoint), `instances`, and `p99_seconds` of those who come in this second. Arrivals are Poisson's, seeded.
    """
    arrivals = np.random.default_rng(0).poisson(rates).astype(float)
    scaling = Scaling(settings, ready=settings.min_instances, wanted=settings.min_instances)
    rows: dict[str, list[float]] = {name: [] for name in ("answered", "throttled", "turned_away", "instances", "p99")}
    queue, stay = 0.0, instance.service_seconds
    inside: deque[float] = deque(maxlen=settings.metric_seconds)
    served: deque[float] = deque(maxlen=60)
    inside_minute: deque[float] = deque(maxlen=60)
    for second, arrived in enumerate(arrivals, start=1):
        capacity = scaling.ready * instance.requests_per_second
        # As many are in the function at once as are reserved, the queue included; each stays until it is answered.
        through = settings.reserved / (stay + FUNCTION_OVERHEAD_SECONDS)
        admitted = min(arrived, through, capacity + max(0.0, settings.reserved - queue))
        room = max(0.0, scaling.ready * MOST_PER_INSTANCE - queue)
        taken = min(admitted, capacity + room)
        answered = min(queue + taken, capacity)
        queue += taken - answered
        busy = min(MOST_OF_SERVICE, answered / capacity)
        wait = instance.waiting_seconds(busy)
        stay = instance.service_seconds + wait + queue / capacity
        at_once = (queue + answered * (instance.service_seconds + wait)) / scaling.ready
        inside.append(at_once)
        inside_minute.append(at_once)
        served.append(answered)
        per_minute = sum(served) / scaling.ready
        is_per_minute = settings.metric_seconds == 60
        scaling.emit(
            second,
            per_minute if is_per_minute else sum(inside) / len(inside),
            per_minute if is_per_minute else sum(inside_minute) / len(inside_minute),
        )
        rows["answered"].append(answered)
        rows["throttled"].append(arrived - admitted)
        rows["turned_away"].append(admitted - taken)
        rows["instances"].append(scaling.ready)
        # The tail of the wait falls off exponentially; one in a hundred waits ln(100) times the mean.
        rows["p99"].append(instance.service_seconds + queue / capacity + math.log(100) * wait)
    return {"arrived": arrivals, **{name: np.array(values) for name, values in rows.items()}, "left": np.array([queue])}
