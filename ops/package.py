"""Build what Terraform and SageMaker take in by hash: the function's zip and the training source.

    python -m ops.package build/packages

The same files give the same bytes on any machine: sorted names, no timestamps, nothing compressed (what compression
yields depends on the zlib at hand).
"""

import argparse
import gzip
import io
import tarfile
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold
_TRAIN_PY = b"from training.train import main\n\nmain()\n"


def function_zip(folder: Path) -> bytes:
    """A zip of all files below `folder`, their paths relative to it."""
    return zipped(_files(folder, folder))


def zipped(files: dict[str, bytes]) -> bytes:
    """A zip of files by name, each readable to everybody."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as package:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            package.writestr(entry, content)
    return buffer.getvalue()


def source_tar(repository: Path) -> bytes:
    """A tar.gz of training/ and inference/, beside the train.py that SageMaker starts and what it installs first."""
    members = _files(repository / "training", repository) | _files(repository / "inference", repository)
    members |= {"train.py": _TRAIN_PY, "requirements.txt": (repository / "training" / "requirements.txt").read_bytes()}
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=0, mtime=0, fileobj=buffer) as stream,
        tarfile.open(fileobj=stream, mode="w") as package,
    ):
        for name, content in sorted(members.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            package.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _files(folder: Path, relative_to: Path) -> dict[str, bytes]:
    return {
        path.relative_to(relative_to).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "function.zip").write_bytes(function_zip(REPOSITORY / "lambda_function"))
    (folder / "source.tar.gz").write_bytes(source_tar(REPOSITORY))


if __name__ == "__main__":
    main()
