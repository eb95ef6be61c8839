"""What a tuning job may ask of this stand-in, and the values that are drawn for its trials."""

import math
import random
from typing import Any

from local_aws.cloud import ServiceError

_MOST_JOBS = 100
# What a definition may hold that a training job takes as it is.
HANDED_ON = {
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
    "EnableNetworkIsolation",
    "Environment",
    "InputDataConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "RoleArn",
    "StoppingCondition",
    "VpcConfig",
}
_KNOWN = {
    "request": {"HyperParameterTuningJobName", "HyperParameterTuningJobConfig", "TrainingJobDefinition", "Tags"},
    "config": {
        "HyperParameterTuningJobObjective",
        "ParameterRanges",
        "RandomSeed",
        "ResourceLimits",
        "Strategy",
        "TrainingJobEarlyStoppingType",
    },
    "limits": {"MaxNumberOfTrainingJobs", "MaxParallelTrainingJobs"},
    "ranges": {"ContinuousParameterRanges", "IntegerParameterRanges", "CategoricalParameterRanges"},
    "definition": {*HANDED_ON, "DefinitionName", "AlgorithmSpecification", "StaticHyperParameters"},
}


def refuse_unknown(request: dict[str, Any]) -> None:
    """Say at once what this stand-in cannot do, instead of doing something else."""
    config, definition = request["HyperParameterTuningJobConfig"], request.get("TrainingJobDefinition", {})
    limits, ranges = config["ResourceLimits"], config.get("ParameterRanges", {})
    places = {"request": request, "config": config, "limits": limits, "ranges": ranges, "definition": definition}
    for place, given in places.items():
        if unknown := sorted(name for name in given.keys() - _KNOWN[place] if given[name]):
            raise ServiceError("ValidationException", f"The stand-in does not know {unknown[0]} in a tuning job.")
    if (strategy := config["Strategy"]) not in ("Bayesian", "Random"):
        raise ServiceError("ValidationException", f"The stand-in does not know the strategy {strategy}.")
    if not 1 <= limits["MaxParallelTrainingJobs"] <= limits["MaxNumberOfTrainingJobs"] <= _MOST_JOBS:
        raise ServiceError(
            "ValidationException", f"A tuning job has 1 to {_MOST_JOBS} trials, {limits} were asked for."
        )
    if not definition or not any(ranges.values()):
        raise ServiceError("ValidationException", "A tuning job needs a TrainingJobDefinition and ParameterRanges.")
    searched = [one for kind in ranges.values() for one in kind]
    if twice := {one["Name"] for one in searched} & definition.get("StaticHyperParameters", {}).keys():
        raise ServiceError("ValidationException", f"The hyperparameter {min(twice)} is both static and searched.")
    for one in searched:
        _refuse_range(one)
    metric = config["HyperParameterTuningJobObjective"]["MetricName"]
    defined = definition["AlgorithmSpecification"].get("MetricDefinitions", [])
    if metric not in [known["Name"] for known in defined]:
        raise ServiceError("ValidationException", f"The objective {metric} is none of the metrics that are defined.")


def _refuse_range(one: dict[str, Any]) -> None:
    if "Values" in one:
        return
    scale = one.get("ScalingType", "Auto")
    if scale not in ("Auto", "Linear", "Logarithmic"):
        raise ServiceError("ValidationException", f"The stand-in does not know the scale {scale} in a tuning job.")
    try:
        low, high = float(one["MinValue"]), float(one["MaxValue"])
    except ValueError:
        low = high = math.nan
    if not -math.inf < low <= high < math.inf or (scale == "Logarithmic" and low <= 0):
        name, ends = one["Name"], f"{one['MinValue']} to {one['MaxValue']}"
        raise ServiceError("ValidationException", f"The range of {name}, {ends}, cannot be searched ({scale} scale).")


def draw(ranges: dict[str, Any], chance: random.Random) -> dict[str, str]:
    """A value within each range, evenly on its scale, as the text that a hyperparameter is."""
    chosen: dict[str, str] = {}
    for one in ranges.get("ContinuousParameterRanges", []):
        chosen[one["Name"]] = repr(_between(one, chance))
    for one in ranges.get("IntegerParameterRanges", []):
        chosen[one["Name"]] = str(round(_between(one, chance)))
    for one in ranges.get("CategoricalParameterRanges", []):
        chosen[one["Name"]] = chance.choice(one["Values"])
    return chosen


def _between(one: dict[str, str], chance: random.Random) -> float:
    low, high = float(one["MinValue"]), float(one["MaxValue"])
    if one.get("ScalingType") == "Logarithmic":
        return math.exp(chance.uniform(math.log(low), math.log(high)))
    return chance.uniform(low, high)
