"""Bootstrap an account, then provision it as GitHub's workflows do: under the plan role and the apply role alone.

What the provider really calls under them must be allowed, so nothing is missing in the two longest policies here. On
the way each root is applied, found unchanged and taken away, the private network and zero releases included.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_aws.environment import ACCOUNT_ID, client_environment, without_aws
from local_aws.home import REPOSITORY
from local_aws.leftovers import leftovers
from tests.conftest import wait_for
from tests.end_to_end.journey import NO_CHANGES, Journey
from tests.iam.not_less import recorded, refused
from tests.iam.policies import in_account

pytestmark = [pytest.mark.full, pytest.mark.xdist_group("ci_roles"), pytest.mark.timeout(900)]
POLICIES = {"dogbreed-apply-local": 6, "dogbreed-plan": 1}  # role → policies that it has
KEY_ALIAS = "alias/dogbreed-local"
BUCKETS = {f"{kind}_bucket": f"dogbreed-local-{kind}-{ACCOUNT_ID}" for kind in ("data", "artifacts")}
# Called, and not to be allowed.
NOT_GIVEN = {
    "iam:GetUser": "the provider's way to the account's number where credentials are not validated: the stand-in",
    "s3:DeleteObjectVersion": "an apply deletes no object; where a bucket is emptied on destroy, a person does it",
    "s3:ListBucketVersions": "comes before it",
}
VARIABLES = [
    "-input=false",
    "-no-color",
    "-var-file=environments/local.tfvars",
    f"-var=function_package={REPOSITORY}/build/packages/function.zip",
    f"-var=permissions_boundary_arn=arn:aws:iam::{ACCOUNT_ID}:policy/dogbreed-boundary",
    "-var=network={}",
]


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    path = Journey(tmp_path_factory.mktemp("account"))
    path.environment |= {
        "TF_VAR_github_repository": "owner/name",
        "TF_VAR_apply_environments": json.dumps({"staging": "local"}),
    }
    path.succeed("up")
    path.succeed("packages")
    yield path
    path.make("down")
    path.home.kill_processes()


def run(variables: dict[str, str], *command: str) -> str:
    done = subprocess.run(command, cwd=REPOSITORY, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def as_role(account: Journey, name: str) -> dict[str, str]:
    """The environment of a workflow that has taken a role."""
    arn = f"arn:aws:iam::{ACCOUNT_ID}:role/{name}"
    taken = account.client("sts").assume_role(RoleArn=arn, RoleSessionName="workflow")["Credentials"]
    folder = account.home.path.parent / "terraform"
    return {**without_aws(account.environment), **client_environment(account.url, taken), "TF_DATA_DIR": str(folder)}


def start(variables: dict[str, str], log: Path, *command: str) -> subprocess.Popen[bytes]:
    with log.open("w") as output:
        return subprocess.Popen(
            command, cwd=REPOSITORY, env=variables, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )


def test_both_roles_are_enough_and_each_root_leaves_nothing(account: Journey, tmp_path: Path) -> None:
    """Each apply of a bucket waits a minute for its lifecycle: what needs only what is there by then goes on."""
    log = tmp_path / "bootstrap.log"
    bootstrap = start(account.environment, log, "make", "--no-print-directory", "bootstrap", "CONFIRM=yes")
    wait_for(lambda: bootstrap.poll() is not None or _has_policies(account), 120)
    before = leftovers(account.url)

    apply, plan = as_role(account, "dogbreed-apply-local"), as_role(account, "dogbreed-plan")
    backend = "-backend-config=environments/local.s3.tfbackend"
    run(apply, "ops/terraform_init.sh", "terraform", backend)
    applied = start(apply, tmp_path / "apply.log", "ops/terraform.sh", "apply", "-auto-approve", *VARIABLES)
    wait_for(lambda: applied.poll() is not None or _has_storage(account), 120)
    assert _has_storage(account), (tmp_path / "apply.log").read_text()
    storage = _storage(account)
    _one_training_instance(account, storage, tmp_path)
    assert applied.wait(300) == 0, (tmp_path / "apply.log").read_text()
    outputs = json.loads(run(apply, "ops/terraform.sh", "output", "-json"))
    assert {name: outputs[name]["value"] for name in storage} == storage
    assert NO_CHANGES in run(plan, "ops/terraform.sh", "plan", "-lock=false", *VARIABLES)
    run(apply, "ops/terraform.sh", "destroy", "-auto-approve", *VARIABLES)

    assert bootstrap.wait(300) == 0, log.read_text()
    assert leftovers(account.url) == before
    _judge(account)


def _has_policies(account: Journey) -> bool:
    """Whether bootstrap is done with what the two roles may do."""
    iam = account.client("iam")
    held = {role["RoleName"] for role in iam.list_roles()["Roles"]} & set(POLICIES)
    return held == set(POLICIES) and all(
        len(iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]) == count
        for name, count in POLICIES.items()
    )


def _has_storage(account: Journey) -> bool:
    """Whether the main root's buckets and its key are there."""
    aliases = {alias["AliasName"] for alias in account.client("kms").list_aliases()["Aliases"]}
    buckets = {bucket["Name"] for bucket in account.client("s3").list_buckets()["Buckets"]}
    return KEY_ALIAS in aliases and buckets >= set(BUCKETS.values())


def _storage(account: Journey) -> dict[str, str]:
    """Outputs of the main root that ec2_run takes for variables."""
    key = account.client("kms").describe_key(KeyId=KEY_ALIAS)["KeyMetadata"]
    return {**BUCKETS, "key_arn": key["Arn"]}


def _one_training_instance(account: Journey, storage: dict[str, str], folder: Path) -> None:
    """terraform/ec2_run, as the user: apply, nothing to change, destroy."""
    variables = ["-no-color", "-input=false", "-var=environment=local", "-var=emulated=true", "-var=run_id=run-a"]
    variables += [f"-var={name}={value}" for name, value in storage.items()]
    user = {
        **without_aws(account.environment),
        **client_environment(account.url),
        "TF_DATA_DIR": str(folder / "ec2_run"),
    }
    key = "-backend-config=key=dogbreed/local/ec2_run/run-a.tfstate"
    backend = "-backend-config=../environments/local.s3.tfbackend"
    run(user, "ops/terraform_init.sh", "terraform/ec2_run", backend, key)
    run(user, "terraform", "-chdir=terraform/ec2_run", "apply", "-auto-approve", *variables)
    assert NO_CHANGES in run(user, "terraform", "-chdir=terraform/ec2_run", "plan", *variables)
    run(user, "terraform", "-chdir=terraform/ec2_run", "destroy", "-auto-approve", *variables)


def _judge(account: Journey) -> None:
    calls = {call for call in recorded(account.calls()) if call.principal in POLICIES}
    assert {call.principal for call in calls} == set(POLICIES)
    assert len(calls) > 200
    missing = {(call.principal, call.action) for call, _ in refused(calls, in_account(account.client))}
    assert {action for _, action in missing} <= set(NOT_GIVEN), missing
