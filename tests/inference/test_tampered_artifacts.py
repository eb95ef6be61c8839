"""No tampered artifact is served: not one of hundreds, each refused in a sentence."""

import asyncio
import hashlib
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from inference.artifact import MANIFEST_NAME, ArtifactError, Manifest, manifest_sha256, read_artifact, seal
from inference.serve import ModelServer
from tests.conftest import wait_for
from tests.inference.process import SECONDS_TO_START, Server, serving
from tests.inference.tampering import (
    AGREES_WITH_ITSELF,
    ARCHIVES,
    SHOWS,
    flipped_bits,
    flipped_bits_in_manifest,
    pack_with,
)
from tests.inference.test_app import call

Figure = Callable[[str, object], None]


@pytest.fixture
def sealed(model_dir: Path, manifest: Manifest) -> Path:
    """A model as training leaves it, with weights to train on from."""
    (model_dir / "model.safetensors").write_bytes(random.Random(0).randbytes(500))  # noqa: S311
    seal(model_dir, manifest)
    return model_dir


def digest_of(directory: Path) -> str:
    """What whoever can write to the release list as well would write there."""
    path = directory / MANIFEST_NAME
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "0" * 64


def refusal_of_server(directory: Path) -> str:
    """The sentence with which a serving process ends; "" if it would serve."""
    server, refusal = ModelServer(directory), ""
    try:
        asyncio.run(server.load())
    except ArtifactError as error:
        refusal = str(error)
    status, _ = call(server, "GET", "/ping")
    server.pool.shutdown()
    assert status == (503 if refusal else 200)
    return refusal


def pings_until_the_end(server: Server) -> set[int | None]:
    statuses: set[int | None] = set()

    def has_ended() -> bool:
        statuses.add(server.ping())
        return server.process.poll() is not None

    wait_for(has_ended, SECONDS_TO_START)
    return statuses


def is_a_sentence(text: str) -> bool:
    return text.endswith(".") and "\n" not in text and "Traceback" not in text and len(text) < 400


@pytest.mark.counts(sample=300, full=3_000)
def test_no_tampered_directory_is_served(
    sealed: Path, tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch, record_property: Figure
) -> None:
    released = digest_of(sealed)
    kinds = (*SHOWS, *AGREES_WITH_ITSELF, flipped_bits_in_manifest)
    for number in range(count):
        tamper = kinds[number % len(kinds)]
        directory = Path(shutil.copytree(sealed, tmp_path / "tampered" / "model"))
        tamper(directory, random.Random(number))  # noqa: S311 (it has to be repeatable)
        case = f"{tamper.__name__}, {number}"
        digest = digest_of(directory) if tamper in SHOWS else released
        monkeypatch.setenv("MODEL_MANIFEST_SHA256", digest)
        refusal = refusal_of_server(directory)
        assert is_a_sentence(refusal), f"{case}: {refusal}"

        pack_with(directory, tmp_path / "model.tar.gz")
        try:
            assert manifest_sha256(tmp_path / "model.tar.gz") != released, case
        except ArtifactError as error:
            assert is_a_sentence(str(error)), f"{case}: {error}"
        assert not (directory.parent / "unpickled").exists(), case
        shutil.rmtree(directory.parent)
    record_property("tampered directories", f"{count} of {len(kinds)} kinds, none loads")


@pytest.mark.counts(sample=100, full=1_000)
def test_no_tampered_archive_is_released(sealed: Path, tmp_path: Path, count: int, record_property: Figure) -> None:
    for number in range(count):
        tamper = ARCHIVES[number % len(ARCHIVES)]
        tamper(sealed, tmp_path / "model.tar.gz", random.Random(number))  # noqa: S311 (it has to be repeatable)
        try:
            manifest_sha256(tmp_path / "model.tar.gz")
        except ArtifactError as error:
            assert is_a_sentence(str(error)), f"{tamper.__name__}, {number}: {error}"
        else:
            pytest.fail(f"{tamper.__name__}, {number} was not refused")
    record_property("tampered archives", f"{count} of {len(ARCHIVES)} kinds, none is released")


@pytest.mark.counts(sample=300, full=10_000)
def test_archives_with_damaged_bytes_are_the_same_or_refused(sealed: Path, tmp_path: Path, count: int) -> None:
    archive = tmp_path / "model.tar.gz"
    pack_with(sealed, archive)
    intact, released = archive.read_bytes(), digest_of(sealed)
    refused = 0
    for number in range(count):
        chance, damaged = random.Random(number), bytearray(intact)  # noqa: S311 (it has to be repeatable)
        for _ in range(chance.choice((1, 1, 4, 32))):
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        archive.write_bytes(damaged)
        try:
            assert manifest_sha256(archive) == released, number  # a bit that means nothing, such as a time
        except ArtifactError as error:
            assert is_a_sentence(str(error)), f"{number}: {error}"
            refused += 1
    assert refused > count / 2


@pytest.mark.counts(sample=2, full=10)
def test_a_process_with_a_tampered_model_says_so_and_ends(sealed: Path, count: int) -> None:
    released = digest_of(sealed)
    for number in range(count):
        base_dir = Path(shutil.copytree(sealed.parent, sealed.parent.with_name(f"tampered-{number}")))
        tamper = (flipped_bits, AGREES_WITH_ITSELF[0])[number % 2]
        tamper(base_dir / "model", random.Random(number))  # noqa: S311 (it has to be repeatable)
        with serving(base_dir, {"MODEL_MANIFEST_SHA256": released}) as server:
            assert pings_until_the_end(server) <= {None, 503}
            assert server.process.returncode == 1
            assert server.errors.startswith("The model cannot be served. ")
            assert server.errors.count("\n") == 1


@pytest.mark.parametrize("tamper", AGREES_WITH_ITSELF, ids=lambda tamper: tamper.__name__)
def test_what_agrees_with_itself_is_only_refused_for_its_digest(sealed: Path, tamper: Callable[..., None]) -> None:
    tamper(sealed, random.Random(0))  # noqa: S311 (it has to be repeatable)
    assert read_artifact(sealed, digest_of(sealed)).files == json.loads((sealed / MANIFEST_NAME).read_text())["files"]
