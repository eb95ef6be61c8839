"""What stands before a merge, apart from the workflows: the hooks of a commit, and who is asked for a review."""

import re
import shutil

import yaml

from local_aws.home import REPOSITORY

REPOSITORIES = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"]


def test_the_hooks_fetch_nothing_and_each_starts_a_program_that_is_there() -> None:
    assert [repository["repo"] for repository in REPOSITORIES] == ["local"]
    hooks = REPOSITORIES[0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}
    assert len({hook["id"] for hook in hooks}) == len(hooks)
    programs = {hook["entry"].split()[0] for hook in hooks}
    assert [name for name in programs if not (REPOSITORY / name).is_file() and not shutil.which(name)] == []


def test_the_hooks_are_what_make_lint_runs() -> None:
    (recipe,) = re.findall(r"^lint:.*\n((?:\t.*\n)+)", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE)
    commands = [line.removeprefix("\t@") for line in recipe.splitlines()]
    entries = {hook["entry"] for hook in REPOSITORIES[0]["hooks"]}
    assert len(commands) == len(entries)
    assert [command for command in commands if not any(command.startswith(entry) for entry in entries)] == []


def test_each_hook_s_files_are_there() -> None:
    files = [str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob("[!.b]*/**/*")]
    files += [str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob(".github/**/*")]
    patterns = [hook["files"] for hook in REPOSITORIES[0]["hooks"] if "files" in hook]
    assert len(patterns) == 4
    assert [pattern for pattern in patterns if not any(re.search(pattern, file) for file in files)] == []


def test_each_path_that_has_owners_is_there() -> None:
    lines = (REPOSITORY / ".github" / "CODEOWNERS").read_text().splitlines()
    owned = [line.split() for line in lines if line and not line.startswith("#")]
    assert len(owned) > 10
    assert all(len(row) > 1 and all(owner.startswith("@") for owner in row[1:]) for row in owned)
    assert [path for path, *_ in owned if path != "*" and not (REPOSITORY / path.strip("/")).exists()] == []
