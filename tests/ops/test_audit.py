"""`make audit`: one weakness of each kind is planted and found, and what is as it should be is left alone."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import moto
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from ops.audit import UNUSED_DAYS, Audit, excesses, lets_everyone_in, main, unless
from ops.outputs import ToolError

ACCOUNT = "arn:aws:iam::123456789012:"
SAGEMAKER = {"Service": "sagemaker.amazonaws.com"}
GITHUB = {"Federated": f"{ACCOUNT}oidc-provider/token.actions.githubusercontent.com"}
SHUT = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)


def statement(**fields: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **fields}]}


EVERYTHING = statement(Action="*", Resource="*")


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.Session]:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with moto.mock_aws():
        yield boto3.Session(region_name="us-east-1")


def make_role(session: boto3.Session, name: str, trusts: Any = SAGEMAKER, **more: Any) -> None:
    trust = json.dumps(statement(Action="sts:AssumeRole", Principal=trusts))
    session.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust, **more)


def make_bucket(session: boto3.Session, name: str, block: dict[str, bool] = SHUT) -> None:
    session.client("s3").create_bucket(Bucket=name)
    session.client("s3").put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=block)


def make_function(session: boto3.Session, name: str, caller: str, **called: str) -> None:
    client = session.client("lambda")
    code = {"ImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/any:1"}
    role = f"{ACCOUNT}role/dogbreed-dev-function"
    client.create_function(FunctionName=name, Role=role, Code=code, PackageType="Image", Publish=True)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    client.add_permission(
        FunctionName=name, StatementId="any", Action="lambda:InvokeFunction", Principal=caller, **called
    )


def make_notebook(session: boto3.Session, name: str, **settings: str) -> None:
    role = f"{ACCOUNT}role/dogbreed-dev-endpoint"
    session.client("sagemaker").create_notebook_instance(
        NotebookInstanceName=name, InstanceType="ml.t3.medium", RoleArn=role, **settings
    )


def make_group(session: boto3.Session, name: str, rule: dict[str, Any]) -> None:
    ec2 = session.client("ec2")
    group = ec2.create_security_group(GroupName=name, Description="any")["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])


def found(session: boto3.Session, days_later: int = 0) -> list[tuple[str, str]]:
    audit = Audit(session, "dogbreed", "dev", datetime.now(UTC) + timedelta(days=days_later))
    looks = (audit.iam, audit.buckets, audit.functions, audit.notebooks, audit.security_groups)
    return [finding for look in looks for finding in look()]


def test_what_is_shut_is_left_alone_and_so_is_another_project(session: boto3.Session) -> None:
    make_role(session, "dogbreed-dev-function", {"Service": "lambda.amazonaws.com"})
    make_bucket(session, "dogbreed-dev-data")
    make_function(session, "dogbreed-dev-predict", "events.amazonaws.com")
    make_notebook(session, "dogbreed-dev-notebook", RootAccess="Disabled", DirectInternetAccess="Enabled")
    make_group(session, "dogbreed-dev-workload", {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]})
    make_role(session, "other-role", trusts="*")
    session.client("s3").create_bucket(Bucket="dogbreed-development")
    session.client("iam").create_policy(PolicyName="other-policy", PolicyDocument=json.dumps(EVERYTHING))
    assert found(session, UNUSED_DAYS - 1) == []
    said = f"was not used ever, and is there since {datetime.now(UTC):%Y-%m-%d}; delete it if nobody will"
    assert found(session, UNUSED_DAYS) == [("role dogbreed-dev-function", said)]


def test_without_findings_all_is_well_and_before_infra_the_remedy_is_named(
    session: boto3.Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["audit", "--outputs", str(tmp_path / "outputs.json")])
    monkeypatch.setenv("ENV", "local")
    with pytest.raises(ToolError, match="run `make infra` first"):
        main()
    outputs = {"region": {"value": "us-east-1"}, "project": {"value": "dogbreed"}}
    (tmp_path / "outputs.json").write_text(json.dumps(outputs))
    make_role(session, "dogbreed-local-endpoint")
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "Findings: 0. Looked at: roles 1, " in capsys.readouterr().out


def test_one_of_each_weakness_is_found(session: boto3.Session) -> None:
    iam, s3 = session.client("iam"), session.client("s3")
    make_role(session, "dogbreed-dev-function", {"Service": "lambda.amazonaws.com"})
    iam.put_role_policy(RoleName="dogbreed-dev-function", PolicyName="own", PolicyDocument=json.dumps(EVERYTHING))
    policy = json.dumps(statement(Action="sagemaker:*", Resource="*"))
    attached = iam.create_policy(PolicyName="attached", PolicyDocument=policy)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="dogbreed-dev-function", PolicyArn=attached)
    tags = [{"Key": "Project", "Value": "dogbreed"}]
    make_role(session, "made-by-hand", "*", Tags=tags)
    iam.create_policy(PolicyName="left-behind", PolicyDocument=policy, Tags=tags)
    s3.create_bucket(Bucket="dogbreed-dev-bare")
    make_bucket(session, "dogbreed-dev-half", SHUT | {"BlockPublicPolicy": False})
    public = statement(Action="s3:GetObject", Principal="*", Resource="arn:aws:s3:::dogbreed-dev-half/*")
    s3.put_bucket_policy(Bucket="dogbreed-dev-half", Policy=json.dumps(public))
    make_function(session, "dogbreed-dev-predict", "*", Qualifier="live")
    session.client("lambda").create_function_url_config(FunctionName="dogbreed-dev-predict", AuthType="NONE")
    subnet = session.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    make_notebook(
        session, "dogbreed-dev-notebook", DirectInternetAccess="Enabled", RootAccess="Enabled", SubnetId=subnet
    )
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
    make_group(session, "dogbreed-dev-ssh", ssh | {"IpRanges": [{"CidrIp": "10.0.0.0/8"}, {"CidrIp": "0.0.0.0/0"}]})
    make_group(session, "dogbreed-dev-all", {"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "::/0"}]})
    assert set(found(session)) == {
        ("security group dogbreed-dev-all", "lets the world in at port any; remove that"),
        ("bucket dogbreed-dev-bare", "does not block all public access; block it"),
        ("role dogbreed-dev-function", "allows *; name the actions that it needs"),
        ("role dogbreed-dev-function", "allows sagemaker:*; name the actions that it needs"),
        ("bucket dogbreed-dev-half", "does not block all public access; block it"),
        ("bucket dogbreed-dev-half", "has a policy that lets everyone in; take that statement out"),
        ("notebook dogbreed-dev-notebook", "gives root to whoever opens it; disable that"),
        ("notebook dogbreed-dev-notebook", "reaches the internet past its private network; disable that"),
        # Each twice: moto has one policy and one URL for a function and its aliases, AWS one for each.
        ("function dogbreed-dev-predict", "can be called by everyone; remove that permission"),
        ("function dogbreed-dev-predict", "has a URL for everyone; make its type AWS_IAM"),
        ("function dogbreed-dev-predict:live", "can be called by everyone; remove that permission"),
        ("function dogbreed-dev-predict:live", "has a URL for everyone; make its type AWS_IAM"),
        ("security group dogbreed-dev-ssh", "lets the world in at port 22; remove that"),
        ("policy left-behind", "is attached to nothing; delete it"),
        ("role made-by-hand", "can be taken by everyone; name in its trust policy who may"),
    }


def test_the_last_use_counts_and_a_policy_of_aws_s_own(session: boto3.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """moto keeps no last use and has no policy of AWS's own: AWS's answer is played."""
    used, full_access = datetime(2026, 5, 1, tzinfo=UTC), "AmazonSageMakerFullAccess"
    role = {
        "RoleName": "dogbreed-dev-old",
        "CreateDate": used - timedelta(days=200),
        "RoleLastUsed": {"LastUsedDate": used, "Region": "us-east-1"},
        "AssumeRolePolicyDocument": json.dumps(statement(Principal=SAGEMAKER, Action="sts:AssumeRole")),
        "RolePolicyList": [],
        "AttachedManagedPolicies": [{"PolicyName": full_access, "PolicyArn": f"arn:aws:iam::aws:policy/{full_access}"}],
    }
    asked = {"Filter": ["Role", "LocalManagedPolicy"]}
    answer = ("get_account_authorization_details", {"RoleDetailList": [role], "Policies": []}, asked)
    unused = ("role dogbreed-dev-old", "was not used since 2026-05-01; delete it if nobody will")
    grows = ("role dogbreed-dev-old", f"has AWS's own {full_access}, which may grow; say what it needs")
    with played(session, monkeypatch, "iam", answer, deepcopy(answer)):
        for days, findings in ((UNUSED_DAYS - 1, [grows]), (UNUSED_DAYS, [unused, grows])):
            assert list(Audit(session, "dogbreed", "dev", used + timedelta(days=days)).iam()) == findings


@contextmanager
def played(
    session: boto3.Session, monkeypatch: pytest.MonkeyPatch, service: str, *answers: tuple[str, dict[str, Any], Any]
) -> Iterator[None]:
    """Let these (operation, answer, what is asked) be a service; botocore holds them against its model."""
    client = session.client(service)
    with Stubber(client) as stubber:
        for answer in answers:
            stubber.add_response(*answer)
        monkeypatch.setattr(session, "client", {service: client}.__getitem__)
        yield
        stubber.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("allowed", "said"),
    [
        ({"Action": "*", "Resource": "arn:aws:s3:::one"}, ["allows *; name the actions that it needs"]),
        ({"Action": ["s3:GetObject", "ecr:*"], "Resource": "*"}, ["allows ecr:*; name the actions that it needs"]),
        ({"NotAction": "iam:*", "Resource": "*"}, ["allows all but what it names; say what it needs"]),
        ({"Action": "s3:GetObject", "NotResource": "x"}, ["allows all but what it names; say what it needs"]),
        (
            {"Action": ["S3:getobject", "ecr:GetAuthorizationToken"], "Resource": ["*"]},
            ["allows s3:getobject on every resource; name those that it needs"],
        ),
        (
            {"Action": "kms:Decr*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "true"}}},
            ["allows kms:decr* on every resource; name those that it needs"],
        ),
        ({"Action": ["ecr:GetAuthorizationToken", "xray:PutTraceSegments"], "Resource": "*"}, []),
        ({"Action": "cloudwatch:PutMetricData", "Resource": "*"}, []),
        ({"Action": ["newservice:NewAction", "newservice:New*", "s3:NewAction"], "Resource": "*"}, []),
        ({"Action": "s3:Get*", "Resource": "arn:aws:s3:::one/*"}, []),
        ({"Effect": "Deny", "Action": "*", "Resource": "*"}, []),
    ],
)
def test_what_is_allowed_beyond_need_is_named_and_what_knows_no_resource_is_not(
    allowed: dict[str, Any], said: list[str]
) -> None:
    assert list(excesses(statement(**allowed))) == said


@pytest.mark.parametrize(
    ("fields", "open_to_all"),
    [
        ({"Principal": "*"}, True),
        ({"Principal": {"AWS": "*"}}, True),
        ({"Principal": {"AWS": [f"{ACCOUNT}root", "*"]}, "Condition": {"Bool": {"aws:SecureTransport": "true"}}}, True),
        ({"NotPrincipal": {"AWS": f"{ACCOUNT}root"}}, True),
        ({"Principal": GITHUB, "Condition": {"StringEquals": {"token.actions.githubusercontent.com:aud": "a"}}}, True),
        ({"Principal": GITHUB, "Condition": {"StringEquals": {"token.actions.githubusercontent.com:sub": "a"}}}, False),
        ({"Principal": {"AWS": f"{ACCOUNT}root"}}, False),
        ({"Principal": SAGEMAKER}, False),
        ({"Principal": "*", "Effect": "Deny"}, False),
    ],
)
def test_whoever_is_let_in_by_name_is_told_from_everyone(fields: dict[str, Any], open_to_all: bool) -> None:
    assert lets_everyone_in(statement(Action="sts:AssumeRole", **fields)) is open_to_all


def test_active_findings_of_access_analyzer_are_told(session: boto3.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """moto has no such service: AWS's answers are played."""
    since, arn = datetime(2026, 5, 1, tzinfo=UTC), "arn:aws:access-analyzer:us-east-1:123456789012:analyzer/one"
    analyzer = {"arn": arn, "name": "one", "type": "ACCOUNT_UNUSED_ACCESS", "createdAt": since, "status": "ACTIVE"}
    finding = {
        "id": "1",
        "resource": f"{ACCOUNT}role/any",
        "resourceType": "AWS::IAM::Role",
        "resourceOwnerAccount": "123456789012",
        "findingType": "UnusedIAMRole",
        "status": "ACTIVE",
        **dict.fromkeys(("analyzedAt", "createdAt", "updatedAt"), since),
    }
    asked = {"analyzerArn": arn, "filter": {"status": {"eq": ["ACTIVE"]}}}
    answers = [
        ("list_analyzers", {"analyzers": [analyzer]}, {}),
        ("list_findings_v2", {"findings": [], "nextToken": "2"}, asked),
        ("list_findings_v2", {"findings": [finding]}, asked | {"nextToken": "2"}),
    ]
    with played(session, monkeypatch, "accessanalyzer", *answers):
        audit = Audit(session, "dogbreed", "dev", since)
        assert list(audit.analyzers()) == [(f"{ACCOUNT}role/any", "UnusedIAMRole, says one; mend or archive it")]
    assert audit.seen["analyzers"] == 1


def test_what_could_not_be_asked_is_no_clean_bill(session: boto3.Session) -> None:
    s3 = session.client("s3")
    with pytest.raises(ClientError, match="NoSuchBucket"):
        unless("NoSuchBucketPolicy", s3.get_bucket_policy, Bucket="nobody-s")
    s3.create_bucket(Bucket="some")
    assert unless("NoSuchBucketPolicy", s3.get_bucket_policy, Bucket="some") == {}
