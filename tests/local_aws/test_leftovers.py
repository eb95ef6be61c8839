"""What a destroy left is seen, and what no Terraform made is not taken for it."""

import json

from local_aws.environment import ACCOUNT_ID, STATE_BUCKET
from local_aws.leftovers import leftovers
from tests.conftest import StandInUnderTest


def test_the_account_comes_with_a_bucket_for_state(stand_in: StandInUnderTest) -> None:
    versioning = stand_in.client("s3").get_bucket_versioning(Bucket=STATE_BUCKET)
    assert versioning["Status"] == "Enabled"
    assert [name for name in leftovers(stand_in.url) if STATE_BUCKET in name] == []


def test_each_thing_is_seen_until_it_goes(stand_in: StandInUnderTest) -> None:
    before = leftovers(stand_in.url)
    services = ("codebuild", "ec2", "ecr", "kms", "iam", "sns")
    codebuild, ec2, ecr, kms, iam, sns = (stand_in.client(service) for service in services)
    vpc = ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]  # with a table, a list and a group of its own
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.8.0.0/24")["Subnet"]["SubnetId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    gateway = {"ServiceName": "com.amazonaws.us-east-1.s3", "VpcEndpointType": "Gateway"}
    made = ec2.create_vpc_endpoint(VpcId=vpc, RouteTableIds=[table], **gateway)
    endpoint = made["VpcEndpoint"]["VpcEndpointId"]
    image = ec2.describe_images()["Images"][0]["ImageId"]
    instance = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, SubnetId=subnet)["Instances"][0]["InstanceId"]
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/dogs", TargetKeyId=key)
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
    policy = iam.create_policy(PolicyName="dogs", PolicyDocument=json.dumps(document))
    topic = sns.create_topic(Name="dogs")["TopicArn"]
    ecr.create_repository(repositoryName="dogs")
    codebuild.create_project(
        name="dogs",
        source={"type": "S3", "location": "a-bucket/a.zip"},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={"type": "LINUX_CONTAINER", "image": "some", "computeType": "BUILD_GENERAL1_SMALL"},
        serviceRole=f"arn:aws:iam::{ACCOUNT_ID}:role/dogs",
    )

    assert sorted(set(leftovers(stand_in.url)) - set(before)) == [
        "aws_codebuild_project dogs",
        "aws_ecr_repository dogs",
        "aws_iam_policy dogs",
        f"aws_instance {instance}",
        "aws_kms_alias alias/dogs",
        f"aws_kms_key {key}",
        f"aws_route_table {table}",
        f"aws_sns_topic {topic}",
        f"aws_subnet {subnet}",
        f"aws_vpc {vpc}",
        f"aws_vpc_endpoint {endpoint}",
    ]

    ec2.terminate_instances(InstanceIds=[instance])
    ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint])
    ec2.delete_route_table(RouteTableId=table)
    ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=vpc)
    kms.delete_alias(AliasName="alias/dogs")
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    iam.delete_policy(PolicyArn=policy["Policy"]["Arn"])
    sns.delete_topic(TopicArn=topic)
    ecr.delete_repository(repositoryName="dogs")
    codebuild.delete_project(name="dogs")
    assert leftovers(stand_in.url) == before
