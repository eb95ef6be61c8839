"""From what one instance does to what a traffic needs: instances, scaling target, the function's ceiling, the bill."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ops.cost import function_usd_per_million

BUSY = 0.7  # share of an instance's throughput to plan with; the rest is for what comes unevenly
BURST = 3  # how many times its average the number of simultaneous callers may reach
FUNCTION_OVERHEAD_SECONDS = 0.010  # the function around its call, and the way to the endpoint; not measured on AWS
FUNCTION_MEMORY_MB = 512
LEAST_CEILING = 5  # the seed's


@dataclass(frozen=True)
class Instance:
    """What one instance of the endpoint does: requests a second at most, and seconds for one alone."""

    requests_per_second: float
    service_seconds: float

    @classmethod
    def measured(cls, figures: Mapping[str, Any]) -> "Instance":
        """From a backbone's figures in build/bench/serving.json."""
        found = figures["contenders"]["ours"]
        return cls(found["clients_32"]["requests_per_second"], found["clients_1"]["p50_ms"] / 1000)

    def waiting_seconds(self, busy: float) -> float:
        """Mean wait before service of an instance that is busy for this share of the time.

        The M/D/1 queue: wait = busy / (2 (1 - busy)) times the time of one request (Pollaczek 1930, Khinchine 1932).
        """
        return busy / (2 * (1 - busy)) / self.requests_per_second

    def simultaneous(self, busy: float) -> float:
        """Requests in an instance at once, on average: their rate times the time that each stays (Little 1961)."""
        return busy * self.requests_per_second * (self.waiting_seconds(busy) + self.service_seconds)


@dataclass(frozen=True)
class Settings:
    """How the endpoint scales and how many get through the function at once.

    `target` is per instance: simultaneous requests, or invocations per minute, as `metric_seconds` says: 10 is the
    high-resolution metric of simultaneous requests, 60 that of invocations.
    """

    name: str
    metric_seconds: int
    target: float
    min_instances: int
    max_instances: int
    reserved: int
    scale_out_cooldown_seconds: int = 30
    scale_in_cooldown_seconds: int = 30


@dataclass(frozen=True)
class Plan:
    """What a peak of `traffic` requests a second needs."""

    traffic: float
    instances: int
    target_simultaneous: float
    target_per_minute: int
    reserved: int
    monthly_usd: float
    usd_per_million: float

    def settings(self, metric_seconds: int) -> Settings:
        """Two instances at least, as a canary needs; room for one more than the peak asks for."""
        target = self.target_simultaneous if metric_seconds == 10 else self.target_per_minute
        least = max(2, math.ceil(self.instances / 2))
        return Settings("planned", metric_seconds, target, least, self.instances + 1, self.reserved)


def seed(metric_seconds: int) -> Settings:
    """The seed's numbers. Its 20 were meant as simultaneous requests, and were given to the metric per minute."""
    return Settings("seed", metric_seconds, 20, 1, 3, 5)


def plan(traffic: float, instance: Instance, prices: Mapping[str, Any], instance_type: str) -> Plan:
    """The numbers for a peak of `traffic` requests a second; the bill is that of the peak, all month."""
    instances = max(1, math.ceil(traffic / (BUSY * instance.requests_per_second)))
    busy = traffic / (instances * instance.requests_per_second)
    call_seconds = instance.waiting_seconds(busy) + instance.service_seconds + FUNCTION_OVERHEAD_SECONDS
    reserved = max(LEAST_CEILING, math.ceil(BURST * traffic * call_seconds))
    requests = traffic * 3600 * prices["hours_per_month"]
    function_usd = requests / 1e6 * function_usd_per_million(prices, call_seconds, FUNCTION_MEMORY_MB)
    endpoint_usd = instances * prices["endpoint_usd_per_hour"][instance_type] * prices["hours_per_month"]
    return Plan(
        traffic=traffic,
        instances=instances,
        target_simultaneous=max(1, round(instance.simultaneous(BUSY), 1)),
        target_per_minute=math.floor(60 * BUSY * instance.requests_per_second),
        reserved=reserved,
        monthly_usd=endpoint_usd + function_usd,
        usd_per_million=(endpoint_usd + function_usd) / requests * 1e6,
    )
