"""What the stand-in writes down of each role's calls, in IAM's own terms."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from policy_sentry.querying.actions import get_actions_for_service

from local_aws.calls import names
from local_aws.calls.record import Record
from tests.conftest import StandInUnderTest, run_local_aws

ROLE = "arn:aws:iam::123456789012:role/caller"
HERE = "us-east-1:123456789012"


@pytest.fixture
def caller(stand_in: StandInUnderTest) -> Iterator[str]:
    """ARN of a role that no other test uses."""
    iam = stand_in.client("iam")
    iam.create_role(RoleName="caller", AssumeRolePolicyDocument="{}")
    yield ROLE
    iam.delete_role(RoleName="caller")


def test_iam_knows_every_name_in_the_table() -> None:
    prefixes = {action.split(":")[0] for action in names.every_action()}
    known = {action for prefix in prefixes for action in get_actions_for_service(prefix)}
    assert names.every_action() - known == set()


# (service, operation, its arguments, what it asks of IAM: action, resource, condition keys). None of what they name
# need exist: IAM is asked before anybody looks.
REQUESTS: list[tuple[str, str, dict[str, Any], list[tuple[str, str, dict[str, str]]]]] = [
    (
        "s3",
        "list_objects_v2",
        {"Bucket": "no-bucket", "Prefix": "a/"},
        [("s3:ListBucket", "arn:aws:s3:::no-bucket", {"s3:prefix": "a/"})],
    ),
    ("s3", "head_bucket", {"Bucket": "no-bucket"}, [("s3:ListBucket", "arn:aws:s3:::no-bucket", {})]),
    (
        "s3",
        "head_object",
        {"Bucket": "no-bucket", "Key": "a b/c"},
        [("s3:GetObject", "arn:aws:s3:::no-bucket/a b/c", {})],
    ),
    (
        "s3",
        "get_object",
        {"Bucket": "no-bucket", "Key": "a", "VersionId": "1"},
        [("s3:GetObjectVersion", "arn:aws:s3:::no-bucket/a", {})],
    ),
    (
        "s3",
        "delete_objects",
        {"Bucket": "no-bucket", "Delete": {"Objects": [{"Key": "b"}, {"Key": "c", "VersionId": "1"}]}},
        [
            ("s3:DeleteObject", "arn:aws:s3:::no-bucket/b", {}),
            ("s3:DeleteObjectVersion", "arn:aws:s3:::no-bucket/c", {}),
        ],
    ),
    (
        "s3",
        "get_bucket_encryption",
        {"Bucket": "no-bucket"},
        [("s3:GetEncryptionConfiguration", "arn:aws:s3:::no-bucket", {})],
    ),
    (
        "s3",
        "create_multipart_upload",
        {"Bucket": "no-bucket", "Key": "d"},
        [("s3:PutObject", "arn:aws:s3:::no-bucket/d", {})],
    ),
    (
        "sagemaker-runtime",
        "invoke_endpoint",
        {"EndpointName": "dogs", "Body": b"x"},
        [("sagemaker:InvokeEndpoint", f"arn:aws:sagemaker:{HERE}:endpoint/dogs", {})],
    ),
    (
        "sagemaker",
        "create_endpoint",
        {"EndpointName": "dogs", "EndpointConfigName": "one"},
        [
            ("sagemaker:CreateEndpoint", f"arn:aws:sagemaker:{HERE}:endpoint/dogs", {}),
            ("sagemaker:CreateEndpoint", f"arn:aws:sagemaker:{HERE}:endpoint-config/one", {}),
        ],
    ),
    (
        "sagemaker",
        "create_training_job",
        {
            "TrainingJobName": "../refused",
            "RoleArn": ROLE,
            "AlgorithmSpecification": {"TrainingInputMode": "File"},
            "OutputDataConfig": {"S3OutputPath": "s3://no-bucket"},
            "ResourceConfig": {},
            "StoppingCondition": {},
            "Tags": [{"Key": "Project", "Value": "dogs"}],
        },
        [
            (
                "sagemaker:CreateTrainingJob",
                f"arn:aws:sagemaker:{HERE}:training-job/../refused",
                {"aws:RequestTag/Project": "dogs"},
            ),
            (
                "sagemaker:AddTags",
                f"arn:aws:sagemaker:{HERE}:training-job/../refused",
                {"aws:RequestTag/Project": "dogs"},
            ),
            ("iam:PassRole", ROLE, {"iam:PassedToService": "sagemaker.amazonaws.com"}),
        ],
    ),
    (
        "sagemaker",
        "create_hyper_parameter_tuning_job",
        {
            "HyperParameterTuningJobName": "search-refused",
            "HyperParameterTuningJobConfig": {
                "Strategy": "Grid",
                "ResourceLimits": {"MaxParallelTrainingJobs": 1},
            },
            "TrainingJobDefinition": {
                "RoleArn": ROLE,
                "AlgorithmSpecification": {"TrainingInputMode": "File"},
                "OutputDataConfig": {"S3OutputPath": "s3://no-bucket"},
                "StoppingCondition": {},
            },
        },
        [
            (
                "sagemaker:CreateHyperParameterTuningJob",
                f"arn:aws:sagemaker:{HERE}:hyper-parameter-tuning-job/search-refused",
                {},
            ),
            ("iam:PassRole", ROLE, {"iam:PassedToService": "sagemaker.amazonaws.com"}),
        ],
    ),
    *(
        (
            "sagemaker",
            operation,
            {"HyperParameterTuningJobName": "search-nothing"},
            [(f"sagemaker:{action}", f"arn:aws:sagemaker:{HERE}:hyper-parameter-tuning-job/search-nothing", {})],
        )
        for operation, action in (
            ("describe_hyper_parameter_tuning_job", "DescribeHyperParameterTuningJob"),
            ("list_training_jobs_for_hyper_parameter_tuning_job", "ListTrainingJobsForHyperParameterTuningJob"),
            ("stop_hyper_parameter_tuning_job", "StopHyperParameterTuningJob"),
        )
    ),
    (
        "lambda",
        "invoke",
        {"FunctionName": "dogs", "Qualifier": "live"},
        [("lambda:InvokeFunction", f"arn:aws:lambda:{HERE}:function:dogs:live", {})],
    ),
    (
        "logs",
        "put_log_events",
        {"logGroupName": "/dogs", "logStreamName": "a/b", "logEvents": [{"timestamp": 1, "message": "a"}]},
        [("logs:PutLogEvents", f"arn:aws:logs:{HERE}:log-group:/dogs:log-stream:a/b", {})],
    ),
    (
        "logs",
        "delete_log_group",
        {"logGroupName": "/dogs"},
        [("logs:DeleteLogGroup", f"arn:aws:logs:{HERE}:log-group:/dogs:log-stream:", {})],
    ),
    (
        "cloudwatch",
        "put_metric_data",
        {"Namespace": "Dogs", "MetricData": []},
        [("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "Dogs"})],
    ),
    (
        "ssm",
        "get_parameters",
        {"Names": ["/dogs/a", "/aws/service/b"]},
        [
            ("ssm:GetParameters", f"arn:aws:ssm:{HERE}:parameter/dogs/a", {}),
            ("ssm:GetParameters", "arn:aws:ssm:us-east-1::parameter/aws/service/b", {}),
        ],
    ),
    (
        "iam",
        "delete_role_policy",
        {"RoleName": "no-role", "PolicyName": "a"},
        [("iam:DeleteRolePolicy", "arn:aws:iam::123456789012:role/no-role", {})],
    ),
    (
        "budgets",
        "describe_budget",
        {"AccountId": "123456789012", "BudgetName": "dogs"},
        [("budgets:ViewBudget", "arn:aws:budgets::123456789012:budget/dogs", {})],
    ),
    (
        "application-autoscaling",
        "deregister_scalable_target",
        {
            "ServiceNamespace": "sagemaker",
            "ResourceId": "endpoint/dogs/variant/a",
            "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        },
        [
            (
                "application-autoscaling:DeregisterScalableTarget",
                f"arn:aws:application-autoscaling:{HERE}:scalable-target/*",
                {
                    "application-autoscaling:scalable-dimension": "sagemaker:variant:DesiredInstanceCount",
                    "application-autoscaling:service-namespace": "sagemaker",
                },
            )
        ],
    ),
    (
        "codebuild",
        "create_project",
        {
            "name": "dogs",
            "source": {"type": "NO_SOURCE"},  # which moto refuses
            "artifacts": {"type": "NO_ARTIFACTS"},
            "environment": {"type": "LINUX_CONTAINER", "image": "some", "computeType": "BUILD_GENERAL1_SMALL"},
            "serviceRole": ROLE,
            "tags": [{"key": "Project", "value": "dogs"}],
        },
        [
            ("codebuild:CreateProject", f"arn:aws:codebuild:{HERE}:project/dogs", {"aws:RequestTag/Project": "dogs"}),
            ("iam:PassRole", ROLE, {"iam:PassedToService": "codebuild.amazonaws.com"}),
        ],
    ),
    (
        "codebuild",
        "batch_get_projects",
        {"names": ["dogs", f"arn:aws:codebuild:{HERE}:project/cats"]},
        [
            ("codebuild:BatchGetProjects", f"arn:aws:codebuild:{HERE}:project/dogs", {}),
            ("codebuild:BatchGetProjects", f"arn:aws:codebuild:{HERE}:project/cats", {}),
        ],
    ),
    (
        "ecr",
        "delete_lifecycle_policy",
        {"repositoryName": "dogs"},
        [("ecr:DeleteLifecyclePolicy", f"arn:aws:ecr:{HERE}:repository/dogs", {})],
    ),
    ("ec2", "describe_vpcs", {}, [("ec2:DescribeVpcs", "*", {})]),
    (
        "ec2",
        "delete_security_group",
        {"GroupId": "sg-0123456789abcdef0"},
        [("ec2:DeleteSecurityGroup", f"arn:aws:ec2:{HERE}:security-group/sg-0123456789abcdef0", {})],
    ),
    ("sts", "get_caller_identity", {}, []),  # which no policy can forbid
]


@pytest.mark.parametrize(
    ("service", "operation", "arguments", "asked"), REQUESTS, ids=[f"{row[0]}-{row[1]}" for row in REQUESTS]
)
def test_a_request_is_recorded_as_iam_would_be_asked(
    stand_in: StandInUnderTest,
    caller: str,
    service: str,
    operation: str,
    arguments: dict[str, Any],
    asked: list[tuple[str, str, dict[str, str]]],
) -> None:
    before = stand_in.calls_of_role(caller)
    with contextlib.suppress(ClientError):
        getattr(stand_in.client_of_role(service, caller), operation)(**arguments)
    after = [call for call in stand_in.calls_of_role(caller) if call not in before]
    recorded = [(call["action"], call["resource"], call["context"]) for call in after]
    assert sorted(recorded, key=str) == sorted(asked, key=str)


def test_tags_of_what_exists_and_of_what_is_made_are_told_apart(stand_in: StandInUnderTest, caller: str) -> None:
    ec2 = stand_in.client_of_role("ec2", caller)
    tags = [{"ResourceType": "vpc", "Tags": [{"Key": "Project", "Value": "dogs"}]}]
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16", TagSpecifications=tags)["Vpc"]["VpcId"]
    ec2.delete_vpc(VpcId=vpc)
    calls = {(call["action"], call["resource"]): call["context"] for call in stand_in.calls_of_role(caller)}
    asked = {"aws:RequestTag/Project": "dogs"}
    assert calls["ec2:CreateVpc", f"arn:aws:ec2:{HERE}:vpc/*"] == asked
    assert calls["ec2:CreateTags", f"arn:aws:ec2:{HERE}:vpc/*"] == {**asked, "ec2:CreateAction": "CreateVpc"}
    assert calls["ec2:DeleteVpc", f"arn:aws:ec2:{HERE}:vpc/{vpc}"] == {"aws:ResourceTag/Project": "dogs"}


def test_a_launch_template_asks_for_what_it_names(stand_in: StandInUnderTest, caller: str) -> None:
    ec2, iam = stand_in.client("ec2"), stand_in.client("iam")
    image = "/aws/service/deeplearning/ami/x86_64/some-pytorch-amazon-linux-2023/latest/ami-id"
    iam.create_instance_profile(InstanceProfileName="calls")
    iam.add_role_to_instance_profile(InstanceProfileName="calls", RoleName="caller")
    data = {"ImageId": f"resolve:ssm:{image}", "IamInstanceProfile": {"Name": "calls"}}
    template = ec2.create_launch_template(LaunchTemplateName="calls", LaunchTemplateData=data)["LaunchTemplate"]
    named = {"LaunchTemplateId": template["LaunchTemplateId"], "Version": "1"}
    made = stand_in.client_of_role("ec2", caller).run_instances(MinCount=1, MaxCount=1, LaunchTemplate=named)
    calls = [(call["action"], call["resource"], call["context"]) for call in stand_in.calls_of_role(caller)]
    assert ("ssm:GetParameters", f"arn:aws:ssm:us-east-1::parameter{image}", {}) in calls
    assert ("iam:PassRole", ROLE, {"iam:PassedToService": "ec2.amazonaws.com"}) in calls
    assert ("ec2:RunInstances", f"arn:aws:ec2:{HERE}:launch-template/{template['LaunchTemplateId']}", {}) in calls
    ec2.terminate_instances(InstanceIds=[made["Instances"][0]["InstanceId"]])
    ec2.delete_launch_template(LaunchTemplateName="calls")
    iam.remove_role_from_instance_profile(InstanceProfileName="calls", RoleName="caller")
    iam.delete_instance_profile(InstanceProfileName="calls")


def test_an_encrypted_bucket_needs_its_key_too(stand_in: StandInUnderTest, caller: str) -> None:
    key = stand_in.client("kms").create_key()["KeyMetadata"]["Arn"]
    s3, bucket = stand_in.client("s3"), "encrypted-in-calls"
    s3.create_bucket(Bucket=bucket)
    default = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [default]})
    as_role = stand_in.client_of_role("s3", caller)
    via = {"kms:ViaService": "s3.us-east-1.amazonaws.com"}

    as_role.put_object(Bucket=bucket, Key="a", Body=b"a")
    uses = [(call["action"], call["context"]) for call in stand_in.calls_of_role(caller) if call["resource"] == key]
    assert uses == [("kms:GenerateDataKey", via)]
    as_role.get_object(Bucket=bucket, Key="a")["Body"].read()
    uses = [(call["action"], call["context"]) for call in stand_in.calls_of_role(caller) if call["resource"] == key]
    assert sorted(uses, key=str) == [("kms:Decrypt", via), ("kms:GenerateDataKey", via)]

    s3.delete_object(Bucket=bucket, Key="a")
    s3.delete_bucket(Bucket=bucket)


def test_what_no_role_calls_is_nobodys(stand_in: StandInUnderTest) -> None:
    before = run_local_aws(stand_in.home.path, "calls").stdout
    stand_in.client("s3").list_buckets()
    assert run_local_aws(stand_in.home.path, "calls").stdout == before


def test_many_objects_of_one_place_share_a_few_lines_and_splits_are_told_apart() -> None:
    record = Record()
    for number in range(100):
        for split in ("train", "valid"):
            record.note_object(ROLE, "GetObject", "a-bucket", f"datasets/dogs/{split}/class/{number}.jpg")
    record.note_object(ROLE, "GetObject", "a-bucket", "datasets/cats/train/class/1.jpg")
    calls = [json.loads(line) for line in record.lines().splitlines()]
    assert len(calls) == 65
    assert sum(call["count"] for call in calls) == 201
    assert sum(call["count"] for call in calls if "/valid/" in call["resource"]) == 100
    assert "arn:aws:s3:::a-bucket/datasets/cats/train/class/1.jpg" in {call["resource"] for call in calls}
