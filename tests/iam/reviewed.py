"""What each role of the product may do, line by line: the list that a reviewer reads.

The tests hold it against the policies that Terraform renders, in both directions. A permission that stands in a policy
and not here fails, and so does a line here that no policy grants.
"""

from typing import NamedTuple

ACCOUNT = "123456789012"
PREFIX = "dogbreed-local"  # the stand-in's environment, so that what it records is measured by the same list
DATA = f"arn:aws:s3:::{PREFIX}-data-{ACCOUNT}"
ARTIFACTS = f"arn:aws:s3:::{PREFIX}-artifacts-{ACCOUNT}"
LOGS = f"arn:aws:s3:::{PREFIX}-logs-{ACCOUNT}"
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/00000000-0000-4000-8000-000000000000"
TOPIC = f"arn:aws:sns:us-east-1:{ACCOUNT}:{PREFIX}-alerts"
LOG_GROUP = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group"
EC2 = f"arn:aws:ec2:us-east-1:{ACCOUNT}"
SAGEMAKER = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}"
TRAINING_JOBS = f"{SAGEMAKER}:training-job/run-*"
SEARCHES = f"{SAGEMAKER}:hyper-parameter-tuning-job/search-*"
TRIALS = f"{SAGEMAKER}:training-job/search-*"
AWS_IMAGES = "arn:aws:ecr:us-east-1:763104351884:repository/*"
OWN_IMAGE = f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/{PREFIX}-serving"
EVERYTHING = "*"
SOURCE_SHA256 = "0123456789abcdef" * 4  # of the run that is rendered

THROUGH_S3 = {"kms:ViaService": "s3.us-east-1.amazonaws.com"}
FOR_THIS_ACCOUNT = {"aws:SourceAccount": ACCOUNT}


class Grant(NamedTuple):
    """`actions` on `resources`, while each condition key in `when` has its value (several: separated by spaces)."""

    actions: str
    resources: str
    why: str
    when: dict[str, str] = {}  # noqa: RUF012 (nobody writes to it)


class Trust(NamedTuple):
    """`principals` may `actions` on the role, bucket, key or topic in whose own policy this stands."""

    principals: str
    actions: str
    why: str
    when: dict[str, str] = {}  # noqa: RUF012
    resources: str = ""  # where it is not the owner of the policy itself


ROLES: dict[str, list[Grant]] = {
    f"{PREFIX}-predict-function": [
        Grant("sagemaker:InvokeEndpoint", f"{SAGEMAKER}:endpoint/{PREFIX}", "the one thing"),
        Grant("logs:CreateLogStream logs:PutLogEvents", f"{LOG_GROUP}:/aws/lambda/{PREFIX}-predict:*", "its log"),
        Grant("xray:PutTelemetryRecords xray:PutTraceSegments", EVERYTHING, "traces; these actions know no resource"),
    ],
    f"{PREFIX}-endpoint": [
        Grant("s3:GetObject", f"{ARTIFACTS}/runs/*/output/model.tar.gz", "the model that it serves"),
        Grant("s3:PutObject", f"{ARTIFACTS}/capture/*", "data capture"),
        Grant("kms:Decrypt kms:GenerateDataKey", KEY, "both buckets are encrypted", THROUGH_S3),
        Grant(
            "logs:CreateLogStream logs:DescribeLogStreams logs:PutLogEvents",
            f"{LOG_GROUP}:/aws/sagemaker/Endpoints/{PREFIX} {LOG_GROUP}:/aws/sagemaker/Endpoints/{PREFIX}:*",
            "the container's log",
        ),
        Grant(
            "cloudwatch:PutMetricData",
            EVERYTHING,
            "CPU and memory; a metric is no resource, its namespace is its only bound",
            {"cloudwatch:namespace": "/aws/sagemaker/Endpoints"},
        ),
        Grant(
            "cloudwatch:DescribeAlarms",
            f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm:{PREFIX}-rollback-errors "
            f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm:{PREFIX}-rollback-latency",
            "a deployment goes back when one of them fires",
        ),
        Grant("ecr:GetAuthorizationToken", EVERYTHING, "knows no resource; what it opens, the next line bounds"),
        Grant(
            "ecr:BatchCheckLayerAvailability ecr:BatchGetImage ecr:GetDownloadUrlForLayer",
            OWN_IMAGE,
            "the serving image",
        ),
    ],
    f"{PREFIX}-serving-image": [
        Grant("s3:GetObject s3:GetObjectVersion", f"{ARTIFACTS}/source/*.zip", "what the image is built from"),
        Grant("kms:Decrypt", KEY, "the bucket is encrypted", THROUGH_S3),
        Grant(
            "logs:CreateLogStream logs:PutLogEvents",
            f"{LOG_GROUP}:/aws/codebuild/{PREFIX}-serving-image:*",
            "the builds' log",
        ),
        Grant("ecr:GetAuthorizationToken", EVERYTHING, "knows no resource; what it opens, the next line bounds"),
        Grant(
            "ecr:BatchCheckLayerAvailability ecr:BatchGetImage ecr:CompleteLayerUpload ecr:InitiateLayerUpload "
            "ecr:PutImage ecr:UploadLayerPart",
            OWN_IMAGE,
            "pushes the serving image; deletes none, and tags are immutable",
        ),
    ],
    f"{PREFIX}-training": [
        Grant("s3:ListBucket", DATA, "finds the photographs", {"s3:prefix": "datasets/*"}),
        Grant("s3:GetObject", f"{DATA}/datasets/*", "reads the photographs"),
        Grant("s3:ListBucket", ARTIFACTS, "finds its inputs", {"s3:prefix": "source/* wheels/* checkpoints/*"}),
        Grant("s3:GetObject", f"{ARTIFACTS}/source/* {ARTIFACTS}/wheels/*", "reads its code and packages"),
        Grant(
            "s3:GetObject s3:PutObject s3:DeleteObject",
            f"{ARTIFACTS}/checkpoints/*",
            "SageMaker mirrors the checkpoint folder both ways, deletions too",
        ),
        Grant("s3:PutObject", f"{ARTIFACTS}/runs/*", "writes the model, never reads or deletes one"),
        Grant("kms:Decrypt kms:GenerateDataKey", KEY, "both buckets are encrypted", THROUGH_S3),
        Grant(
            "logs:CreateLogGroup logs:CreateLogStream logs:DescribeLogStreams logs:PutLogEvents",
            f"{LOG_GROUP}:/aws/sagemaker/TrainingJobs {LOG_GROUP}:/aws/sagemaker/TrainingJobs:*",
            "the jobs' log, one group for the whole account: whoever is first makes it",
        ),
        Grant(
            "cloudwatch:PutMetricData",
            EVERYTHING,
            "CPU and memory; a metric is no resource, its namespace is its only bound",
            {"cloudwatch:namespace": "/aws/sagemaker/TrainingJobs"},
        ),
        Grant("ecr:GetAuthorizationToken", EVERYTHING, "knows no resource; what it opens, the next line bounds"),
        Grant(
            "ecr:BatchCheckLayerAvailability ecr:BatchGetImage ecr:GetDownloadUrlForLayer",
            AWS_IMAGES,
            "AWS's training images",
        ),
    ],
    f"{PREFIX}-notebook": [
        Grant("s3:ListBucket", DATA, "finds the photographs", {"s3:prefix": "datasets/*"}),
        Grant("s3:GetObject s3:PutObject", f"{DATA}/datasets/*", "looks at photographs and adds some, deletes none"),
        Grant(
            "s3:ListBucket",
            ARTIFACTS,
            "finds sources, results and staged wheels",
            {"s3:prefix": "source/* runs/* wheels/*"},
        ),
        Grant("s3:GetObject s3:PutObject", f"{ARTIFACTS}/source/*", "brings the code of a job along"),
        Grant("s3:GetObject", f"{ARTIFACTS}/runs/*", "looks at results, and makes none by hand"),
        Grant("kms:Decrypt kms:GenerateDataKey", KEY, "both buckets are encrypted", THROUGH_S3),
        Grant(
            "sagemaker:AddTags sagemaker:DescribeTrainingJob sagemaker:StopTrainingJob",
            TRAINING_JOBS,
            "follows the jobs that it started; tags are part of creating one",
        ),
        Grant(
            "sagemaker:DescribeHyperParameterTuningJob sagemaker:ListTrainingJobsForHyperParameterTuningJob "
            "sagemaker:StopHyperParameterTuningJob",
            SEARCHES,
            "follows the searches that it started",
        ),
        Grant("sagemaker:DescribeTrainingJob", TRIALS, "looks at their trials, which the service starts and stops"),
        Grant(
            "iam:PassRole",
            f"arn:aws:iam::{ACCOUNT}:role/{PREFIX}-training",
            "a job needs its role; no other role, and to no other service",
            {"iam:PassedToService": "sagemaker.amazonaws.com"},
        ),
        Grant(
            "logs:DescribeLogStreams",
            f"{LOG_GROUP}:/aws/sagemaker/TrainingJobs {LOG_GROUP}:/aws/sagemaker/TrainingJobs:*",
            "finds a job's log",
        ),
        Grant("logs:GetLogEvents", f"{LOG_GROUP}:/aws/sagemaker/TrainingJobs:log-stream:run-*", "reads a job's log"),
        Grant(
            "logs:CreateLogGroup logs:CreateLogStream logs:DescribeLogStreams",
            f"{LOG_GROUP}:/aws/sagemaker/NotebookInstances {LOG_GROUP}:/aws/sagemaker/NotebookInstances:*",
            "the notebooks' log, one group for the whole account: whoever is first makes it",
        ),
        Grant(
            "logs:PutLogEvents",
            f"{LOG_GROUP}:/aws/sagemaker/NotebookInstances:log-stream:{PREFIX}-notebook/*",
            "its own log",
        ),
        Grant("sagemaker:StopNotebookInstance", f"{SAGEMAKER}:notebook-instance/{PREFIX}-notebook", "stops when idle"),
    ],
}
EC2_RUN: dict[str, list[Grant]] = {
    f"{PREFIX}-ec2-run-a": [
        Grant("s3:ListBucket", DATA, "finds the photographs", {"s3:prefix": "datasets/dogs/*"}),
        Grant("s3:GetObject", f"{DATA}/datasets/dogs/*", "reads the photographs"),
        Grant("s3:ListBucket", ARTIFACTS, "finds its checkpoints", {"s3:prefix": "checkpoints/run-a/*"}),
        Grant("s3:GetObject", f"{ARTIFACTS}/source/{SOURCE_SHA256}.tar.gz", "reads its code, and no other"),
        Grant(
            "s3:GetObject s3:PutObject s3:DeleteObject",
            f"{ARTIFACTS}/checkpoints/run-a/*",
            "mirrors its checkpoint folder both ways, deletions too",
        ),
        Grant("s3:PutObject", f"{ARTIFACTS}/runs/run-a/*", "writes its model, log and status, and no other run's"),
        Grant("kms:Decrypt kms:GenerateDataKey", KEY, "both buckets are encrypted", THROUGH_S3),
        Grant(
            "ssmmessages:CreateControlChannel ssmmessages:CreateDataChannel ssmmessages:OpenControlChannel "
            "ssmmessages:OpenDataChannel",
            EVERYTHING,
            "Session Manager instead of SSH; these actions know no resource",
        ),
        Grant("ssm:UpdateInstanceInformation", f"{EC2}:instance/*", "the same; the instance has no id before it runs"),
    ],
}
START = "sagemaker:CreateHyperParameterTuningJob sagemaker:CreateTrainingJob"
OUTSIDE_A_NETWORK: dict[str, list[Grant]] = {
    f"{PREFIX}-notebook": [
        Grant(START, f"{SEARCHES} {TRAINING_JOBS}", "starts a training job, or a search"),
    ],
}

SUBNETS = f"{EC2}:subnet/subnet-a {EC2}:subnet/subnet-b"
INTERFACES = f"{EC2}:network-interface/*"
IN_A_NETWORK: dict[str, list[Grant]] = {
    role: [
        Grant(
            "ec2:CreateNetworkInterface",
            f"{SUBNETS} {INTERFACES} {EC2}:security-group/sg-workload",
            "SageMaker puts an interface into our subnets, in the role's name",
        ),
        Grant(
            "ec2:CreateNetworkInterfacePermission ec2:DeleteNetworkInterface ec2:DeleteNetworkInterfacePermission",
            INTERFACES,
            "lends that interface to itself and takes it away; only interfaces in our subnets",
            {"ec2:Subnet": SUBNETS},
        ),
        Grant(
            "ec2:DescribeDhcpOptions ec2:DescribeNetworkInterfaces ec2:DescribeSecurityGroups ec2:DescribeSubnets "
            "ec2:DescribeVpcs",
            EVERYTHING,
            "looks at the network; these actions know no resource",
        ),
    ]
    for role in (f"{PREFIX}-training", f"{PREFIX}-endpoint", f"{PREFIX}-notebook")
}
IN_A_NETWORK[f"{PREFIX}-notebook"].append(
    Grant(
        START,
        f"{SEARCHES} {TRAINING_JOBS}",
        "starts a training job or a search, and none outside the network",
        {"sagemaker:VpcSubnets": "subnet-a subnet-b"},
    )
)

# What the end-to-end path on the stand-in never calls, because only AWS does, and where AWS says so.
_ROLES_PAGE = 'SageMaker AI Developer Guide, "How to use SageMaker AI execution roles"'
_PULL = "ecr:BatchCheckLayerAvailability ecr:BatchGetImage ecr:GetAuthorizationToken ecr:GetDownloadUrlForLayer"
ONLY_ON_AWS: dict[str, dict[str, str]] = {
    f"{PREFIX}-predict-function": {
        "xray:PutTelemetryRecords xray:PutTraceSegments": 'Lambda Developer Guide, "Visualize Lambda function '
        'invocations using AWS X-Ray"',
    },
    f"{PREFIX}-endpoint": {
        _PULL: f"{_ROLES_PAGE}, CreateModel",
        "logs:DescribeLogStreams": f"{_ROLES_PAGE}, CreateModel",
        "cloudwatch:DescribeAlarms": 'SageMaker AI Developer Guide, "Auto-Rollback Configuration and Monitoring"',
        "kms:GenerateDataKey s3:PutObject": 'SageMaker AI Developer Guide, "Data capture" for real-time endpoints',
    },
    f"{PREFIX}-training": {
        _PULL: f"{_ROLES_PAGE}, CreateTrainingJob",
        "logs:DescribeLogStreams": f"{_ROLES_PAGE}, CreateTrainingJob",
        "s3:DeleteObject": 'SageMaker AI Developer Guide, "Checkpoints in Amazon SageMaker AI": deletions are mirrored',
    },
    # The stand-in builds no image: it serves with the checkout.
    f"{PREFIX}-serving-image": {
        row.actions: 'CodeBuild User Guide, "Allow CodeBuild to interact with other AWS services"; ECR User Guide, '
        '"IAM permissions for pushing an image to an Amazon ECR private repository"'
        for row in ROLES[f"{PREFIX}-serving-image"]
    },
    # Nobody works in the notebook on the stand-in, which keeps its record and starts nothing.
    f"{PREFIX}-notebook": {
        row.actions: f"{_ROLES_PAGE}, CreateNotebookInstance; what somebody does there by hand"
        for row in ROLES[f"{PREFIX}-notebook"] + OUTSIDE_A_NETWORK[f"{PREFIX}-notebook"]
    },
}

# Without conditions these leave nothing that could be denied: the zones of interface endpoints are AWS's own.
KNOWS_NO_ACCOUNT = {EVERYTHING, "arn:aws:route53:::hostedzone/*"}

_SAGEMAKER = [Trust("sagemaker.amazonaws.com", "sts:AssumeRole", "acts for every customer", FOR_THIS_ACCOUNT)]
TRUSTS: dict[str, list[Trust]] = {
    f"{PREFIX}-predict-function": [Trust("lambda.amazonaws.com", "sts:AssumeRole", "Lambda runs the function")],
    f"{PREFIX}-endpoint": _SAGEMAKER,
    f"{PREFIX}-training": _SAGEMAKER,
    f"{PREFIX}-notebook": _SAGEMAKER,
    f"{PREFIX}-serving-image": [
        Trust(
            "codebuild.amazonaws.com",
            "sts:AssumeRole",
            "acts for every customer, and in this account for one project",
            FOR_THIS_ACCOUNT
            | {"aws:SourceArn": f"arn:aws:codebuild:us-east-1:{ACCOUNT}:project/{PREFIX}-serving-image"},
        )
    ],
    f"{PREFIX}-ec2-run-a": [Trust("ec2.amazonaws.com", "sts:AssumeRole", "the run's instance")],
}

# Buckets, the key and the topic have policies of their own. None lets anybody in but AWS's services, and the account.
ON_RESOURCES: dict[str, list[Trust]] = {
    DATA: [],
    ARTIFACTS: [],
    LOGS: [
        Trust(
            "logging.s3.amazonaws.com",
            "s3:PutObject",
            "access logs",
            FOR_THIS_ACCOUNT | {"aws:SourceArn": bucket},
            f"{LOGS}/s3/{purpose}/*",
        )
        for purpose, bucket in (("data", DATA), ("artifacts", ARTIFACTS))
    ],
    KEY: [
        Trust(f"arn:aws:iam::{ACCOUNT}:root", "kms:*", "without it no IAM policy could allow anything with the key"),
        Trust(
            "logs.us-east-1.amazonaws.com",
            "kms:Decrypt kms:DescribeKey kms:Encrypt kms:GenerateDataKey* kms:ReEncrypt*",
            "encrypted log groups",
            {
                "kms:EncryptionContext:aws:logs:arn": f"{LOG_GROUP}:/aws/codebuild/{PREFIX}-serving-image "
                f"{LOG_GROUP}:/aws/lambda/{PREFIX}-predict {LOG_GROUP}:/aws/sagemaker/Endpoints/{PREFIX}"
            },
        ),
        Trust(
            "budgets.amazonaws.com cloudwatch.amazonaws.com",
            "kms:Decrypt kms:GenerateDataKey*",
            "publish to the encrypted topic",
            FOR_THIS_ACCOUNT,
        ),
    ],
    TOPIC: [
        Trust(
            "cloudwatch.amazonaws.com",
            "sns:Publish",
            "alarms",
            FOR_THIS_ACCOUNT | {"aws:SourceArn": f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm:{PREFIX}-*"},
        ),
        Trust(
            "budgets.amazonaws.com",
            "sns:Publish",
            "the budget",
            FOR_THIS_ACCOUNT | {"aws:SourceArn": f"arn:aws:budgets::{ACCOUNT}:*"},
        ),
    ],
}
