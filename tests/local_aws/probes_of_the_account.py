"""What AWS does, and plain moto does not, in the services round the product: network, keys, builds, budgets."""

import json
from typing import Any

from local_aws import shims
from tests.local_aws.probing import client, error_code, probe


@probe(shims.budgets.add_tags_of_budgets)
def tags_of_budgets() -> None:
    budgets = _budget(ResourceTags=[{"Key": "Project", "Value": "dogbreed"}])
    arn = "arn:aws:budgets::123456789012:budget/dogs"
    budgets.tag_resource(ResourceARN=arn, ResourceTags=[{"Key": "Commit", "Value": "abc"}])
    budgets.untag_resource(ResourceARN=arn, ResourceTagKeys=["Project"])
    assert budgets.list_tags_for_resource(ResourceARN=arn)["ResourceTags"] == [{"Key": "Commit", "Value": "abc"}]


@probe(shims.budgets.read_back_subscribers)
def subscribers_of_a_budget() -> None:
    notification = {"NotificationType": "FORECASTED", "ComparisonOperator": "GREATER_THAN", "Threshold": 100.0}
    other = {**notification, "NotificationType": "ACTUAL"}
    subscriber = {"SubscriptionType": "EMAIL", "Address": "someone@example.org"}
    budgets = _budget(NotificationsWithSubscribers=[{"Notification": notification, "Subscribers": [subscriber]}])
    ask = {"AccountId": "123456789012", "BudgetName": "dogs"}
    describe = budgets.describe_subscribers_for_notification
    assert describe(**ask, Notification=notification)["Subscribers"] == [subscriber]
    assert describe(**ask, Notification=other)["Subscribers"] == []


@probe(shims.budgets.add_update_budget)
def update_of_a_budget() -> None:
    notification = {"NotificationType": "ACTUAL", "ComparisonOperator": "GREATER_THAN", "Threshold": 80.0}
    subscriber = {"SubscriptionType": "EMAIL", "Address": "someone@example.org"}
    budgets = _budget(NotificationsWithSubscribers=[{"Notification": notification, "Subscribers": [subscriber]}])
    ask = {"AccountId": "123456789012", "BudgetName": "dogs"}
    new = {**_COST_BUDGET, "BudgetLimit": {"Amount": "60", "Unit": "USD"}}
    budgets.update_budget(AccountId="123456789012", NewBudget=new)
    assert budgets.describe_budget(**ask)["Budget"]["BudgetLimit"]["Amount"] == "60"
    (left,) = budgets.describe_notifications_for_budget(**ask)["Notifications"]
    assert left["Threshold"] == 80
    unknown = {**new, "BudgetName": "cats"}
    assert error_code(budgets.update_budget, AccountId="123456789012", NewBudget=unknown) == "NotFoundException"


@probe(shims.codebuild.add_update_project)
def update_of_a_project() -> None:
    codebuild, arn = _project()
    for name, commit in (("dogs", "abc"), (arn, "def")):
        tags = [{"key": "Commit", "value": commit}]
        codebuild.update_project(name=name, tags=tags, timeoutInMinutes=30)
        (found,) = codebuild.batch_get_projects(names=["dogs"])["projects"]
        assert (found["name"], found["tags"], found["timeoutInMinutes"]) == ("dogs", tags, 30)
        assert found["environment"]["image"] == "some"
    assert error_code(codebuild.update_project, name="cats", tags=tags) == "ResourceNotFoundException"


@probe(shims.codebuild.delete_projects_by_arn)
def end_of_a_project() -> None:
    codebuild, arn = _project()
    codebuild.delete_project(name=arn)
    assert codebuild.list_projects()["projects"] == []
    _project()
    codebuild.delete_project(name="dogs")
    assert codebuild.list_projects()["projects"] == []


@probe(shims.ec2.describe_every_rule)
def descriptions_of_rules() -> None:
    ec2 = client("ec2")
    group = ec2.create_security_group(GroupName="dogs", Description="Dogs")["GroupId"]
    lists = ec2.describe_managed_prefix_lists()["PrefixLists"]
    sources = {
        "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "range"}],
        "UserIdGroupPairs": [{"GroupId": group, "Description": "group"}],
        "PrefixListIds": [{"PrefixListId": lists[0]["PrefixListId"], "Description": "list"}],
    }
    made = ec2.authorize_security_group_egress(
        GroupId=group, IpPermissions=[{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, **sources}]
    )
    identifiers = [rule["SecurityGroupRuleId"] for rule in made["SecurityGroupRules"]]
    rules = ec2.describe_security_group_rules(SecurityGroupRuleIds=identifiers)["SecurityGroupRules"]
    assert sorted(rule.get("Description", "") for rule in rules) == ["group", "list", "range"]


@probe(shims.ec2.keep_tags_of_a_template_out_of_it)
def tags_of_a_launch_template() -> None:
    ec2 = client("ec2")
    own = {"ResourceType": "launch-template", "Tags": [{"Key": "Project", "Value": "dogbreed"}]}
    given = {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "run"}]}
    for name, data in (("with", {"TagSpecifications": [given]}), ("without", {"InstanceType": "m5.xlarge"})):
        ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data, TagSpecifications=[own])
        (version,) = ec2.describe_launch_template_versions(LaunchTemplateName=name)["LaunchTemplateVersions"]
        assert version["LaunchTemplateData"].get("TagSpecifications", []) == data.get("TagSpecifications", [])
    (template,) = ec2.describe_launch_templates(LaunchTemplateNames=["with"])["LaunchTemplates"]
    assert template["Tags"] == own["Tags"]


@probe(shims.ec2.run_instances_as_their_template_says)
def instance_from_a_launch_template() -> None:
    ec2, iam = client("ec2"), client("iam")
    iam.create_instance_profile(InstanceProfileName="dogs")
    subnet = ec2.describe_subnets()["Subnets"][1]["SubnetId"]
    parameter = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"  # one that plain moto has
    data = {
        "ImageId": f"resolve:ssm:{parameter}",
        "InstanceType": "m5.xlarge",
        "IamInstanceProfile": {"Name": "dogs"},
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "NetworkInterfaces": [{"DeviceIndex": 0, "SubnetId": subnet}],
    }
    ec2.create_launch_template(LaunchTemplateName="run", LaunchTemplateData=data)
    ec2.run_instances(MinCount=1, MaxCount=1, LaunchTemplate={"LaunchTemplateName": "run", "Version": "$Latest"})
    (instance,) = ec2.describe_instances()["Reservations"][0]["Instances"]
    assert instance["ImageId"] == client("ssm").get_parameter(Name=parameter)["Parameter"]["Value"]
    assert instance["State"]["Name"] == "running"
    assert instance["IamInstanceProfile"]["Arn"].endswith(":instance-profile/dogs")
    assert instance["MetadataOptions"]["HttpTokens"] == "required"
    assert (instance["SubnetId"], instance["InstanceType"]) == (subnet, "m5.xlarge")


@probe(shims.iam.let_requests_count_as_tls)
def upload_under_a_tls_only_policy() -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket="a-bucket")
    deny = {"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "s3:*", "Resource": "arn:aws:s3:::a-bucket/*"}
    for condition, outcome in (({"Bool": {"aws:SecureTransport": "false"}}, "no error"), ({}, "403")):
        policy = {"Version": "2012-10-17", "Statement": [{**deny, "Condition": condition}]}
        s3.put_bucket_policy(Bucket="a-bucket", Policy=json.dumps(policy))
        assert error_code(s3.put_object, Bucket="a-bucket", Key="a", Body=b"a") == outcome


@probe(shims.kms.read_back_rotation_period)
def rotation_period() -> None:
    kms = client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    assert "RotationPeriodInDays" not in kms.get_key_rotation_status(KeyId=key)
    for asked, answered in (({}, 365), ({"RotationPeriodInDays": 180}, 180)):
        kms.enable_key_rotation(KeyId=key, **asked)
        assert kms.get_key_rotation_status(KeyId=key)["RotationPeriodInDays"] == answered


@probe(shims.s3.let_policies_grant_log_delivery)
def access_logs_by_policy() -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket="a-bucket")
    s3.create_bucket(Bucket="its-logs")
    logging = {"LoggingEnabled": {"TargetBucket": "its-logs", "TargetPrefix": "s3/a/"}}
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": "arn:aws:s3:::its-logs/*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    allow = {
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::a-bucket"}},
    }
    for resource, outcome in (("s3/b/*", "InvalidTargetBucketForLogging"), ("s3/*", "no error")):
        statements = [deny, {**allow, "Resource": [f"arn:aws:s3:::its-logs/{resource}"]}]
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        s3.put_bucket_policy(Bucket="its-logs", Policy=policy)
        assert error_code(s3.put_bucket_logging, Bucket="a-bucket", BucketLoggingStatus=logging) == outcome


@probe(shims.ssm.publish_deep_learning_images)
def deep_learning_images() -> None:
    path = "/aws/service/deeplearning/ami/x86_64/oss-nvidia-driver-gpu-pytorch-2.10-{}/latest/ami-id"
    for system, word in (("amazon-linux-2023", "amzn"), ("ubuntu-24.04", "ubuntu")):
        image = client("ssm").get_parameter(Name=path.format(system))["Parameter"]["Value"]
        (described,) = client("ec2").describe_images(ImageIds=[image])["Images"]
        assert word in described["Name"]
    unknown = error_code(client("ssm").get_parameter, Name="/aws/service/deeplearning/ami/x86_64")
    assert unknown == "ParameterNotFound"


_COST_BUDGET = {
    "BudgetName": "dogs",
    "BudgetType": "COST",
    "TimeUnit": "MONTHLY",
    "BudgetLimit": {"Amount": "50", "Unit": "USD"},
}


def _project() -> tuple[Any, str]:
    """(client, ARN of a project)"""
    codebuild = client("codebuild")
    made = codebuild.create_project(
        name="dogs",
        source={"type": "S3", "location": "a-bucket/a.zip"},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={"type": "LINUX_CONTAINER", "image": "some", "computeType": "BUILD_GENERAL1_SMALL"},
        serviceRole="arn:aws:iam::123456789012:role/dogs",
    )
    return codebuild, made["project"]["arn"]


def _budget(**more: Any) -> Any:
    budgets = client("budgets")
    budgets.create_budget(AccountId="123456789012", Budget=_COST_BUDGET, **more)
    return budgets
