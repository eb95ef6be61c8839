"""The model artifact: what a release is made of, how it is written, and what is checked before any of it is used.

A model directory (or the same files in a `model.tar.gz`) holds

    model.json          everything one must know to serve the model, and the SHA-256 of every other file
    model.safetensors   the PyTorch weights, to train on from
    graph.xml/.bin      the same network as an OpenVINO graph: uint8 pixels in, logits out
    code/               the handlers, for AWS's own toolkit containers

The SHA-256 of `model.json` is the release's digest. It travels outside the artifact, so whoever can replace the files
cannot also replace what they are checked against.
"""

import gzip
import hashlib
import io
import json
import math
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import IO, Any

FORMAT = "1.1"
MANIFEST_NAME = "model.json"
GRAPH_NAME = "graph.xml"
GRAPH_WEIGHTS_NAME = "graph.bin"
WEIGHTS_NAME = "model.safetensors"
RUN_ID_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
INTERPOLATIONS = ("bilinear", "bicubic", "lanczos")

# A manifest of a thousand long class names is some 50 kB; the largest backbone in common use weighs about 1 GB.
MAX_MANIFEST_BYTES = 1 << 20
MAX_ARTIFACT_BYTES = 4 << 30
# Packers fill the end of an archive up with zeros; by default 10 kB of them.
MAX_PADDING_BYTES = 1 << 20


class ArtifactError(Exception):
    """The artifact is not what it should be. The message is one sentence for the person who tried to use it."""


@dataclass(frozen=True)
class InputSpec:
    """What the network expects of an image.

    `size` and `resize` are pixels: the shorter side is scaled to `resize`, then the central `size` x `size` is taken.
    `mean` and `std` are per channel (RGB), on the scale where a pixel goes from 0 to 1.
    """

    size: int
    resize: int
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 1 <= self.size <= self.resize:
            raise ValueError(f"the input size {self.size} must be between 1 and the resized side {self.resize}")
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(f"the interpolation {self.interpolation!r} is none of {', '.join(INTERPOLATIONS)}")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError("mean and std need three values each, and std positive ones")


@dataclass(frozen=True)
class PrecisionChoice:
    """The arithmetic the graph should run in, and the evidence.

    Of each candidate: validation top-1 (0 to 1) and, since format 1.1, the milliseconds for one image on the machine
    that exported the model.
    """

    chosen: str
    why: str
    validation_top1: Mapping[str, float]
    milliseconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """The content of `model.json`. `classes` stand in the order of the logits; `files` maps a name to its SHA-256."""

    run_id: str
    backbone: str
    classes: tuple[str, ...]
    input: InputSpec
    temperature: float
    precision: PrecisionChoice
    metrics: Mapping[str, float]
    files: Mapping[str, str]
    format: str = FORMAT

    def __post_init__(self) -> None:
        if not RUN_ID_PATTERN.fullmatch(self.run_id):
            raise ValueError(f"the run id {self.run_id!r} does not match {RUN_ID_PATTERN.pattern}")
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise ValueError("the class names must be at least one, and different")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"the temperature {self.temperature} is not a positive number")


def read_artifact(directory: Path, expected_digest: str | None = None) -> Manifest:
    """Verify a model directory and return what its `model.json` says.

    Nothing of it is interpreted before `model.json` was compared with `expected_digest` (when one is given) and every
    file with `model.json`. Files that `model.json` does not name are never read, so they need no check.

    Raises:
        ArtifactError: something is missing, changed, unsafe or newer than this code.
    """
    try:
        raw = read_limited((directory / MANIFEST_NAME).open("rb"))
    except OSError:
        raise ArtifactError(f"There is no readable {MANIFEST_NAME} in the model directory.") from None
    digest = hashlib.sha256(raw).hexdigest()
    if expected_digest and digest != expected_digest.strip().lower():
        raise ArtifactError(f"{MANIFEST_NAME} has the digest {digest}, but the release names {expected_digest}.")
    manifest = parse_manifest(raw)
    for name, expected in manifest.files.items():
        path, found = directory / name, None
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        check_file(name, found, expected)
    return manifest


def manifest_sha256(tar_path: Path) -> str:
    """Verify a whole `model.tar.gz` without unpacking it and return the SHA-256 of its `model.json`.

    Raises:
        ArtifactError: an unsafe or unlisted member, a file missing or changed, or no readable archive.
    """
    manifest_raw = b""
    seen: dict[str, str] = {}
    try:
        with gzip.open(tar_path) as unzipped, tarfile.open(fileobj=unzipped, mode="r:") as tar:
            for name, file in plain_members(tar):
                if name in seen:
                    raise ArtifactError(f"The artifact has two members named {name}.")
                if name == MANIFEST_NAME:
                    manifest_raw = read_limited(file)
                    file = io.BytesIO(manifest_raw)
                # tarfile's reader has readinto, which is all that file_digest asks for.
                seen[name] = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
            # tarfile stops where the archive says that it ends; gzip's checksum of it all stands behind that.
            if len(unzipped.read(MAX_PADDING_BYTES + 1)) > MAX_PADDING_BYTES:
                raise ArtifactError(f"{tar_path.name} goes on behind its end.")
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
        raise ArtifactError(f"{tar_path.name} is not a readable model.tar.gz ({error}).") from None
    if MANIFEST_NAME not in seen:
        raise ArtifactError(f"{tar_path.name} has no {MANIFEST_NAME}.")
    digest = seen.pop(MANIFEST_NAME)
    expected = parse_manifest(manifest_raw).files
    if unlisted := sorted(seen.keys() - expected.keys()):
        raise ArtifactError(f"The artifact holds {unlisted[0]}, which {MANIFEST_NAME} does not name.")
    for name, sha256 in expected.items():
        check_file(name, seen.get(name), sha256)
    return digest


def seal(directory: Path, manifest: Manifest) -> str:
    """Write `model.json` with the SHA-256 of every file in `directory`, and return the release's digest."""
    files = {}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory)
        if path.is_file() and "__pycache__" not in name.parts and str(name) != MANIFEST_NAME:
            files[str(name)] = hashlib.sha256(path.read_bytes()).hexdigest()
    raw = json.dumps(asdict(replace(manifest, files=files)), indent=2, ensure_ascii=False).encode() + b"\n"
    (directory / MANIFEST_NAME).write_bytes(raw)
    return hashlib.sha256(raw).hexdigest()


def parse_manifest(raw: bytes) -> Manifest:
    """Read `model.json`. Keys that a later minor format adds are ignored.

    Raises:
        ArtifactError: no valid manifest, or of a newer major format.
    """
    try:
        content: dict[str, Any] = json.loads(raw)
        found = str(content["format"])
        major = int(found.split(".")[0])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ArtifactError(f"{MANIFEST_NAME} is damaged: it is not JSON with a format number.") from None
    supported = int(FORMAT.split(".")[0])
    if major != supported:
        raise ArtifactError(
            f"The model has format {found}, but this software reads format {supported}.x: "
            f"serve it with a {'newer' if major > supported else 'older'} image."
        )
    try:
        image, precision = content["input"], content["precision"]
        manifest = Manifest(
            format=found,
            run_id=str(content["run_id"]),
            backbone=str(content["backbone"]),
            classes=tuple(map(str, content["classes"])),
            input=InputSpec(
                size=int(image["size"]),
                resize=int(image["resize"]),
                interpolation=str(image["interpolation"]),
                mean=tuple(map(float, image["mean"])),
                std=tuple(map(float, image["std"])),
            ),
            temperature=float(content["temperature"]),
            precision=PrecisionChoice(
                chosen=str(precision["chosen"]),
                why=str(precision["why"]),
                validation_top1=parse_figures(precision["validation_top1"]),
                milliseconds=parse_figures(precision.get("milliseconds", {})),
            ),
            metrics=parse_figures(content["metrics"]),
            files={str(name): str(sha256) for name, sha256 in content["files"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{MANIFEST_NAME} is damaged ({type(error).__name__}: {error}).") from None
    for name in manifest.files:
        check_name(name)
    for name in (GRAPH_NAME, GRAPH_WEIGHTS_NAME):
        if name not in manifest.files:
            raise ArtifactError(f"{MANIFEST_NAME} does not name {name}, without which nothing can be served.")
    return manifest


def parse_figures(content: Mapping[str, Any]) -> dict[str, float]:
    """Read names with a number each. Raises AttributeError, TypeError or ValueError."""
    return {str(name): float(figure) for name, figure in content.items()}


def plain_members(tar: tarfile.TarFile) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the regular files of an archive, and refuse every member that could write outside of its directory."""
    total_bytes = 0
    for member in tar:
        # `tar -C model -czf model.tar.gz .` is how SageMaker and people pack a directory.
        name = member.name.removeprefix("./")
        if member.isdir() and name in ("", "."):
            continue
        check_name(name)
        if member.isdir():
            continue
        file = tar.extractfile(member) if member.isreg() else None
        if file is None:
            raise ArtifactError(f"The artifact's member {name} is neither a file nor a folder.")
        total_bytes += member.size
        if total_bytes > MAX_ARTIFACT_BYTES:
            raise ArtifactError(f"The artifact unpacks to more than {MAX_ARTIFACT_BYTES >> 30} GiB.")
        yield name, file


def check_name(name: str) -> None:
    """Raise ArtifactError unless `name` is a plain relative path."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or str(path) != name or re.search(r"[\\\x00-\x1f]", name):
        raise ArtifactError(f"The artifact names {name!r}, which is not a plain relative path.")


def check_file(name: str, found: str | None, expected: str) -> None:
    """Raise ArtifactError unless the two SHA-256 are equal; where there is no such file, `found` is None."""
    if found is None:
        raise ArtifactError(f"The artifact lacks the file {name} that {MANIFEST_NAME} names.")
    if found != expected:
        raise ArtifactError(f"The artifact's file {name} is not the one that {MANIFEST_NAME} names: its hash differs.")


def read_limited(file: IO[bytes]) -> bytes:
    """Read and close a manifest. Raises ArtifactError when it is larger than any real one."""
    with file:
        raw = file.read(MAX_MANIFEST_BYTES + 1)
    if len(raw) > MAX_MANIFEST_BYTES:
        raise ArtifactError(f"{MANIFEST_NAME} is larger than {MAX_MANIFEST_BYTES} bytes.")
    return raw
