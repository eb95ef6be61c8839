"""What is refused before anything of an artifact is used, each in one sentence."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference.artifact import (
    MANIFEST_NAME,
    ArtifactError,
    Manifest,
    manifest_sha256,
    parse_manifest,
    read_artifact,
    seal,
)

Edit = Callable[[dict[str, Any]], object]


def rewrite(model_dir: Path, edit: Edit) -> None:
    """Change model.json as somebody would who can write to the bucket."""
    content = json.loads((model_dir / MANIFEST_NAME).read_text())
    edit(content)
    (model_dir / MANIFEST_NAME).write_text(json.dumps(content))


def add_member(tar: tarfile.TarFile, name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.size, member.linkname = kind, len(content), "/etc/passwd"
    tar.addfile(member, io.BytesIO(content))


def packed_with(model_dir: Path, tar_path: Path, *extra: tuple[str, bytes, bytes]) -> Path:
    """The artifact as SageMaker packs it, with more members."""
    with tarfile.open(tar_path, "w:gz") as tar:
        tar.add(model_dir, ".")
        for name, content, kind in extra:
            add_member(tar, name, content, kind)
    return tar_path


def test_a_sealed_directory_reads_back_as_it_was_written(model_dir: Path, manifest: Manifest) -> None:
    digest = hashlib.sha256((model_dir / MANIFEST_NAME).read_bytes()).hexdigest()
    read = read_artifact(model_dir, expected_digest=digest)
    assert set(read.files) == {"graph.xml", "graph.bin", "code/handlers.py"}
    assert (read.classes, read.input) == (manifest.classes, manifest.input)
    assert read.precision == manifest.precision


def test_the_digest_that_travelled_outside_decides(model_dir: Path) -> None:
    rewrite(model_dir, lambda content: content["classes"].reverse())
    read_artifact(model_dir)
    with pytest.raises(ArtifactError, match="the release names"):
        read_artifact(model_dir, expected_digest="0" * 64)


def test_manifest_is_checked_before_it_is_parsed(model_dir: Path) -> None:
    (model_dir / MANIFEST_NAME).write_bytes(b"\xff not json")
    with pytest.raises(ArtifactError, match="the release names"):
        read_artifact(model_dir, expected_digest="0" * 64)


@pytest.mark.parametrize("name", ["graph.xml", "graph.bin", "code/handlers.py"])
def test_one_flipped_bit_is_refused(model_dir: Path, tmp_path: Path, name: str) -> None:
    content = bytearray((model_dir / name).read_bytes())
    content[len(content) // 2] ^= 1
    (model_dir / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{name} is not the one"):
        read_artifact(model_dir)
    with pytest.raises(ArtifactError, match=f"{name} is not the one"):
        manifest_sha256(packed_with(model_dir, tmp_path / "model.tar.gz"))


def test_a_missing_file_is_refused(model_dir: Path, tmp_path: Path) -> None:
    (model_dir / "graph.bin").unlink()
    with pytest.raises(ArtifactError, match=r"lacks the file graph\.bin"):
        read_artifact(model_dir)
    with pytest.raises(ArtifactError, match=r"lacks the file graph\.bin"):
        manifest_sha256(packed_with(model_dir, tmp_path / "model.tar.gz"))


def test_a_link_in_place_of_a_file_is_refused(model_dir: Path) -> None:
    moved = model_dir.with_name("elsewhere.bin")
    (model_dir / "graph.bin").rename(moved)
    (model_dir / "graph.bin").symlink_to(moved)
    with pytest.raises(ArtifactError, match=r"lacks the file graph\.bin"):
        read_artifact(model_dir)


def test_no_manifest_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no readable model\.json"):
        read_artifact(tmp_path)


def test_a_newer_major_format_is_refused_and_a_newer_minor_is_not(model_dir: Path) -> None:
    rewrite(model_dir, lambda content: content.update(format="1.7", invented_later=True))
    assert read_artifact(model_dir).format == "1.7"
    rewrite(model_dir, lambda content: content.update(format="2.0"))
    with pytest.raises(ArtifactError, match=r"format 2\.0, but this software reads format 1\.x: serve it with a newer"):
        read_artifact(model_dir)


@pytest.mark.parametrize(
    "edit",
    [
        lambda content: content.pop("classes"),
        lambda content: content.update(classes=[]),
        lambda content: content.update(classes=["a", "a"]),
        lambda content: content.update(temperature=0),
        lambda content: content.update(temperature="nan"),
        lambda content: content.update(run_id="../run"),
        lambda content: content["input"].update(size=0),
        lambda content: content["input"].update(mean=[0.5]),
        lambda content: content["input"].update(interpolation="magic"),
        lambda content: content.update(precision=None),
        lambda content: content.update(files=[]),
        lambda content: content["files"].pop("graph.xml"),
        lambda content: content.pop("format"),
        lambda content: content.update(format="one"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(model_dir: Path, edit: Edit) -> None:
    rewrite(model_dir, edit)
    with pytest.raises(ArtifactError):
        read_artifact(model_dir)


@pytest.mark.parametrize("name", ["../graph.xml", "/etc/passwd", "code/../../x", "a\\b", "./graph.xml", "", "a\x00b"])
def test_file_names_in_the_manifest_must_be_plain(model_dir: Path, name: str) -> None:
    rewrite(model_dir, lambda content: content["files"].update({name: "0" * 64}))
    with pytest.raises(ArtifactError, match="not a plain relative path"):
        read_artifact(model_dir)


def test_an_enormous_manifest_is_not_read(model_dir: Path) -> None:
    (model_dir / MANIFEST_NAME).write_bytes(b" " * (2 << 20))
    with pytest.raises(ArtifactError, match="larger than"):
        read_artifact(model_dir)


def test_tar_of_either_packer_gives_the_directory_digest(model_dir: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256((model_dir / MANIFEST_NAME).read_bytes()).hexdigest()
    with tarfile.open(tmp_path / "by_name.tar.gz", "w:gz") as tar:
        for path in model_dir.iterdir():
            tar.add(path, path.name)
    assert manifest_sha256(tmp_path / "by_name.tar.gz") == digest
    assert manifest_sha256(packed_with(model_dir, tmp_path / "as_a_folder.tar.gz")) == digest


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("../evil.py", tarfile.REGTYPE, "not a plain relative path"),
        ("/tmp/evil.py", tarfile.REGTYPE, "not a plain relative path"),  # noqa: S108 (nothing is written)
        ("code/../../evil.py", tarfile.REGTYPE, "not a plain relative path"),
        ("code/link.py", tarfile.SYMTYPE, "neither a file nor a folder"),
        ("code/link.py", tarfile.LNKTYPE, "is not a readable|neither a file nor a folder"),
        ("code/pipe", tarfile.FIFOTYPE, "neither a file nor a folder"),
        ("code/extra.py", tarfile.REGTYPE, "does not name"),
        ("./graph.xml", tarfile.REGTYPE, "two members"),
        ("../", tarfile.DIRTYPE, "not a plain relative path"),
    ],
)
def test_unsafe_members_are_refused(model_dir: Path, tmp_path: Path, name: str, kind: bytes, reason: str) -> None:
    tar_path = packed_with(model_dir, tmp_path / "model.tar.gz", (name, b"", kind))
    with pytest.raises(ArtifactError, match=reason):
        manifest_sha256(tar_path)


def test_a_cut_archive_and_a_missing_one_are_refused(model_dir: Path, tmp_path: Path) -> None:
    whole = packed_with(model_dir, tmp_path / "model.tar.gz").read_bytes()
    for length in (0, 1, len(whole) // 4, len(whole) // 2):
        (tmp_path / "cut.tar.gz").write_bytes(whole[:length])
        with pytest.raises(ArtifactError):
            manifest_sha256(tmp_path / "cut.tar.gz")
    with pytest.raises(ArtifactError, match="not a readable"):
        manifest_sha256(tmp_path / "absent.tar.gz")


def test_an_archive_that_fails_its_checksum_or_goes_on_is_refused(model_dir: Path, tmp_path: Path) -> None:
    archive = packed_with(model_dir, tmp_path / "model.tar.gz")
    intact = archive.read_bytes()
    archive.write_bytes(intact[:-8] + bytes(8))
    with pytest.raises(ArtifactError, match="not a readable"):
        manifest_sha256(archive)
    archive.write_bytes(intact[:-8])
    with pytest.raises(ArtifactError, match="not a readable"):
        manifest_sha256(archive)
    archive.write_bytes(gzip.compress(gzip.decompress(intact) + bytes(2 << 20)))
    with pytest.raises(ArtifactError, match="goes on behind its end"):
        manifest_sha256(archive)


def test_sealing_leaves_caches_out(model_dir: Path, manifest: Manifest) -> None:
    (model_dir / "code" / "__pycache__").mkdir()
    (model_dir / "code" / "__pycache__" / "handlers.pyc").write_bytes(b"x")
    seal(model_dir, manifest)
    assert not any("__pycache__" in name for name in read_artifact(model_dir).files)


def test_deeply_nested_json_is_refused_in_a_sentence() -> None:
    with pytest.raises(ArtifactError, match="damaged"):
        parse_manifest(b"[" * 100_000)


def test_an_archive_damaged_anywhere_is_refused_in_a_sentence(model_dir: Path, tmp_path: Path) -> None:
    archive = packed_with(model_dir, tmp_path / "model.tar.gz")
    intact, digest = archive.read_bytes(), manifest_sha256(archive)
    refused = 0
    for position in range(20, len(intact), max(1, len(intact) // 200)):
        damaged = bytearray(intact)
        damaged[position] ^= 0xFF
        archive.write_bytes(damaged)
        try:
            assert manifest_sha256(archive) == digest  # a byte that means nothing, such as padding
        except ArtifactError:
            refused += 1
    assert refused > 100
