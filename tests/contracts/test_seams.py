"""The seams between rooms and between languages: each fact has one home, and the other side agrees with it."""

import ast
import json
import os
import re
import sys
from pathlib import Path

import pytest

from local_aws.home import REPOSITORY
from local_aws.leftovers import listed_types
from training.arguments import parse_arguments
from training.jobs import METRICS
from training.search import RANGES, TRIAL


def pins(path: Path) -> dict[str, str]:
    """{"torch": "2.14.1"} from the lines name==version."""
    return dict(re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==([\w.]+)", path.read_text(), flags=re.MULTILINE))


@pytest.mark.xdist_group("itself")
def test_groups_of_tests_stay_on_one_worker(request: pytest.FixtureRequest) -> None:
    """Else the end-to-end path runs several times, each time a part of it."""
    assert "PYTEST_XDIST_WORKER" not in os.environ or request.node.nodeid.endswith("@itself")


def test_leftovers_are_looked_for_by_every_type_that_terraform_makes() -> None:
    files = (REPOSITORY / "terraform").rglob("*.tf")
    used = {
        kind for file in files for kind in re.findall(r'^resource "(aws_\w+)"', file.read_text(), flags=re.MULTILINE)
    }
    assert used
    assert used <= listed_types()


def test_the_notebook_may_start_and_read_the_jobs_that_the_launcher_names() -> None:
    (name,) = re.findall(r'base_job_name="([a-z]+)"', (REPOSITORY / "training" / "jobs.py").read_text())
    (search,) = re.findall(r'name = f"([a-z]+)-\{', (REPOSITORY / "training" / "search.py").read_text())
    notebook = (REPOSITORY / "terraform" / "modules" / "training" / "notebook.tf").read_text()
    assert re.findall(r"(tuning-job/|training-job/|log-stream:)([a-z]+)-\*", notebook) == [
        ("tuning-job/", search),
        ("training-job/", search),
        ("training-job/", name),
        ("log-stream:", name),
    ]


def test_the_training_job_installs_the_versions_that_are_tested_here() -> None:
    locked = pins(REPOSITORY / "training" / "requirements.txt")
    assert locked.items() <= pins(REPOSITORY / "requirements.txt").items()
    asked = pins(REPOSITORY / "training" / "requirements.in")
    assert asked
    assert asked.items() <= locked.items()


def test_the_serving_image_has_what_is_tested_here() -> None:
    """Whatever its source imports, in the same versions."""
    room = REPOSITORY / "inference"
    installed, tested = pins(room / "requirements.txt"), pins(REPOSITORY / "requirements.txt")
    assert installed.items() <= tested.items()
    asked = set(re.findall(r"^[a-z][\w-]*", (room / "requirements.in").read_text(), flags=re.MULTILINE))
    assert asked <= installed.keys()
    imported = set().union(*map(imported_packages, room.glob("*.py"))) - sys.stdlib_module_names - {"inference"}
    found_by_uvicorn = {"httptools", "uvloop"}
    assert {name.replace("PIL", "pillow") for name in imported} | found_by_uvicorn == asked


def imported_packages(path: Path) -> set[str]:
    """Top-level names that a Python file imports, at its top or inside a function."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_the_training_job_has_every_package_that_its_source_imports() -> None:
    in_the_image = {"torch", "torchvision", "numpy", "PIL"}
    serving = {REPOSITORY / "inference" / f"{name}.py" for name in ("serve", "connections")}
    launcher = {REPOSITORY / "training" / f"{name}.py" for name in ("jobs", "job_log", "search")}
    beside_the_job = launcher | serving
    files = {file for room in ("training", "inference") for file in (REPOSITORY / room).glob("*.py")} - beside_the_job
    imported = set().union(*map(imported_packages, files)) - sys.stdlib_module_names - {"training", "inference"}
    installed = {name.replace("-", "_") for name in pins(REPOSITORY / "training" / "requirements.in")}
    assert imported - in_the_image == installed


def test_the_search_varies_real_arguments_within_what_they_take() -> None:
    for name, values in RANGES.items():
        bounds = getattr(values, "values", None) or (values.min_value, values.max_value)
        for value in bounds:
            parsed = vars(parse_arguments([f"--{name}", str(value)]))
            assert parsed[name.replace("-", "_")] == float(value)
    parse_arguments([word for name, value in TRIAL.items() for word in (f"--{name}", value)])


def test_lock_files_name_no_address() -> None:
    rooms = [REPOSITORY / room / "requirements.txt" for room in ("inference", "training")]
    locks = [*REPOSITORY.glob("requirements*.txt"), *rooms]
    assert len(locks) == 6
    for path in locks:
        assert "--hash=sha256:" in path.read_text()
    npm_locks = [REPOSITORY / "tests" / name / "package-lock.json" for name in ("iam", "benchmarks")]
    for path in npm_locks:
        assert '"integrity": "sha512-' in path.read_text()
    for path in (*locks, *npm_locks):
        assert "://" not in path.read_text()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (
            "epoch=3 train_loss=1.9565 valid_loss=1.6356 valid_top1=0.7218",
            {"train:loss": 1.9565, "valid:loss": 1.6356, "valid:top1": 0.7218},
        ),
        (
            "valid_top1=0.7698 test_top1=0.7768 test_top5=0.9718",
            {"valid:top1": 0.7698, "test:top1": 0.7768, "test:top5": 0.9718},
        ),
        ("train features: 976/3540 images in 00:10, 97.18img/s", {}),
    ],
)
def test_metric_lines_are_read_by_the_launchers_expressions(line: str, found: dict[str, float]) -> None:
    matches = {name: re.search(pattern, line) for name, pattern in METRICS.items()}
    assert {name: float(match[1]) for name, match in matches.items() if match} == found


def test_a_metric_line_cut_in_two_yields_no_other_number() -> None:
    """The toolkit hands on what it read so far, wherever that ends."""
    line = "epoch=12 train_loss=11.9565 valid_loss=1.6356 valid_top1=0.7218"
    whole = {name: float(match[1]) for name, pattern in METRICS.items() if (match := re.search(pattern, line))}
    assert whole == {"train:loss": 11.9565, "valid:loss": 1.6356, "valid:top1": 0.7218}
    for cut in range(1, len(line)):
        for piece in (line[:cut], line[cut:]):
            for name, pattern in METRICS.items():
                match = re.search(pattern, piece)
                assert match is None or float(match[1]) == whole[name]


def test_the_notebook_is_kept_without_outputs() -> None:
    notebook = json.loads((REPOSITORY / "training" / "train_and_deploy.ipynb").read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) > 5
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


def test_each_test_that_the_security_assessment_rests_on_exists() -> None:
    text = (REPOSITORY / "docs" / "security-assessment.md").read_text()
    tests = "".join(path.read_text() for path in (REPOSITORY / "tests").rglob("test_*.py"))
    runs = "".join(path.read_text() for path in (REPOSITORY / "terraform").rglob("*.tftest.hcl"))
    rows = [line.rsplit("|", 2)[1] for line in text.splitlines() if re.match(r"\| [A-Z]", line)]
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert len(rows) > 20
    assert all(re.search(r"`\w+`", row) for row in rows)
    assert [name for name in names if f"def {name}(" not in tests and f'run "{name}" {{' not in runs] == []
