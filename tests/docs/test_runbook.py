"""The runbook against Terraform: whoever is woken by an alarm finds a section under its name."""

import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest

from local_aws.home import REPOSITORY
from tests.terraform.test_contracts import load

ROOT = REPOSITORY / "terraform"
# What speaks up, and which of its arguments is its name.
NAMED_BY = {"aws_cloudwatch_metric_alarm": "alarm_name", "aws_cloudwatch_composite_alarm": "alarm_name",
            "aws_budgets_budget": "name"}  # fmt: skip
PREFIX = "${local.prefix}-"


def merged(path: str, kind: str) -> dict[str, Any]:
    return dict(chain.from_iterable(block.items() for block in load(ROOT / path).get(kind, [])))


def names_in(module: str, arguments: dict[str, Any]) -> Iterator[str]:
    """What the alarms and the budget of a module are called, as far as its caller's `arguments` say it."""
    for file in (ROOT / "modules" / module).glob("*.tf"):
        for kind, resources in chain.from_iterable(block.items() for block in load(file).get("resource", [])):
            for body in resources.values() if kind in NAMED_BY else ():
                name = re.sub(r"\$\{var\.(\w+)\}", lambda match: arguments[match[1]], body[NAMED_BY[kind]])
                for key in body.get("for_each", [""]):
                    yield name.replace("${each.key}", key)


def announced() -> list[str]:
    """The names of all that speaks up, without project and environment."""
    local_values = merged("main.tf", "locals")
    found = []
    for module, arguments in merged("main.tf", "module").items():
        for name in names_in(module, arguments):
            resolved = re.sub(r"\$\{local\.(\w+_name)\}", lambda match: local_values[match[1]], name)
            resolved += "" if resolved.startswith(PREFIX) else ": its name does not begin with the prefix"
            found.append(resolved.removeprefix(PREFIX))
    return found


def sections() -> dict[str, str]:
    """The runbook's sections on alarms by the name in their heading."""
    text = (REPOSITORY / "docs" / "runbook.md").read_text()
    parts = re.split(r"^### `([^`]+)`$", text, flags=re.MULTILINE)
    return {
        name: re.split(r"^## ", body, flags=re.MULTILINE)[0]
        for name, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def test_each_alarm_has_its_section_and_each_section_an_alarm() -> None:
    names = announced()
    assert len(names) == len(set(names)) >= 7
    assert set(sections()) == set(names)


@pytest.mark.parametrize("name", sections())
def test_a_section_says_what_to_look_at_and_what_to_do_or_where_that_stands(name: str) -> None:
    body = sections()[name]
    assert re.search(r"\]\(#[\w-]+\)", body) or ("**Look:**" in body and "**Do:**" in body and "`" in body)
