"""What a set-up costs, by hand; what is left over after a destroy; where a request's milliseconds went."""

from types import SimpleNamespace
from typing import Any

import pytest

from ops import cost, destroy
from ops.outputs import ToolError
from ops.trace import where_time_went

PRICES: dict[str, Any] = {
    "read": "today",
    "hours_per_month": 730,
    "endpoint_usd_per_hour": {"ml.c7i.large": 0.1, "ml.m5.large": 0.2},
    "notebook_usd_per_hour": {"ml.t3.medium": 0.05},
    "interface_endpoint_usd_per_hour": 0.01,
    "key_usd_per_month": 1.0,
    "alarm_metric_usd_per_month": 0.10,
    "lambda_usd_per_million_requests": 0.20,
    "lambda_usd_per_gb_second": 0.00002,
    "lambda_provisioned_usd_per_gb_second": 0.000004,
}


def plan() -> dict[str, Any]:
    """Two instances, provisioned concurrency 2, and an alarm of two metrics beside one of a single one."""
    billed = {
        "endpoint_instance_type": "ml.c7i.large",
        "endpoint_instances": 2,
        "provisioned_concurrency": 2,
        "function_memory_mb": 512,
        "notebook_instance_type": None,
        "interface_endpoints": 6,
    }
    rate = {"metric_query": [{"metric": []}, {"metric": [{}]}, {"metric": [{}]}]}
    alarms = [{"type": "aws_cloudwatch_metric_alarm", "values": values} for values in (rate, {"metric_query": []})]
    return {
        "planned_values": {
            "outputs": {"billed": {"value": billed}},
            "root_module": {
                "resources": [{"type": "aws_kms_key", "values": {}}],
                "child_modules": [{"resources": [], "child_modules": [{"resources": alarms}]}],
            },
        }
    }


def test_the_idle_cost_is_what_one_works_out_by_hand() -> None:
    idle = cost.idle_usd(cost.of_plan(plan()), PRICES)
    assert idle == pytest.approx(
        {
            "endpoint": 2 * 0.1 * 730,
            "provisioned concurrency": 2 * 0.5 * 0.000004 * 3600 * 730,
            "notebook, while it runs": 0,
            "private network": 6 * 0.01 * 730,
            "key and alarms": 1 + 3 * 0.1,
        }
    )


def test_a_million_predictions_cost_what_one_works_out_by_hand() -> None:
    assert cost.endpoint_usd_per_million(PRICES, "ml.c7i.large", 100) == pytest.approx(1e6 / 100 / 3600 * 0.1)
    assert cost.function_usd_per_million(PRICES, 0.02, 512) == pytest.approx(0.2 + 1e6 * 0.02 * 0.5 * 0.00002)


def test_what_is_not_measured_is_said_to_be_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(cost, "BENCH", tmp_path)
    told = cost.table({"seed": cost.SEED, "dev": cost.of_plan(plan())}, PRICES)
    assert "  function                     not measured  not measured" in told.splitlines()
    assert "Run `make bench-serving` and `make bench-function`" in told


def test_an_instance_type_without_a_price_is_named() -> None:
    with pytest.raises(ToolError, match=r"has no price of ml\.c7i\.large: add it under endpoint_usd_per_hour"):
        cost.idle_usd(cost.of_plan(plan()), {**PRICES, "endpoint_usd_per_hour": {}})


def test_a_key_that_waits_for_its_end_is_no_leftover() -> None:
    key = "arn:aws:kms:us-east-1:1:key/k"
    nothing = "Nothing is left over that bears its tags."
    assert destroy.report([]) == nothing
    assert destroy.report([(key, True)]) == f"{nothing}\n{key} is going by itself."
    with pytest.raises(ToolError, match=r"Left over by its tags after 300 s: arn:aws:s3:::b\."):
        destroy.report([(key, True), ("arn:aws:s3:::b", False)])


def test_what_is_listed_for_a_while_though_it_has_gone_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destroy, "_PAUSE_SECONDS", 0)
    answers = [[("b", False)], [("b", False)], []]
    assert destroy.wait_for_the_end(lambda: answers.pop(0)) == []
    monkeypatch.setattr(destroy, "_PATIENCE_SECONDS", 0.01)
    assert destroy.wait_for_the_end(lambda: [("b", False)]) == [("b", False)]


@pytest.mark.parametrize("held", ["Versions", "DeleteMarkers", ""])
def test_a_bucket_that_is_kept_and_not_empty_is_refused_before_anything_goes(
    monkeypatch: pytest.MonkeyPatch, held: str
) -> None:
    s3 = SimpleNamespace(list_object_versions=lambda Bucket, MaxKeys: {held: [{}]} if held else {})
    monkeypatch.setattr(destroy.boto3, "client", lambda service, region_name: s3)
    change: dict[str, Any] = {"actions": ["delete"], "before": {"bucket": "b", "force_destroy": False}}
    plan = {"resource_changes": [{"type": "aws_s3_bucket", "change": change}]}
    if held:
        with pytest.raises(ToolError, match="Nothing was destroyed: empty the bucket b by hand first"):
            destroy.refuse_full_buckets(plan, "us-east-1")
    else:
        destroy.refuse_full_buckets(plan, "us-east-1")
    change["before"]["force_destroy"] = True
    destroy.refuse_full_buckets(plan, "us-east-1")


def test_a_plan_without_any_change_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Terraform leaves resource_changes out of it."""
    asked: list[str] = []
    monkeypatch.setattr(destroy.boto3, "client", lambda service, region_name: asked.append(service))
    destroy.refuse_full_buckets({"variables": {}}, "us-east-1")
    assert asked == ["s3"]


def test_the_stages_add_up_to_what_the_caller_waited_for() -> None:
    function = {"TotalMilliseconds": 12.0, "ModelMilliseconds": 10.0}
    endpoint = {
        f"{name}_milliseconds": ms for name, ms in (("total", 8.0), ("decode", 2.0), ("queue", 1.0), ("model", 4.0))
    }
    stages = dict(where_time_went(0.020, function, endpoint))
    assert stages.pop("in all") == 20
    assert sum(stages.values()) == pytest.approx(20)
    assert stages["to the endpoint and back"] == 2
    assert stages["in the serving process"] == 1
