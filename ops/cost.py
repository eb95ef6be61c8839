"""What the plan costs a month while nobody asks, and a million predictions; beside the seed's set-up.

    python -m ops.cost -- ops/terraform.sh -var=…

Prices are in ops/prices.json, throughput and time in build/bench/{serving,function}.json, as they were measured last on
this machine. Storage, logs, metrics and traffic come on top.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.outputs import ToolError, columns, run
from ops.terraform import planned

BENCH = Path("build/bench")
BACKBONE = "tf_efficientnet_lite0"
Prices = dict[str, Any]


@dataclass(frozen=True)
class Setup:
    """What is billed by the hour, used or not. The first fields are the output `billed` of terraform/."""

    endpoint_instance_type: str
    endpoint_instances: int
    provisioned_concurrency: int
    function_memory_mb: int
    notebook_instance_type: str | None
    interface_endpoints: int
    alarm_metrics: int = 0
    keys: int = 0


# Its write-up names the notebook and the two; the endpoint's type and the function's memory were the usual ones then.
SEED = Setup("ml.m5.large", 1, 2, 128, "ml.t3.medium", 0)


def of_plan(plan: dict[str, Any]) -> Setup:
    """From a plan as `terraform show -json` has it; what is there only with a release is in it without one, too."""
    values = plan["planned_values"]
    resources = list(_resources(values["root_module"]))
    alarms = [one["values"] for one in resources if one["type"] == "aws_cloudwatch_metric_alarm"]
    metrics = [query for alarm in alarms for query in alarm["metric_query"] or [{"metric": [alarm]}] if query["metric"]]
    keys = [one for one in resources if one["type"] == "aws_kms_key"]
    return Setup(**values["outputs"]["billed"]["value"], alarm_metrics=len(metrics), keys=len(keys))


def _resources(module: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from module.get("resources", [])
    for child in module.get("child_modules", []):
        yield from _resources(child)


def idle_usd(setup: Setup, prices: Prices) -> dict[str, float]:
    """USD a month of each thing that is billed by the hour. Raises ToolError for an instance type without a price."""
    hours = prices["hours_per_month"]
    provisioned_gb = setup.provisioned_concurrency * setup.function_memory_mb / 1024
    endpoint = setup.endpoint_instances * _hourly(prices, "endpoint", setup.endpoint_instance_type)
    notebook = _hourly(prices, "notebook", setup.notebook_instance_type) if setup.notebook_instance_type else 0
    return {
        "endpoint": hours * endpoint,
        "provisioned concurrency": hours * 3600 * provisioned_gb * prices["lambda_provisioned_usd_per_gb_second"],
        "notebook, while it runs": hours * notebook,
        "private network": hours * setup.interface_endpoints * prices["interface_endpoint_usd_per_hour"],
        "key and alarms": setup.keys * prices["key_usd_per_month"]
        + setup.alarm_metrics * prices["alarm_metric_usd_per_month"],
    }


def _hourly(prices: Prices, what: str, instance_type: str) -> float:
    try:
        return float(prices[f"{what}_usd_per_hour"][instance_type])
    except KeyError:
        raise ToolError(f"ops/prices.json has no price of {instance_type}: add it under {what}_usd_per_hour.") from None


def function_usd_per_million(prices: Mapping[str, Any], seconds: float, memory_mb: int) -> float:
    """Of requests that each hold the function for so long."""
    duration = 1e6 * seconds * memory_mb / 1024 * prices["lambda_usd_per_gb_second"]
    return float(prices["lambda_usd_per_million_requests"] + duration)


def endpoint_usd_per_million(prices: Prices, instance_type: str, requests_per_second: float) -> float:
    """Of requests that keep an instance busy all the time: the least that they can cost."""
    return _hourly(prices, "endpoint", instance_type) / 3600 / requests_per_second * 1e6


def measured(ours: bool) -> tuple[float, float] | None:
    """(requests a second of one instance, seconds that one of them holds the function); None if not measured."""
    try:
        contenders = json.loads((BENCH / "serving.json").read_text())[BACKBONE]["contenders"]
        function = json.loads((BENCH / "function.json").read_text())
    except (FileNotFoundError, KeyError):
        return None
    names = ["ours"] if ours else [name for name in contenders if name.startswith("seed_torchserve")]
    fastest = max((contenders[name] for name in names), key=lambda one: one["clients_32"]["requests_per_second"])
    overhead_ms = function["warm_overhead_ms" if ours else "warm_overhead_ms_of_the_seed"]
    seconds = (fastest["clients_1"]["p50_ms"] + overhead_ms) / 1000
    return fastest["clients_32"]["requests_per_second"], seconds


def table(setups: dict[str, Setup], prices: Prices) -> str:
    """Idle cost and cost per million, a column a set-up; the first of them is the seed's."""
    idle = {name: idle_usd(setup, prices) for name, setup in setups.items()}
    rows = [["USD a month, idle", *(f"{name:>12}" for name in setups)]]
    rows += [[f"  {item}", *(f"{one[item]:12,.2f}" for one in idle.values())] for item in next(iter(idle.values()))]
    rows.append(["  in all", *(f"{sum(one.values()):12,.2f}" for one in idle.values())])
    figures = {name: measured(ours=name != "seed") for name in setups}
    rows.append(["USD a million predictions", *("" for _ in setups)])
    endpoint, function = ["  endpoint, busy all the time"], ["  function"]
    for name, setup in setups.items():
        if found := figures[name]:
            endpoint.append(f"{endpoint_usd_per_million(prices, setup.endpoint_instance_type, found[0]):12,.2f}")
            function.append(f"{function_usd_per_million(prices, found[1], setup.function_memory_mb):12,.2f}")
        else:
            endpoint.append("not measured")
            function.append("not measured")
    rows += [endpoint, function]
    told = columns(rows)
    if None in figures.values():
        told += "\nRun `make bench-serving` and `make bench-function` to have what is not measured."
    return f"{told}\nPrices: {prices['read']}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--environment", required=True)
    parser.add_argument("terraform", nargs="+", help="Terraform, and the variables of its root")
    arguments = parser.parse_args()
    prices = json.loads((Path(__file__).parent / "prices.json").read_text())
    with planned(arguments.terraform) as (plan, _):
        print(table({"seed": SEED, arguments.environment: of_plan(plan)}, prices))


if __name__ == "__main__":
    run(main)
