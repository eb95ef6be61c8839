"""What GitHub's workflows may do (terraform/bootstrap): the plan role looks, an apply role changes one environment.

Held against the rendered policies in the same way as reviewed.py, whose terms these are.
"""

from tests.iam.reviewed import ACCOUNT, EC2, EVERYTHING, LOG_GROUP, PREFIX, SAGEMAKER, Grant, Trust

STATES = f"arn:aws:s3:::terraform-state-{ACCOUNT}"
IAM = f"arn:aws:iam::{ACCOUNT}"
KMS = f"arn:aws:kms:us-east-1:{ACCOUNT}"
CODEBUILD = f"arn:aws:codebuild:us-east-1:{ACCOUNT}"
ECR = f"arn:aws:ecr:us-east-1:{ACCOUNT}"
LAMBDA = f"arn:aws:lambda:us-east-1:{ACCOUNT}"
ALARM = f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm"
SCALABLE_TARGETS = f"arn:aws:application-autoscaling:us-east-1:{ACCOUNT}:scalable-target/*"

# What has a number for a name is known by its tags: those it has, and those that it is made with.
OWN = {"aws:ResourceTag/Project": "dogbreed", "aws:ResourceTag/Environment": "local"}
MARKED = {"aws:RequestTag/Project": "dogbreed", "aws:RequestTag/Environment": "local"}

_READ = [
    Grant("s3:ListBucket", STATES, "whether the state is there; S3 says so only to who may list the bucket"),
    Grant("s3:GetObject", f"{STATES}/dogbreed/local.tfstate", "its environment's state and no other"),
    Grant(
        "s3:GetAccelerateConfiguration s3:GetBucketAcl s3:GetBucketCORS s3:GetBucketLocation "
        "s3:GetBucketLogging s3:GetBucketObjectLockConfiguration s3:GetBucketOwnershipControls "
        "s3:GetBucketPolicy s3:GetBucketPublicAccessBlock s3:GetBucketRequestPayment s3:GetBucketTagging "
        "s3:GetBucketVersioning s3:GetBucketWebsite s3:GetEncryptionConfiguration s3:GetLifecycleConfiguration "
        "s3:GetReplicationConfiguration s3:ListBucket",
        f"arn:aws:s3:::{PREFIX}-*-{ACCOUNT}",
        "settings of the buckets; no object",
    ),
    Grant(
        "kms:DescribeKey kms:GetKeyPolicy kms:GetKeyRotationStatus kms:ListResourceTags",
        f"{KMS}:key/*",
        "the environment's key, found by its tags",
        OWN,
    ),
    Grant(
        "iam:GetRole iam:GetRolePolicy iam:ListAttachedRolePolicies iam:ListRolePolicies",
        f"{IAM}:role/{PREFIX}-*",
        "the environment's roles",
    ),
    Grant(
        "sagemaker:DescribeEndpoint sagemaker:DescribeEndpointConfig sagemaker:DescribeModel "
        "sagemaker:DescribeNotebookInstance sagemaker:DescribeNotebookInstanceLifecycleConfig "
        "sagemaker:ListTags",
        f"{SAGEMAKER}:endpoint-config/{PREFIX}-* {SAGEMAKER}:endpoint/{PREFIX} {SAGEMAKER}:model/{PREFIX}-* "
        f"{SAGEMAKER}:notebook-instance-lifecycle-config/{PREFIX}-* {SAGEMAKER}:notebook-instance/{PREFIX}-*",
        "models, endpoint, notebook",
    ),
    Grant(
        "lambda:GetAlias lambda:GetFunction lambda:GetFunctionCodeSigningConfig lambda:GetFunctionConfiguration "
        "lambda:GetFunctionUrlConfig lambda:GetPolicy lambda:GetProvisionedConcurrencyConfig lambda:ListTags "
        "lambda:ListVersionsByFunction",
        f"{LAMBDA}:function:{PREFIX}-*",
        "the function; not its answers: no InvokeFunction",
    ),
    Grant(
        "ecr:DescribeRepositories ecr:GetLifecyclePolicy ecr:ListTagsForResource",
        f"{ECR}:repository/{PREFIX}-*",
        "the repository of serving images; pulls none",
    ),
    Grant("codebuild:BatchGetProjects", f"{CODEBUILD}:project/{PREFIX}-*", "the project that builds them"),
    Grant(
        "cloudwatch:DescribeAlarms cloudwatch:GetDashboard cloudwatch:ListTagsForResource",
        f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/{PREFIX} {ALARM}:{PREFIX}-*",
        "alarms and the dashboard",
    ),
    Grant(
        "logs:ListTagsForResource",
        f"{LOG_GROUP}:/aws/codebuild/{PREFIX}-* {LOG_GROUP}:/aws/lambda/{PREFIX}-* "
        f"{LOG_GROUP}:/aws/sagemaker/Endpoints/{PREFIX}",
        "tags of log groups; no log line",
    ),
    Grant("sns:GetTopicAttributes sns:ListTagsForResource", f"arn:aws:sns:us-east-1:{ACCOUNT}:{PREFIX}-*", "the topic"),
    Grant(
        "budgets:ListTagsForResource budgets:ViewBudget", f"arn:aws:budgets::{ACCOUNT}:budget/{PREFIX}-*", "the budget"
    ),
    Grant(
        "access-analyzer:GetAnalyzer access-analyzer:ListTagsForResource",
        f"arn:aws:access-analyzer:us-east-1:{ACCOUNT}:analyzer/{PREFIX}-*",
        "the analyzer",
    ),
    Grant(
        "ssm:GetParameter ssm:GetParameters ssm:ListTagsForResource",
        f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/dogbreed/local/*",
        "the environment's parameters",
    ),
    Grant(
        "application-autoscaling:ListTagsForResource", SCALABLE_TARGETS, "targets are named by a number that AWS gives"
    ),
    Grant(
        "application-autoscaling:DescribeScalableTargets application-autoscaling:DescribeScalingPolicies "
        "ec2:DescribeAvailabilityZones ec2:DescribeNetworkAcls ec2:DescribeNetworkInterfaces "
        "ec2:DescribePrefixLists ec2:DescribeRouteTables ec2:DescribeSecurityGroupRules "
        "ec2:DescribeSecurityGroups ec2:DescribeSubnets "
        "ec2:DescribeVpcEndpointServices ec2:DescribeVpcEndpoints ec2:DescribeVpcs kms:ListAliases "
        "logs:DescribeLogGroups sns:GetSubscriptionAttributes ssm:DescribeParameters",
        EVERYTHING,
        "names and settings; these actions know no resource",
    ),
    Grant("ec2:DescribeVpcAttribute", f"{EC2}:vpc/*", "two settings of the network, found by its tags", OWN),
]

ROLES: dict[str, list[Grant]] = {
    "dogbreed-plan": _READ,
    "dogbreed-apply-local": [
        *_READ,
        # The state, and roles below the boundary
        Grant("s3:PutObject", f"{STATES}/dogbreed/local.tfstate", "its environment's state and no other"),
        Grant(
            "s3:DeleteObject s3:GetObject s3:PutObject",
            f"{STATES}/dogbreed/local.tfstate.tflock",
            "the lock of its environment's state",
        ),
        Grant(
            "iam:CreateRole iam:DeleteRolePolicy iam:PutRolePolicy",
            f"{IAM}:role/{PREFIX}-*",
            "makes roles and says what they may, only below the boundary",
            {"iam:PermissionsBoundary": f"{IAM}:policy/dogbreed-boundary"},
        ),
        Grant(
            "iam:DeleteRole iam:ListInstanceProfilesForRole iam:TagRole iam:UntagRole iam:UpdateAssumeRolePolicy "
            "iam:UpdateRole iam:UpdateRoleDescription",
            f"{IAM}:role/{PREFIX}-*",
            "cannot let a role do more; whoever takes it stays below the boundary",
        ),
        Grant(
            "iam:PassRole",
            f"{IAM}:role/{PREFIX}-*",
            "gives its roles to these two services",
            {"iam:PassedToService": "lambda.amazonaws.com sagemaker.amazonaws.com"},
        ),
        Grant(
            "iam:PassRole",
            f"{IAM}:role/{PREFIX}-serving-image",
            "builds of the image run under their own role and under no other",
            {"iam:PassedToService": "codebuild.amazonaws.com"},
        ),
        Grant(
            "iam:CreateServiceLinkedRole",
            f"{IAM}:role/aws-service-role/access-analyzer.amazonaws.com/*",
            "AWS's own role, once per account",
            {"iam:AWSServiceName": "access-analyzer.amazonaws.com"},
        ),
        Grant(
            "iam:CreateServiceLinkedRole",
            f"{IAM}:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/*",
            "AWS's own role, once per account",
            {"iam:AWSServiceName": "sagemaker.application-autoscaling.amazonaws.com"},
        ),
        # Buckets and the key: no object, no decryption
        Grant(
            "s3:CreateBucket s3:DeleteBucket s3:DeleteBucketPolicy s3:PutBucketLogging "
            "s3:PutBucketOwnershipControls s3:PutBucketPolicy s3:PutBucketPublicAccessBlock s3:PutBucketTagging "
            "s3:PutBucketVersioning s3:PutEncryptionConfiguration s3:PutLifecycleConfiguration",
            f"arn:aws:s3:::{PREFIX}-*-{ACCOUNT}",
            "makes, changes and ends buckets; no object",
        ),
        Grant("kms:CreateKey", EVERYTHING, "a key has no name yet, its tags are the bound", MARKED),
        Grant("kms:TagResource", f"{KMS}:key/*", "tags a key that has none", MARKED | {"aws:ResourceTag/Project": ""}),
        Grant(
            "kms:CreateAlias kms:DeleteAlias kms:EnableKeyRotation kms:PutKeyPolicy kms:ScheduleKeyDeletion "
            "kms:TagResource kms:UntagResource kms:UpdateAlias kms:UpdateKeyDescription",
            f"{KMS}:key/*",
            "the environment's key, found by its tags; it decrypts nothing with it",
            OWN,
        ),
        Grant("kms:CreateAlias kms:DeleteAlias kms:UpdateAlias", f"{KMS}:alias/{PREFIX}", "the key's name"),
        Grant(
            "kms:CreateGrant",
            f"{KMS}:key/*",
            "encrypted volumes of endpoint and notebook, and nobody but an AWS service",
            OWN | {"kms:GrantIsForAWSResource": "true"},
        ),
        # SageMaker, autoscaling and the function
        Grant(
            "sagemaker:AddTags sagemaker:CreateEndpoint sagemaker:CreateEndpointConfig sagemaker:CreateModel "
            "sagemaker:CreateNotebookInstance sagemaker:CreateNotebookInstanceLifecycleConfig "
            "sagemaker:DeleteEndpoint sagemaker:DeleteEndpointConfig sagemaker:DeleteModel "
            "sagemaker:DeleteNotebookInstance sagemaker:DeleteNotebookInstanceLifecycleConfig sagemaker:DeleteTags "
            "sagemaker:StartNotebookInstance sagemaker:StopNotebookInstance sagemaker:UpdateEndpoint "
            "sagemaker:UpdateEndpointWeightsAndCapacities sagemaker:UpdateNotebookInstance "
            "sagemaker:UpdateNotebookInstanceLifecycleConfig",
            f"{SAGEMAKER}:endpoint-config/{PREFIX}-* {SAGEMAKER}:endpoint/{PREFIX} {SAGEMAKER}:model/{PREFIX}-* "
            f"{SAGEMAKER}:notebook-instance-lifecycle-config/{PREFIX}-* {SAGEMAKER}:notebook-instance/{PREFIX}-*",
            "makes, changes and ends models, endpoint and notebook",
        ),
        Grant(
            "application-autoscaling:DeleteScalingPolicy application-autoscaling:DeregisterScalableTarget "
            "application-autoscaling:PutScalingPolicy application-autoscaling:RegisterScalableTarget",
            SCALABLE_TARGETS,
            "targets are named by a number; their kind is the bound",
            {"application-autoscaling:service-namespace": "sagemaker"},
        ),
        Grant(
            "application-autoscaling:TagResource application-autoscaling:UntagResource",
            SCALABLE_TARGETS,
            "the same, and tagging knows no kind",
        ),
        Grant(
            "cloudwatch:DeleteAlarms cloudwatch:DescribeAlarms cloudwatch:PutMetricAlarm",
            f"{ALARM}:TargetTracking-endpoint/{PREFIX}/*",
            "the alarms that target tracking makes in its name",
        ),
        Grant(
            "lambda:CreateAlias lambda:CreateFunction lambda:CreateFunctionUrlConfig lambda:DeleteAlias "
            "lambda:DeleteFunction lambda:DeleteFunctionConcurrency lambda:DeleteFunctionUrlConfig "
            "lambda:DeleteProvisionedConcurrencyConfig lambda:PublishVersion lambda:PutFunctionConcurrency "
            "lambda:PutProvisionedConcurrencyConfig lambda:TagResource lambda:UntagResource lambda:UpdateAlias "
            "lambda:UpdateFunctionCode lambda:UpdateFunctionConfiguration lambda:UpdateFunctionUrlConfig",
            f"{LAMBDA}:function:{PREFIX}-*",
            "makes, changes and ends the function; calls it never",
        ),
        Grant(
            "ecr:CreateRepository ecr:DeleteLifecyclePolicy ecr:DeleteRepository ecr:PutImageScanningConfiguration "
            "ecr:PutImageTagMutability ecr:PutLifecyclePolicy ecr:TagResource ecr:UntagResource",
            f"{ECR}:repository/{PREFIX}-*",
            "makes, changes and ends the repository; pushes no image",
        ),
        Grant(
            "codebuild:CreateProject codebuild:DeleteProject codebuild:UpdateProject",
            f"{CODEBUILD}:project/{PREFIX}-*",
            "makes, changes and ends the project; starts no build",
        ),
        # Logs, alarms, alerts and parameters: settings alone
        Grant(
            "logs:AssociateKmsKey logs:CreateLogGroup logs:DeleteLogGroup logs:DeleteRetentionPolicy "
            "logs:DisassociateKmsKey logs:PutRetentionPolicy logs:TagResource logs:UntagResource",
            f"{LOG_GROUP}:/aws/codebuild/{PREFIX}-* {LOG_GROUP}:/aws/codebuild/{PREFIX}-*:* "
            f"{LOG_GROUP}:/aws/lambda/{PREFIX}-* {LOG_GROUP}:/aws/lambda/{PREFIX}-*:* "
            f"{LOG_GROUP}:/aws/sagemaker/Endpoints/{PREFIX} {LOG_GROUP}:/aws/sagemaker/Endpoints/{PREFIX}:*",
            "makes, changes and ends log groups; no log line",
        ),
        Grant(
            "cloudwatch:DeleteAlarms cloudwatch:PutMetricAlarm cloudwatch:TagResource cloudwatch:UntagResource",
            f"{ALARM}:{PREFIX}-*",
            "alarms",
        ),
        Grant(
            "cloudwatch:DeleteDashboards cloudwatch:PutDashboard",
            f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/{PREFIX}",
            "the dashboard",
        ),
        Grant(
            "sns:CreateTopic sns:DeleteTopic sns:SetTopicAttributes sns:Subscribe sns:TagResource sns:UntagResource",
            f"arn:aws:sns:us-east-1:{ACCOUNT}:{PREFIX}-*",
            "the topic",
        ),
        Grant("sns:Unsubscribe", EVERYTHING, "knows no resource"),
        Grant(
            "budgets:ModifyBudget budgets:TagResource budgets:UntagResource",
            f"arn:aws:budgets::{ACCOUNT}:budget/{PREFIX}-*",
            "the budget",
        ),
        Grant(
            "access-analyzer:CreateAnalyzer access-analyzer:DeleteAnalyzer access-analyzer:TagResource "
            "access-analyzer:UntagResource access-analyzer:UpdateAnalyzer",
            f"arn:aws:access-analyzer:us-east-1:{ACCOUNT}:analyzer/{PREFIX}-*",
            "the analyzer",
        ),
        Grant(
            "ssm:AddTagsToResource ssm:DeleteParameter ssm:PutParameter ssm:RemoveTagsFromResource",
            f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/dogbreed/local/*",
            "its parameters",
        ),
        # The private network, by tags
        Grant(
            "ec2:CreateRouteTable ec2:CreateSecurityGroup ec2:CreateSubnet ec2:CreateVpc ec2:CreateVpcEndpoint",
            f"{EC2}:route-table/* {EC2}:security-group/* {EC2}:subnet/* {EC2}:vpc-endpoint/* {EC2}:vpc/*",
            "what it makes in a network bears its tags",
            MARKED,
        ),
        Grant(
            "ec2:AssociateRouteTable ec2:AuthorizeSecurityGroupEgress ec2:AuthorizeSecurityGroupIngress "
            "ec2:CreateRouteTable ec2:CreateSecurityGroup ec2:CreateSubnet ec2:CreateTags ec2:CreateVpcEndpoint "
            "ec2:DeleteRoute ec2:DeleteRouteTable ec2:DeleteSecurityGroup ec2:DeleteSubnet ec2:DeleteTags "
            "ec2:DeleteVpc ec2:DeleteVpcEndpoints ec2:DisassociateRouteTable ec2:ModifySecurityGroupRules "
            "ec2:ModifySubnetAttribute ec2:ModifyVpcAttribute ec2:ModifyVpcEndpoint ec2:RevokeSecurityGroupEgress "
            "ec2:RevokeSecurityGroupIngress",
            f"{EC2}:route-table/* {EC2}:security-group-rule/* {EC2}:security-group/* {EC2}:subnet/* "
            f"{EC2}:vpc-endpoint/* {EC2}:vpc/*",
            "and only what bears them does it change, or build on",
            OWN,
        ),
        Grant(
            "ec2:CreateTags",
            f"{EC2}:route-table/* {EC2}:security-group/* {EC2}:security-group-rule/* {EC2}:subnet/* {EC2}:vpc/* "
            f"{EC2}:vpc-endpoint/*",
            "tags only in the moment of making",
            {
                "ec2:CreateAction": "AuthorizeSecurityGroupEgress AuthorizeSecurityGroupIngress CreateRouteTable "
                "CreateSecurityGroup CreateSubnet CreateVpc CreateVpcEndpoint"
            },
        ),
        Grant(
            "ec2:AuthorizeSecurityGroupEgress ec2:AuthorizeSecurityGroupIngress",
            f"{EC2}:security-group-rule/*",
            "a rule is a part of its group, which the tags bound",
        ),
        Grant(
            "ec2:CreateTags",
            f"{EC2}:security-group-rule/* {EC2}:security-group/*",
            "rules, and the default group, come without tags",
            MARKED | {"aws:ResourceTag/Project": ""},
        ),
        Grant(
            "ec2:CreateNetworkInterface",
            f"{EC2}:security-group/* {EC2}:subnet/*",
            "SageMaker puts the notebook's interface into its subnets in its name",
            OWN,
        ),
        Grant(
            "ec2:AttachNetworkInterface ec2:CreateNetworkInterface ec2:ModifyNetworkInterfaceAttribute",
            f"{EC2}:instance/* {EC2}:network-interface/*",
            "that interface, and only by an AWS service",
            {"aws:ViaAWSService": "true"},
        ),
        Grant(
            "route53:AssociateVPCWithHostedZone",
            "arn:aws:route53:::hostedzone/*",
            "private names of interface endpoints; the zones are AWS's",
        ),
        Grant("ec2:DescribeInternetGateways", EVERYTHING, "knows no resource; SageMaker looks for a way out"),
    ],
}

_GITHUB = f"{IAM}:oidc-provider/token.actions.githubusercontent.com"
_CLAIM = "token.actions.githubusercontent.com"
TRUSTS: dict[str, list[Trust]] = {
    role: [
        Trust(
            _GITHUB,
            "sts:AssumeRoleWithWebIdentity",
            why,
            {
                f"{_CLAIM}:aud": "sts.amazonaws.com",
                f"{_CLAIM}:sub": " ".join(
                    f"{repository}:{purpose}"
                    for repository in ("repo:acme/dogs", "repo:acme@1/dogs@2")
                    for purpose in purposes
                ),
            },
        )
    ]
    for role, why, purposes in (
        (
            "dogbreed-plan",
            "pull requests of the repository itself, and the nightly look at main",
            ("pull_request", "ref:refs/heads/main"),
        ),
        (
            "dogbreed-apply-local",
            "the environment, whose branches and reviewers GitHub guards",
            ("environment:production",),
        ),
    )
}
