"""Searches whose trials really run, under the real toolkit: a script whose loss depends on what was chosen."""

import io
import random
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws.tuning_requests import draw
from tests.conftest import StandInUnderTest, wait_for
from tests.local_aws.test_training_jobs import IMAGE

BUCKET = "tuning-tests"
SCRIPT = b"""
import argparse, sys

parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float)
parser.add_argument("--size", type=int)
parser.add_argument("--fails")
arguments = parser.parse_args()
if arguments.fails or arguments.size == 2:  # the third trial that seed 7 draws
    sys.exit("This trial does not work.")
print(f"loss={(arguments.rate - 0.3) ** 2 + arguments.size:.6f};", flush=True)
"""
RANGES = {
    "ContinuousParameterRanges": [{"Name": "rate", "MinValue": "0.01", "MaxValue": "1", "ScalingType": "Logarithmic"}],
    "IntegerParameterRanges": [{"Name": "size", "MinValue": "1", "MaxValue": "3", "ScalingType": "Linear"}],
}

PARENTS = {"ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "search-a"}]}


def scaled(scale: str, low: str) -> dict[str, Any]:
    """Ranges of the rate alone, from `low` to 1."""
    return {"ContinuousParameterRanges": [{"Name": "rate", "MinValue": low, "MaxValue": "1", "ScalingType": scale}]}


@pytest.fixture(scope="module")
def role(stand_in: StandInUnderTest) -> Iterator[str]:
    """A bucket with the source, and a role. Yields the role's ARN."""
    s3, iam = stand_in.client("s3"), stand_in.client("iam")
    s3.create_bucket(Bucket=BUCKET)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as source:
        member = tarfile.TarInfo("train.py")
        member.size = len(SCRIPT)
        source.addfile(member, io.BytesIO(SCRIPT))
    s3.put_object(Bucket=BUCKET, Key="source.tar.gz", Body=buffer.getvalue())
    yield iam.create_role(RoleName="tuning-tests", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    for item in s3.list_objects_v2(Bucket=BUCKET)["Contents"]:
        s3.delete_object(Bucket=BUCKET, Key=item["Key"])
    s3.delete_bucket(Bucket=BUCKET)
    iam.delete_role(RoleName="tuning-tests")


def request(role: str, name: str, *, jobs: int = 3, fails: bool = False, **changes: Any) -> dict[str, Any]:
    static = {"sagemaker_program": "train.py", "sagemaker_submit_directory": f"s3://{BUCKET}/source.tar.gz"}
    config = {
        "Strategy": "Bayesian",
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": jobs, "MaxParallelTrainingJobs": min(2, jobs)},
        "ParameterRanges": RANGES,
        "RandomSeed": 7,
    }
    definition = {
        "StaticHyperParameters": static | ({"fails": "yes"} if fails else {}),
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "loss", "Regex": r"loss=([0-9.]+);"}],
        },
        "RoleArn": role,
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/runs/{name}"},
        "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 120},
    }
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {**config, **changes.pop("config", {})},
        "TrainingJobDefinition": {**definition, **changes.pop("definition", {})},
        **changes,
    }


def ended(stand_in: StandInUnderTest, name: str) -> dict[str, Any]:
    """The search's description once it has ended."""
    sagemaker = stand_in.client("sagemaker")

    def describe() -> dict[str, Any]:
        return dict(sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name))

    wait_for(lambda: describe()["HyperParameterTuningJobStatus"] not in ("InProgress", "Stopping"), 120)
    return describe()


def test_the_best_trial_is_the_best_that_was_measured_and_one_that_fails_is_survived(
    stand_in: StandInUnderTest, role: str
) -> None:
    sagemaker = stand_in.client("sagemaker")
    sagemaker.create_hyper_parameter_tuning_job(**request(role, "search-a"))
    search = ended(stand_in, "search-a")
    assert search["HyperParameterTuningJobStatus"] == "Completed", search
    assert (search["TrainingJobStatusCounters"]["Completed"], search["ObjectiveStatusCounters"]["Failed"]) == (2, 1)
    listed = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName="search-a")
    *measured, failed = listed["TrainingJobSummaries"]
    chosen = [trial["TunedHyperParameters"] for trial in (*measured, failed)]
    assert len({tuple(sorted(values.items())) for values in chosen}) == 3
    assert "FinalHyperParameterTuningJobObjectiveMetric" not in failed
    assert "train.py" in failed["FailureReason"]
    losses = [trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for trial in measured]
    for values, loss in zip(chosen[:2], losses, strict=True):
        assert loss == pytest.approx((float(values["rate"]) - 0.3) ** 2 + int(values["size"]), abs=1e-6)
    best = search["BestTrainingJob"]
    assert best["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == min(losses) < max(losses)
    job = sagemaker.describe_training_job(TrainingJobName=best["TrainingJobName"])
    assert job["HyperParameters"]["rate"] == best["TunedHyperParameters"]["rate"]


def test_a_search_whose_trials_all_fail_tells_one_ones_reason(stand_in: StandInUnderTest, role: str) -> None:
    stand_in.client("sagemaker").create_hyper_parameter_tuning_job(**request(role, "search-b", jobs=1, fails=True))
    search = ended(stand_in, "search-b")
    assert search["HyperParameterTuningJobStatus"] == "Failed"
    assert "BestTrainingJob" not in search
    assert "train.py --fails yes" in search["FailureReason"]


def test_a_search_that_is_stopped_stops_its_trials_and_starts_no_more(stand_in: StandInUnderTest, role: str) -> None:
    sagemaker, name = stand_in.client("sagemaker"), "search-c"
    sagemaker.create_hyper_parameter_tuning_job(**request(role, name, jobs=50))
    sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    search = ended(stand_in, name)
    assert search["HyperParameterTuningJobStatus"] == "Stopped"
    counters = search["TrainingJobStatusCounters"]
    assert counters["Stopped"] == sum(counters.values()) <= 2
    with pytest.raises(ClientError, match="in status Stopped"):
        sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": {"Strategy": "Hyperband"}}, "does not know the strategy Hyperband"),
        ({"Autotune": {"Mode": "Enabled"}}, "does not know Autotune"),
        ({"WarmStartConfig": {"WarmStartType": "TransferLearning", **PARENTS}}, "does not know WarmStartConfig"),
        ({"config": {"TuningJobCompletionCriteria": {"TargetObjectiveMetricValue": 1}}}, "TuningJobCompletionCriteria"),
        ({"config": {"ParameterRanges": scaled("ReverseLogarithmic", "0.1")}}, "the scale ReverseLogarithmic"),
        ({"config": {"ParameterRanges": scaled("Logarithmic", "0")}}, r"range of rate, 0 to 1, cannot be searched"),
        ({"config": {"ParameterRanges": scaled("Linear", "2")}}, r"range of rate, 2 to 1, cannot be searched"),
        ({"config": {"ParameterRanges": scaled("Linear", "x")}}, r"range of rate, x to 1, cannot be searched"),
        ({"config": {"ParameterRanges": {}}}, "needs a TrainingJobDefinition and ParameterRanges"),
        ({"definition": {"StaticHyperParameters": {"size": "1"}}}, "size is both static and searched"),
        ({"definition": {"RetryStrategy": {"MaximumRetryAttempts": 1}}}, "does not know RetryStrategy"),
        ({"definition": {"RoleArn": "arn:aws:iam::123456789012:role/nobody"}}, "ensure that the role exists"),
        ({"jobs": 101}, "has 1 to 100 trials"),
        (
            {"config": {"HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "other"}}},
            "objective other is none of the metrics",
        ),
        ({"HyperParameterTuningJobName": "../../precious"}, "failed to satisfy constraint"),
    ],
)
def test_what_cannot_be_searched_is_refused_at_once(
    stand_in: StandInUnderTest, role: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClientError, match=message):
        stand_in.client("sagemaker").create_hyper_parameter_tuning_job(**request(role, "refused", **changes))


def test_values_are_drawn_from_their_ranges_each_on_its_scale() -> None:
    chance = random.Random(0)  # noqa: S311
    drawn = [draw(RANGES, chance) for _ in range(400)]
    rates = sorted(float(values["rate"]) for values in drawn)
    assert 0.01 <= rates[0] < rates[-1] <= 1
    assert 0.06 < rates[200] < 0.16  # the middle of a logarithmic range is the root of its ends' product, 0.1
    assert {values["size"] for values in drawn} == {"1", "2", "3"}
