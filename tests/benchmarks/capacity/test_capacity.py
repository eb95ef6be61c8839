"""The arithmetic of capacity, by hand, and the rules of target tracking in the simulation."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.capacity.plan import Instance, Settings, plan, seed
from tests.benchmarks.capacity.simulation import START_SECONDS, day, simulate

INSTANCE = Instance(requests_per_second=100, service_seconds=0.01)
PRICES = json.loads(Path("ops/prices.json").read_text())


def settings(metric_seconds: int, target: float, **other: int) -> Settings:
    return Settings(
        "test", metric_seconds, target, **{"min_instances": 1, "max_instances": 9, "reserved": 10_000, **other}
    )


def seconds_until(found: dict[str, np.ndarray], instances: int) -> int:
    return int(np.argmax(found["instances"] >= instances))


def test_a_plan_is_what_one_works_out_by_hand() -> None:
    needs = plan(200, INSTANCE, PRICES, "ml.c7i.large")
    assert needs.instances == 3  # 200 / (0.7 x 100), rounded up
    assert needs.target_simultaneous == pytest.approx(1.5, abs=0.05)  # 70 x (0.7/0.6/100 + 0.01) = 1.52
    assert needs.target_per_minute == 4200
    assert needs.reserved == 18  # 3 x 200 x (0.01 wait + 0.01 + 0.01), at two thirds busy
    requests = 200 * 3600 * 730
    endpoint = 3 * 0.107 * 730
    function = requests * (0.2e-6 + 0.03 * 0.5 * 0.0000166667)
    assert needs.monthly_usd == pytest.approx(endpoint + function, rel=1e-6)
    assert needs.usd_per_million == pytest.approx(1e6 * (endpoint + function) / requests, rel=1e-6)


@pytest.mark.parametrize("traffic", [1, 100, 10_000])
@pytest.mark.parametrize("metric_seconds", [10, 60])
def test_each_request_is_answered_or_refused_once(traffic: float, metric_seconds: int) -> None:
    found = simulate(day(traffic), INSTANCE, seed(metric_seconds))
    ends = found["answered"].sum() + found["throttled"].sum() + found["turned_away"].sum() + found["left"][0]
    assert ends == pytest.approx(found["arrived"].sum())


def test_the_simultaneous_metric_scales_out_after_half_a_minute_the_other_after_three() -> None:
    rates = np.repeat([10.0, 150.0], [600, 1800])
    fast = seconds_until(simulate(rates, INSTANCE, settings(10, 1.5)), 2) - 600
    slow = seconds_until(simulate(rates, INSTANCE, settings(60, 4200)), 2) - 600
    assert 20 < fast - START_SECONDS < 45
    assert 170 < slow - START_SECONDS < 245


def test_scaling_in_waits_a_quarter_of_an_hour_with_both() -> None:
    """The peak keeps two instances at their target."""
    rates = np.repeat([140.0, 10.0], [1200, 2400])
    for metric in (settings(10, 1.5, max_instances=2), settings(60, 4200, max_instances=2)):
        found = simulate(rates, INSTANCE, metric)
        assert found["instances"][1199] == 2
        fewer = int(np.argmax(found["instances"][1200:] == 1))
        assert 14 * 60 < fewer < 17 * 60


def test_five_reserved_never_reach_a_target_of_twenty() -> None:
    """The seed's numbers, had its metric been the one that it took it for."""
    found = simulate(day(10_000), INSTANCE, Settings("seed", 10, 20, 1, 3, 5))
    in_service_at_once = found["answered"].max() * (INSTANCE.service_seconds + 0.01)
    assert in_service_at_once < 20
    assert found["throttled"].sum() > 0.9 * found["arrived"].sum()


def test_the_endpoint_holds_no_more_than_its_instances_do() -> None:
    found = simulate(np.full(300, 1000.0), INSTANCE, settings(60, 1e9))
    assert found["turned_away"].sum() > 0
    assert found["left"][0] <= 64
