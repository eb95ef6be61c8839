"""The seams between HCL and the rest: each name and shape has one home, and the other side agrees with it."""

import ast
import hashlib
import json
import re
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hcl2
import pytest
from hcl2.utils import SerializationOptions

from local_aws.endpoints import _refuse_unknown_image
from local_aws.environment import ACCOUNT_ID, REGION
from ops import train_ec2
from ops.cost import Setup
from ops.releases import EMPTY, KEPT_RELEASES, with_count, with_release

REPOSITORY = Path(__file__).parents[2]
ROOT = REPOSITORY / "terraform"
ENVIRONMENTS = sorted((ROOT / "environments").glob("*.tfvars"))
DIGEST = "0123456789abcdef" * 4


def load(path: Path) -> dict[str, Any]:
    options = SerializationOptions(strip_string_quotes=True, explicit_blocks=False, with_comments=False)
    with path.open() as file:
        document: dict[str, Any] = hcl2.load(file, serialization_options=options)
    return document


def blocks(path: Path, kind: str) -> dict[str, Any]:
    """The blocks of one kind, such as "variable", by name."""
    return {name: body for block in load(path)[kind] for name, body in block.items()}


def environment_names_read(path: Path) -> set[str]:
    """Names that a Python file reads from os.environ or os.getenv, those that AWS itself sets apart."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Subscript(value=ast.Attribute(attr="environ"), slice=name):
                names.add(ast.literal_eval(name))
            case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="environ"), attr="get"), args=[name, *_]):
                names.add(ast.literal_eval(name))
            case ast.Call(func=ast.Attribute(attr="getenv"), args=[name, *_]):
                names.add(ast.literal_eval(name))
    return {name for name in names if not name.startswith(("AWS_", "_X_AMZN_"))}


def test_the_function_reads_what_terraform_sets() -> None:
    resources = load(ROOT / "modules" / "function" / "function.tf")["resource"]
    (function,) = (block["aws_lambda_function"]["this"] for block in resources if "aws_lambda_function" in block)
    (environment,) = function["environment"]
    read = set().union(*map(environment_names_read, (REPOSITORY / "lambda_function").glob("*.py")))
    assert set(environment["variables"]) == read


def test_the_function_has_the_handler_that_terraform_names() -> None:
    text = (ROOT / "modules" / "function" / "function.tf").read_text()
    (module, name) = re.findall(r'handler\s+= "(\w+)\.(\w+)"', text)[0]
    tree = ast.parse((REPOSITORY / "lambda_function" / f"{module}.py").read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def pattern(name: str) -> re.Pattern[str]:
    """An expression that Terraform holds each entry of a parameter against."""
    (expression,) = (block[name] for block in load(ROOT / "releases.tf")["locals"])
    return re.compile(expression)


@pytest.mark.parametrize("run_id", ["a", "run-2026-11-22-15-04-05", "0" * 40])
def test_terraform_takes_what_deploy_writes(run_id: str) -> None:
    (entry,) = with_release(EMPTY, run_id, DIGEST).split(",")
    match = pattern("release_pattern").search(entry)
    assert match
    assert match.groupdict() == {"run_id": run_id, "manifest_sha256": DIGEST}


@pytest.mark.parametrize(
    "entry",
    ["", "none", "run-a", f"run-a@{DIGEST[1:]}", f"run-a@{DIGEST.upper()}", f"Run-a@{DIGEST}", f"-a@{DIGEST}",
     f"{'a' * 41}@{DIGEST}", f"a b@{DIGEST}", f"a@b@{DIGEST}", f" a@{DIGEST}"],
)  # fmt: skip
def test_terraform_refuses_what_is_no_release(entry: str) -> None:
    assert not pattern("release_pattern").search(entry)


@pytest.mark.parametrize("run_id", ["a", "run-2026-11-22-15-04-05", "0" * 40])
def test_terraform_takes_the_counts_that_deploy_writes(run_id: str) -> None:
    for counts in (
        with_count(EMPTY, run_id, 3),
        with_count("other=1", run_id, 3),
        with_count(f"{run_id}=1", run_id, 3),
    ):
        match = pattern("count_pattern").search(counts.split(",")[0])
        assert match
        assert match.groupdict() == {"run_id": run_id, "instances": "3"}


@pytest.mark.parametrize("entry", ["", "none", "run-a", "run-a=", "run-a=0", "run-a=-1", "run-a=1000", "run-a=2,b=1"])
def test_terraform_refuses_what_is_no_count(entry: str) -> None:
    assert not pattern("count_pattern").search(entry)


def test_deploy_keeps_as_many_releases_as_terraform_takes() -> None:
    (limit,) = re.findall(r'length\(split\(",", self\.insecure_value\)\) <= (\d+)', (ROOT / "releases.tf").read_text())
    assert int(limit) == KEPT_RELEASES


def test_terraform_and_deploy_call_the_empty_list_the_same() -> None:
    parameters = load(ROOT / "releases.tf")["resource"]
    values = {name: body["insecure_value"] for block in parameters for name, body in block["aws_ssm_parameter"].items()}
    assert values == {"releases": EMPTY, "instance_counts": EMPTY, "serving": "on"}


def test_terraform_takes_the_tag_that_make_image_writes_and_nothing_else() -> None:
    (expression,) = (block["tag_pattern"] for block in load(ROOT / "image.tf")["locals"])
    assert re.search(expression, hashlib.sha256(b"").hexdigest())
    for tag in ("", "none", "latest", DIGEST.upper(), DIGEST[1:], f"{DIGEST}0", f"{DIGEST} "):
        assert not re.search(expression, tag)


def test_a_build_is_told_all_that_its_commands_ask_for() -> None:
    buildspec = (ROOT / "modules" / "image" / "buildspec.yml").read_text()
    resources = load(ROOT / "modules" / "image" / "build.tf")["resource"]
    (project,) = (block["aws_codebuild_project"]["this"] for block in resources if "aws_codebuild_project" in block)
    told = {variable["name"] for variable in project["environment"][0]["environment_variable"]}
    told |= set(re.findall(r'\{"name": "(\w+)", "value": tag', (REPOSITORY / "ops" / "image.py").read_text()))
    assert set(re.findall(r"\$\{?([A-Z_]+)", buildspec)) == told


def test_only_the_stand_in_names_its_image_and_one_that_it_runs() -> None:
    named = {path.stem: load(path).get("serving_image_uri") for path in ENVIRONMENTS}
    assert {environment for environment, uri in named.items() if uri} == {"local"}
    _refuse_unknown_image(named["local"])
    assert named["local"].startswith(f"{ACCOUNT_ID}.dkr.ecr.{REGION}.amazonaws.com/dogbreed-local-serving:")


def test_outputs_are_what_make_and_ops_read() -> None:
    assert set(blocks(ROOT / "outputs.tf", "output")) == {
        "region",
        "project",
        "data_bucket",
        "artifacts_bucket",
        "training_role_arn",
        "training_instance_type",
        "function_name",
        "function_alias",
        "function_url",
        "function_reserved_concurrency",
        "endpoint_name",
        "releases_parameter",
        "serving_parameter",
        "instance_counts_parameter",
        "image_repository_url",
        "image_project_name",
        "image_parameter",
        "serving_image_uri",
        "notebook_name",
        "permissions_boundary_arn",
        "key_arn",
        "training_network",
        "billed",
    }


def test_a_training_on_ec2_gives_its_root_what_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The boundary, which bounds every role, among it; without one nothing is said of it."""
    variables = blocks(ROOT / "ec2_run" / "variables.tf", "variable")
    outputs = dict.fromkeys(blocks(ROOT / "outputs.tf", "output"), "an-output") | {"function_name": "dogs-dev-predict"}
    monkeypatch.setattr(train_ec2.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0))
    monkeypatch.setenv("ENV", "dev")
    monkeypatch.setenv("COMMIT", "1234567")

    def given() -> set[str]:
        stack = train_ec2.Stack(outputs, tmp_path, "run-a")
        return set(re.findall(r"-var=(\w+)=", " ".join(stack._variables)))

    needed = {name for name, body in variables.items() if "default" not in body}
    assert needed | {"permissions_boundary_arn"} <= given() <= set(variables)
    del outputs["permissions_boundary_arn"]
    assert needed <= given() <= set(variables) - {"permissions_boundary_arn"}


def test_what_is_billed_by_the_hour_has_a_price() -> None:
    billed = blocks(ROOT / "outputs.tf", "output")["billed"]["value"]
    counted_in_the_plan = {"alarm_metrics", "keys"}
    assert set(billed) | counted_in_the_plan == {field.name for field in fields(Setup)}
    prices = json.loads((REPOSITORY / "ops" / "prices.json").read_text())
    variables = blocks(ROOT / "variables.tf", "variable")
    assert variables["endpoint_instance_type"]["default"] in prices["endpoint_usd_per_hour"]


def test_tools_read_only_outputs_that_exist() -> None:
    files = [*(REPOSITORY / "ops").glob("*.py"), *(REPOSITORY / "training").glob("*.py")]
    read = {name for file in files for name in re.findall(r"""outputs(?:\.get\(|\[)["\'](\w+)""", file.read_text())}
    assert read
    assert read <= set(blocks(ROOT / "outputs.tf", "output"))


def test_each_variable_and_output_is_described_and_each_variable_typed() -> None:
    for file in ROOT.rglob("*.tf"):
        document = load(file)
        for kind in ("variable", "output"):
            for block in document.get(kind, []):
                for name, body in block.items():
                    assert body.get("description"), f"{file}: {kind} {name} has no description"
                    assert kind == "output" or body.get("type"), f"{file}: variable {name} has no type"


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_an_environment_s_file_is_named_after_it_and_sets_only_variables(path: Path) -> None:
    settings = load(path)
    assert settings["environment"] == path.stem
    assert set(settings) <= set(blocks(ROOT / "variables.tf", "variable"))


def test_only_the_stand_in_is_emulated_and_prod_is_never_emptied() -> None:
    settings = {path.stem: load(path) for path in ENVIRONMENTS}
    assert {name for name, values in settings.items() if values.get("emulated")} == {"local"}
    assert not settings["prod"].get("empty_buckets_on_destroy")


def test_in_prod_the_function_can_make_the_endpoint_scale() -> None:
    prod = load(ROOT / "environments" / "prod.tfvars")
    target = prod["endpoint_scaling"].get("target_simultaneous_requests", 20)
    assert prod["function_reserved_concurrency"] > target * prod["endpoint_scaling"]["min_instances"]


@pytest.mark.parametrize("root", [ROOT, ROOT / "bootstrap", ROOT / "ec2_run"], ids=lambda path: path.name)
def test_the_lock_file_knows_every_platform(root: Path) -> None:
    (provider,) = load(root / ".terraform.lock.hcl")["provider"]
    (lock,) = provider.values()
    assert lock["version"] == "5.100.0"
    assert sum(entry.startswith("zh:") for entry in lock["hashes"]) == 15
    assert sum(entry.startswith("h1:") for entry in lock["hashes"]) >= 4
