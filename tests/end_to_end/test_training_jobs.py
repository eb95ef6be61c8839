"""The launcher's whole repertoire on the stand-in: several hosts, interruptions, no network. `make verify` runs it."""

import hashlib
import io
import json
import re
import signal
import subprocess
import tarfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from local_aws.cloud import list_objects
from local_aws.environment import ACCOUNT_ID
from local_aws.home import REPOSITORY
from tests.conftest import wait_for
from tests.end_to_end.journey import Journey, with_drawn_dogs
from tests.end_to_end.notebook import execute
from training.backbone import load_backbone

pytestmark = [pytest.mark.full, pytest.mark.timeout(1500), pytest.mark.xdist_group("training_jobs")]
ARTIFACTS, DATA = (f"dogbreed-local-{purpose}-{ACCOUNT_ID}" for purpose in ("artifacts", "data"))
ARGUMENTS = "ARGS=--epochs 6 --calibration-images 16 --checkpoint-seconds 0"
Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    with with_drawn_dogs(tmp_path_factory.mktemp("jobs")) as path:
        yield path


def started(said: str) -> str:
    match = re.search(r"Training job (\S+) started", said)
    assert match, said
    return match[1]


def member(path: Journey, run_id: str, archive: str, name: str) -> bytes:
    """A file of a run's results."""
    body = path.client("s3").get_object(Bucket=ARTIFACTS, Key=f"runs/{run_id}/output/{archive}.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        content = tar.extractfile(name)
        assert content is not None
        return content.read()


def weights(path: Journey, run_id: str) -> str:
    return hashlib.sha256(member(path, run_id, "model", "model.safetensors")).hexdigest()


def metrics(path: Journey, run_id: str) -> dict[str, Any]:
    return dict(json.loads(member(path, run_id, "output", "metrics.json")))


@pytest.fixture(scope="module")
def undisturbed(path: Journey) -> str:
    """The run id of one that nobody touched."""
    return started(path.succeed("train-sagemaker", ARGUMENTS))


def begin(path: Journey, log: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """`make train-sagemaker`, running; its output goes to the log."""
    command = ["make", "--no-print-directory", "DATASET=end-to-end", "COMMIT=0000000", "train-sagemaker", *arguments]
    with log.open("w") as output:
        return subprocess.Popen(
            command, cwd=REPOSITORY, env=path.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )


def midway(path: Journey, log: Path) -> str:
    """Waits until a job has trained for some epochs and saved them; returns its run id."""
    wait_for(lambda: "epoch=2 " in log.read_text(), 120)
    run_id = started(log.read_text())

    def saved() -> bool:
        listed = path.client("s3").list_objects_v2(Bucket=ARTIFACTS, Prefix=f"checkpoints/{run_id}/training/")
        return bool(listed["KeyCount"])

    wait_for(saved, 60)
    return run_id


def programs_of(path: Journey, run_id: str) -> list[Any]:
    """The toolkit's processes of a job, one per host."""
    return [
        process
        for process in path.home.processes()
        if f"/{run_id}/" in process.cwd() and Path(process.cmdline()[-1]).name == "train"
    ]


def test_two_instances_end_in_the_figures_of_one(path: Journey, undisturbed: str, record_property: Record) -> None:
    said = path.succeed("train-sagemaker", ARGUMENTS, "INSTANCES=2")
    assert "algo-1: epoch=6 " in said
    assert "algo-2: epoch=" not in said
    shards = [int(count) for count in re.findall(r"train features: (\d+)/\1 images", said)]
    assert shards == [144, 144]  # of 288, each on one of the two
    alone, together = metrics(path, undisturbed), metrics(path, started(said))
    worst = max(
        abs(one[name] - two[name])
        for one, two in zip(alone["history"], together["history"], strict=True)
        for name in one
    )
    assert worst <= 1e-5
    assert alone["test_top1"] == together["test_top1"]
    record_property("two hosts", f"largest difference of any figure of any epoch from one host's: {worst:.1e}")


@pytest.mark.parametrize("victim", [0, 1])
def test_a_host_that_dies_fails_the_job(path: Journey, tmp_path: Path, victim: int, record_property: Record) -> None:
    process = begin(path, log := tmp_path / "log", "INSTANCES=2", "ARGS=--epochs 3 --fine-tune-epochs 200")
    wait_for(lambda: log.exists() and "phase=head" in log.read_text(), 180)
    run_id = started(log.read_text())
    at = time.monotonic()
    by_host = sorted(programs_of(path, run_id), key=lambda program: str(program.cwd()))
    by_host[victim].send_signal(signal.SIGKILL)
    assert process.wait(90) != 0
    seconds = time.monotonic() - at
    said = log.read_text()
    assert f"{run_id} ended as Failed: AlgorithmError: algo-{victim + 1}: The container was killed" in said
    assert seconds < 60
    record_property("a host killed", f"algo-{victim + 1}: the job failed after {seconds:.0f} s")


def test_a_stopped_job_goes_on_to_the_identical_model(path: Journey, undisturbed: str, tmp_path: Path) -> None:
    process = begin(path, log := tmp_path / "log", ARGUMENTS.replace("--epochs 6", "--epochs 6 --batch-size 256"))
    run_id = midway(path, log)
    path.client("sagemaker").stop_training_job(TrainingJobName=run_id)
    assert process.wait(150) != 0
    assert f"Training job {run_id} ended as Stopped" in log.read_text()
    said = path.succeed("train-sagemaker", f"RESUME={run_id}")
    assert "goes on from its checkpoint" in said
    assert weights(path, started(said)) == weights(path, undisturbed)
    refused = path.refuse("train-sagemaker", f"RESUME={undisturbed}")
    assert refused == f"Training job {undisturbed} is Completed: only one that stopped or failed can go on."


def test_an_interrupted_spot_job_ends_in_the_identical_model(path: Journey, undisturbed: str, tmp_path: Path) -> None:
    process = begin(path, log := tmp_path / "log", ARGUMENTS, "SPOT=1")
    run_id = midway(path, log)
    (program,) = programs_of(path, run_id)
    program.kill()
    assert process.wait(180) == 0, log.read_text()
    said = log.read_text()
    assert "(Interrupted: " in said
    assert "goes on from its checkpoint" in said
    assert weights(path, run_id) == weights(path, undisturbed)


def test_an_isolated_job_trains_with_weights_from_a_file(path: Journey, tmp_path: Path, undisturbed: str) -> None:
    """It has neither credentials nor a package index; source, wheels and weights come as channels."""
    backbone = load_backbone("tf_efficientnet_lite0", None, None)
    torch.manual_seed(0)
    classifier = {"classifier.weight": torch.zeros(1000, 1280), "classifier.bias": torch.zeros(1000)}
    save_file({**backbone.module.state_dict(), **classifier}, file := tmp_path / "weights.safetensors")
    said = path.succeed("train-sagemaker", ARGUMENTS, "ISOLATED=1", f"WEIGHTS={file}")
    job = path.client("sagemaker").describe_training_job(TrainingJobName=started(said))
    assert job["EnableNetworkIsolation"] is True
    channels = {channel["ChannelName"] for channel in job["InputDataConfig"]}
    assert channels == {"train", "valid", "test", "code", "wheels", "weights"}
    assert job["Environment"]["PIP_NO_INDEX"] == "1"
    assert weights(path, job["TrainingJobName"]) == weights(path, undisturbed)


def images_read(path: Journey) -> Counter[str]:
    """How many photographs of each split the training role has read."""
    reads: Counter[str] = Counter()
    for call in map(json.loads, path.calls().splitlines()):
        match = re.search(r"/datasets/end-to-end/(\w+)/", call["resource"])
        if match and call["action"] == "s3:GetObject" and call["role"].endswith("-training"):
            reads[match[1]] += call["count"]
    return reads


def test_a_search_trains_and_tests_the_best_of_its_trials(path: Journey, record_property: Record) -> None:
    before = images_read(path)
    said = path.succeed("tune", "JOBS=6", "ARGS=--epochs 4")
    read = images_read(path) - before
    uploaded = {
        split: len([*list_objects(path.client("s3"), f"s3://{DATA}/datasets/end-to-end/{split}/")])
        for split in ("train", "valid", "test")
    }
    # Six trials and the last training read what they learn from; the test split was read once.
    assert read == {split: count * (1 if split == "test" else 7) for split, count in uploaded.items()}
    assert said.index("valid loss") < said.index("trained and tested as")  # the table comes first
    (shown,) = re.findall(r"valid loss.*\n\S+ +([0-9.]+)", said)
    match = re.search(r"Search (\S+) started", said)
    assert match
    sagemaker, name = path.client("sagemaker"), match[1]
    listed = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    trials = listed["TrainingJobSummaries"]
    losses = [trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for trial in trials]
    chosen = [trial["TunedHyperParameters"] for trial in trials]
    assert len({json.dumps(values, sort_keys=True) for values in chosen}) == 6
    # None of the trials could see the test split, and none of their models lies where a deployment looks.
    for trial in trials:
        job = sagemaker.describe_training_job(TrainingJobName=trial["TrainingJobName"])
        assert {channel["ChannelName"] for channel in job["InputDataConfig"]} == {"train", "valid"}
        assert "test:top1" not in {item["MetricName"] for item in job["FinalMetricDataList"]}
        model = job["ModelArtifacts"]["S3ModelArtifacts"]
        assert model.endswith(f"/runs/{name}/{trial['TrainingJobName']}/output/model.tar.gz")
    # The best one's values were trained as they are.
    best = chosen[losses.index(min(losses))]
    run = re.search(r"trained and tested as training job (\S+):", said)
    assert run
    final = sagemaker.describe_training_job(TrainingJobName=run[1])
    assert {name: final["HyperParameters"][name] for name in best} == {k: v.strip('"') for k, v in best.items()}
    assert final["HyperParameters"]["epochs"] == "4"
    assert "test_top1" in metrics(path, run[1])
    assert f"Run {run[1]} is in service" in path.succeed("deploy")
    assert shown == f"{min(losses):.4f}"
    record_property("a search", f"{len(losses)} trials, valid losses {losses}; best first in the table: {shown}")
    record_property("photographs read by the search and its last training", f"{dict(read)} of {uploaded}")


def test_the_notebook_walks_from_the_photographs_to_a_prediction(path: Journey) -> None:
    shown = execute(path)
    assert "algo-1: epoch=3 " in shown
    assert len(re.findall(r"^search-\S+ +[0-9.]+ +Completed", shown, flags=re.MULTILINE)) == 6
    assert len(re.findall("'test:top1': ", shown)) == 3
    assert re.search(r"^drawn_\w+ +[0-9.]+%", shown, flags=re.MULTILINE)


@pytest.mark.parametrize("jobs", ["0", "x", "-1", "101"])
def test_a_number_of_trials_that_cannot_be_is_refused(path: Journey, jobs: str) -> None:
    assert path.refuse("tune", f"JOBS={jobs}") == f"JOBS is the number of trials, 1 to 100, not '{jobs}'."


def test_a_search_that_cannot_be_is_refused_in_a_sentence(path: Journey) -> None:
    fixed = "--learning-rate 0.001 --weight-decay 0.01 --batch-size 64"
    left = "Nothing is left to search: leave one of --learning-rate, --weight-decay, --batch-size out of ARGS."
    assert path.refuse("tune", f"ARGS={fixed}") == left
    assert path.refuse("tune", "DATASET=none").startswith("The data bucket holds no datasets/none/train/: run ")
    failed = path.make("tune", "JOBS=1", "ARGS=--epochs 0").stderr
    assert (
        "ended as Failed, and nothing was trained: AlgorithmError: The arguments are wrong: argument --epochs" in failed
    )


def test_what_cannot_be_is_refused_in_a_sentence(path: Journey, tmp_path: Path) -> None:
    refuse = path.refuse
    assert refuse("train-sagemaker", "INSTANCES=0") == "INSTANCES is a whole number from 1 to 20, not '0'."
    unknown = "SageMaker trains on no instance type 'ml.none': take one such as ml.m5.xlarge."
    assert refuse("train-sagemaker", "INSTANCE_TYPE=ml.none") == unknown
    nobody = "There is no training job 'run-nobody': RESUME takes the name of one that stopped."
    assert refuse("train-sagemaker", "RESUME=run-nobody") == nobody
    (tmp_path / "bad.safetensors").write_bytes(b"not weights")
    for name in ("nothing", "bad"):
        said = refuse("train-sagemaker", f"WEIGHTS={tmp_path / name}.safetensors")
        assert said.startswith(f"The weights {tmp_path / name}.safetensors cannot be read as safetensors (")
    log = path.make("train-sagemaker", "EPOCHS=0").stderr
    assert "AlgorithmError: The arguments are wrong: argument --epochs: 0 is not above zero and finite." in log


def test_a_bucket_that_goes_midway_is_told(path: Journey, tmp_path: Path) -> None:
    """Last in this file: nothing is left to train with."""
    process = begin(path, log := tmp_path / "log", ARGUMENTS)
    wait_for(lambda: log.exists() and "phase=features" in log.read_text(), 120)
    s3 = path.client("s3")

    def is_gone() -> bool:
        for kind in ("Versions", "DeleteMarkers"):
            for one in s3.list_object_versions(Bucket=ARTIFACTS).get(kind, []):
                s3.delete_object(Bucket=ARTIFACTS, Key=one["Key"], VersionId=one["VersionId"])
        try:
            s3.delete_bucket(Bucket=ARTIFACTS)
        except s3.exceptions.ClientError as error:  # the job has written again meanwhile
            assert error.response["Error"]["Code"] == "BucketNotEmpty"
            return False
        return True

    wait_for(is_gone)
    assert process.wait(120) != 0
    said = log.read_text()
    assert "Traceback" not in said
    assert re.search(r"ended as Failed: .*NoSuchBucket", said), said
