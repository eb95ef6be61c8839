"""Tampered copies of an artifact, as somebody makes them who can write to the bucket.

`SHOWS` and `AGREES_WITH_ITSELF` change an unpacked model, `ARCHIVES` write a model.tar.gz.
"""

import gzip
import hashlib
import io
import json
import pickle
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from inference.artifact import MANIFEST_NAME, MAX_MANIFEST_BYTES

Chance = random.Random


class Creates:
    """What unpickles into a new file: the proof that somebody loaded it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, (str(self.path), "w")


def files_of(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def any_file(directory: Path, chance: Chance) -> Path:
    return chance.choice(files_of(directory))


def any_listed(directory: Path, chance: Chance) -> Path:
    return chance.choice([path for path in files_of(directory) if path.name != MANIFEST_NAME])


def edit_manifest(directory: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((directory / MANIFEST_NAME).read_text())
    edit(content)
    (directory / MANIFEST_NAME).write_text(json.dumps(content))


def flipped_bits(directory: Path, chance: Chance) -> None:
    path = any_listed(directory, chance)
    content = bytearray(path.read_bytes())
    for at in chance.sample(range(len(content)), chance.choice((1, 1, 3))):
        content[at] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def flipped_bits_in_manifest(directory: Path, chance: Chance) -> None:
    content = bytearray((directory / MANIFEST_NAME).read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    (directory / MANIFEST_NAME).write_bytes(content)


def cut_file(directory: Path, chance: Chance) -> None:
    path = any_file(directory, chance)
    content = path.read_bytes()
    path.write_bytes(content[: chance.randrange(len(content))])


def longer_file(directory: Path, chance: Chance) -> None:
    path = any_listed(directory, chance)
    path.write_bytes(path.read_bytes() + chance.randbytes(chance.randint(1, 100)))


def missing_file(directory: Path, chance: Chance) -> None:
    any_file(directory, chance).unlink()


def link_for_file(directory: Path, chance: Chance) -> None:
    path = any_listed(directory, chance)
    moved = path.rename(directory.parent / f"moved-{path.name}")
    path.symlink_to(moved)


def folder_for_file(directory: Path, chance: Chance) -> None:
    path = any_file(directory, chance)
    path.unlink()
    path.mkdir()


def newer_format(directory: Path, chance: Chance) -> None:
    edit_manifest(directory, lambda content: content.update(format=f"{chance.randint(2, 99)}.{chance.randint(0, 9)}"))


def huge_manifest(directory: Path, chance: Chance) -> None:
    edit_manifest(
        directory, lambda content: content.update(backbone="x" * (MAX_MANIFEST_BYTES + chance.randint(0, 99)))
    )


def name_outside(directory: Path, chance: Chance) -> None:
    name = chance.choice(("../moved.bin", "/etc/passwd", "code/../../moved.bin", "code\\..\\moved.bin", "./graph.bin"))
    edit_manifest(directory, lambda content: content["files"].update({name: "0" * 64}))


def nonsense_in_manifest(directory: Path, chance: Chance) -> None:
    key = chance.choice(("format", "classes", "input", "temperature", "precision", "files", "run_id"))
    value: Any = chance.choice((None, [], {}, "", -1, "\0", [[]], {"a": []}))
    edit_manifest(directory, lambda content: content.update({key: value}))


def manifest_of_another_shape(directory: Path, chance: Chance) -> None:
    shapes = (
        b"",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 50_000,
        b'{"format": 1' + b"0" * 5_000 + b"}",
        b'{"format": "1.0"}',
    )
    (directory / MANIFEST_NAME).write_bytes(chance.choice(shapes))


def pickle_for_weights(directory: Path, chance: Chance) -> None:
    name = chance.choice(("model.safetensors", "graph.bin", "graph.xml"))
    (directory / name).write_bytes(pickle.dumps(Creates(directory.parent / "unpickled")))


# Each of these shows by itself: it is refused although model.json is the one that the release names.
SHOWS = (
    flipped_bits,
    cut_file,
    longer_file,
    missing_file,
    link_for_file,
    folder_for_file,
    newer_format,
    huge_manifest,
    name_outside,
    nonsense_in_manifest,
    manifest_of_another_shape,
    pickle_for_weights,
)


def with_fresh_hashes(tamper: Callable[[Path, Chance], None]) -> Callable[[Path, Chance], None]:
    """The same, but model.json agrees with the files again, as a careful attacker would have it."""

    def tampered(directory: Path, chance: Chance) -> None:
        tamper(directory, chance)
        files = [path for path in files_of(directory) if path.name != MANIFEST_NAME]
        hashes = {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
        edit_manifest(directory, lambda content: content.update(files=hashes))

    tampered.__name__ = f"{tamper.__name__}_with_fresh_hashes"
    return tampered


def swapped_files(directory: Path, chance: Chance) -> None:
    one, other = chance.sample([path for path in files_of(directory) if path.name != MANIFEST_NAME], 2)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def other_classes(directory: Path, chance: Chance) -> None:
    edit_manifest(directory, lambda content: content["classes"].insert(0, content["classes"].pop()))


def other_temperature(directory: Path, chance: Chance) -> None:
    edit_manifest(directory, lambda content: content.update(temperature=chance.uniform(0.1, 9)))


# These agree with themselves: only the digest that travelled outside gives them away.
AGREES_WITH_ITSELF = (
    *map(with_fresh_hashes, (longer_file, swapped_files, pickle_for_weights)),
    other_classes,
    other_temperature,
)


def pack_with(
    directory: Path, archive: Path, *extra: tarfile.TarInfo, content: bytes = b"", mode: Literal["w:gz"] = "w:gz"
) -> None:
    """Pack a model as SageMaker does, with more members, each of which has the content."""
    with tarfile.open(archive, mode, format=tarfile.PAX_FORMAT) as tar:
        tar.add(directory, ".")
        for member in extra:
            member.size = len(content) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(content))


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, link
    return found


def path_outside(directory: Path, archive: Path, chance: Chance) -> None:
    names = (
        "../evil.py",
        "/evil.py",
        "code/../../evil.py",
        "./../evil.py",
        "code\\..\\evil.py",
        "a\nb",
        "../" * 60 + "evil",
    )
    pack_with(directory, archive, member(chance.choice(names)), content=b"x")


def path_outside_in_extended_header(directory: Path, archive: Path, chance: Chance) -> None:
    harmless = member("code/handlers.py")
    harmless.pax_headers = {"path": chance.choice(("../evil.py", "/evil.py", "code/../../evil.py"))}
    pack_with(directory, archive, harmless, content=b"x")


def link_member(directory: Path, archive: Path, chance: Chance) -> None:
    kind = chance.choice((tarfile.SYMTYPE, tarfile.LNKTYPE))
    pack_with(
        directory, archive, member("code/link", kind, chance.choice(("/etc/passwd", "../../x", "graph.bin", "./code")))
    )


def special_member(directory: Path, archive: Path, chance: Chance) -> None:
    kind = chance.choice((tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE, b"Z"))
    pack_with(directory, archive, member("code/special", kind))


def duplicate_member(directory: Path, archive: Path, chance: Chance) -> None:
    name = chance.choice(("graph.bin", "./graph.bin", "graph.xml", MANIFEST_NAME, "code/handlers.py"))
    pack_with(directory, archive, member(name), content=chance.randbytes(50))


def unlisted_member(directory: Path, archive: Path, chance: Chance) -> None:
    names = ("code/inference.py", "sitecustomize.py", "code/__init__.py", "model.pth", "graph.bin/x")
    pack_with(directory, archive, member(chance.choice(names)), content=b"raise SystemExit")


def cut_archive(directory: Path, archive: Path, chance: Chance) -> None:
    pack_with(directory, archive)
    whole = archive.read_bytes()
    archive.write_bytes(whole[: chance.randrange(len(whole))])


def no_archive(directory: Path, archive: Path, chance: Chance) -> None:
    contents = (b"", b"PK\3\4", gzip.compress(b"no tar"), gzip.compress(bytes(10_240)), pickle.dumps({}), b"\x1f\x8b")
    archive.write_bytes(chance.choice(contents))


def bomb(directory: Path, archive: Path, chance: Chance) -> None:
    """An honest-looking end of an archive that says it has gigabytes."""
    pack_with(directory, archive)
    huge = member("code/huge")
    huge.size = (1 << 32) + chance.randrange(1 << 40)
    with gzip.open(archive, "rb") as packed:
        members = packed.read().rstrip(b"\0")
    padding = bytes(-len(members) % 512)
    archive.write_bytes(gzip.compress(members + padding + huge.tobuf(tarfile.GNU_FORMAT) + bytes(1024)))


ARCHIVES = (
    path_outside,
    path_outside_in_extended_header,
    link_member,
    special_member,
    duplicate_member,
    unlisted_member,
    cut_archive,
    no_archive,
    bomb,
)
