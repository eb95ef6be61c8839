"""What the documents promise to whoever types it or clicks on it: the targets, their variables, the links."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from local_aws.home import REPOSITORY

DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")])
MAKEFILE = (REPOSITORY / "Makefile").read_text()
# A target, and the variables that it is given.
COMMAND = re.compile(r"\bmake (?:-s )?([a-z][a-z0-9-]*)((?: +[A-Z_]+=(?:\"[^\"]*\"|<[^>]*>|[^\s\"]*))*)")

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def tokens(text: str) -> Iterator[Token]:
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        yield token
        yield from token.children or ()


def commands(text: str) -> list[tuple[str, list[str]]]:
    """(target, names of variables) of each `make` in a text's code. Prose makes other things."""
    code = "\n".join(token.content for token in tokens(text) if token.type in ("fence", "code_inline"))
    return [(target, re.findall(r"([A-Z_]+)=", given)) for target, given in COMMAND.findall(code)]


def anchors(text: str) -> set[str]:
    """What GitHub makes of a text's headings."""
    headings = re.findall(r"^#+ +(.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_commands_are_found_in_code_alone() -> None:
    text = 'Bunnies make holes. `make tune JOBS=2 ARGS="--epochs 1" ENV=dev`\n```sh\neval "$(make -s env)"\n```\n'
    assert commands(text) == [("tune", ["JOBS", "ARGS", "ENV"]), ("env", [])]


def test_the_documents_name_most_of_the_targets_and_the_readme_leads_to_each_document() -> None:
    assert len({target for document in DOCUMENTS for target, _ in commands(document.read_text())}) > 20
    readme = (REPOSITORY / "README.md").read_text()
    assert [path.name for path in DOCUMENTS if path.name != "README.md" and f"{path.name})" not in readme] == []


@each_document
def test_each_target_that_a_document_names_is_there(document: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):(?!=)", MAKEFILE, flags=re.MULTILINE))
    assert {target for target, _ in commands(document.read_text())} - targets == set()


@each_document
def test_each_variable_that_a_document_gives_is_one_that_the_makefile_knows(document: Path) -> None:
    """make takes any, and says nothing of those that nobody reads."""
    given = {name for _, names in commands(document.read_text()) for name in names}
    assert {name for name in given if not re.search(rf"\b{name}\b", MAKEFILE)} == set()


@each_document
def test_each_relative_link_leads_somewhere(document: Path) -> None:
    found = [token.attrs.get("href") or token.attrs.get("src") for token in tokens(document.read_text())]
    dead = []
    for link in (str(one) for one in found if one and not str(one).startswith("https://")):
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            dead.append(link)
    assert dead == []
