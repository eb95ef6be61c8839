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


def stage_wheels(s3: Any, bucket: str, requirements: Path, folder: Path) -> str:
    """Put what `requirements` locks below wheels/<its hash>/ in the bucket; returns the S3 URI of that prefix.

    What is there already stays; `folder` keeps the files here. Raises TrainingError when one is not to be had.
    """
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    prefix, kept = f"wheels/{digest}/", folder / digest
    if not (kept / "complete").exists():
        for version in PYTHON_VERSIONS:
            download(requirements, version, kept)
        (kept / "complete").touch()
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    there = {item["Key"] for page in pages for item in page.get("Contents", [])}
    for wheel in sorted(kept.glob("*.whl")):
        if prefix + wheel.name not in there:
            s3.upload_file(str(wheel), bucket, prefix + wheel.name)
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
