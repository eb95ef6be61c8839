"""The packages that a job installs, as files beside its data: for a job that reaches no package index."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

from training.errors import TrainingError

# AWS names no Python with its image: a job takes the wheels that fit its own.
PYTHON_VERSIONS = ("3.12", "3.13")
# What Amazon Linux 2023, with its glibc 2.34, can load.
MANYLINUX = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014", "manylinux_2_12")
REASON_CHARACTERS = 400
COMPLETE = "complete"  # comes last: whoever finds it finds the rest


def stage_wheels(s3: Any, bucket: str, requirements: Path, folder: Path) -> str:
    """Put what `requirements` locks below wheels/<its hash>/ in the bucket; returns the S3 URI of that prefix.

    `folder` keeps them here, too. What was staged once is not staged again. Raises TrainingError when one is not to be
    had.
    """
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    prefix, kept = f"wheels/{digest}/", folder / digest
    if not s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}{COMPLETE}")["KeyCount"]:
        if not (kept / COMPLETE).exists():
            for version in PYTHON_VERSIONS:
                download(requirements, version, kept)
            (kept / COMPLETE).touch()
        for wheel in sorted(kept.glob("*.whl")):
            s3.upload_file(str(wheel), bucket, prefix + wheel.name)
        s3.put_object(Bucket=bucket, Key=f"{prefix}{COMPLETE}")
    return f"s3://{bucket}/{prefix}"


def download(requirements: Path, python_version: str, folder: Path) -> None:
    """Get the wheels for one Python, each held against its hash. Raises TrainingError.

    pip would judge the lock's markers by the Python that runs here; uv resolves them for the one that is asked for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    resolved = folder / f"python-{python_version}.txt"
    uv = str(Path(sys.executable).with_name("uv"))
    resolve = [uv, "pip", "compile", "--quiet", "--no-deps", "--generate-hashes", "--no-header", "--no-annotate"]
    resolve += ["--python-version", python_version, "--python-platform", f"x86_64-{MANYLINUX[0]}", str(requirements)]
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    fetch += ["--only-binary", ":all:", "--require-hashes", "--dest", str(folder), "--requirement", str(resolved)]
    fetch += ["--python-version", python_version]
    fetch += [word for kind in MANYLINUX for word in ("--platform", f"{kind}_x86_64")]
    for command in ([*resolve, "--output-file", str(resolved)], fetch):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = " ".join((done.stderr or done.stdout).split())[-REASON_CHARACTERS:]
            raise TrainingError(f"The wheels for a job without a package index cannot be had: {said}")
