"""Damaged copies of good images: a seed and a number give the same bytes every time, so what fails can be repeated."""

import random
import struct
import zlib
from collections.abc import Sequence
from io import BytesIO

from PIL import Image, ImageDraw

from tests.inference.hostile import PNG_START

# What programs forget: the ends of ranges, and what turns negative.
EXTREMES = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\0\0",
    b"\xff\xff",
    b"\0\0\0\0",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff",
)
HEADER_BYTES = 200


def drawn_seeds() -> list[bytes]:
    """A picture in every mode and form that the three formats know, each of a few kilobytes."""
    picture = Image.new("RGB", (96, 64), "olive")
    pen = ImageDraw.Draw(picture)
    pen.ellipse((10, 5, 80, 60), "orange", "black", 3)
    pen.line((0, 0, 96, 64), "navy", 4)
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [picture.rotate(angle) for angle in (30, 60)]
    forms: list[tuple[str, str, dict[str, object]]] = [
        ("RGB", "JPEG", {}),
        ("RGB", "JPEG", {"progressive": True, "exif": exif, "comment": b"drawn"}),
        ("RGB", "JPEG", {"subsampling": 0, "restart_marker_rows": 1, "icc_profile": bytes(600)}),
        ("L", "JPEG", {}),
        ("CMYK", "JPEG", {}),
        ("RGB", "MPO", {"save_all": True, "append_images": frames}),
        ("RGB", "PNG", {"exif": exif, "icc_profile": bytes(600)}),
        ("RGBA", "PNG", {}),
        ("LA", "PNG", {}),
        ("P", "PNG", {"transparency": 0}),
        ("1", "PNG", {}),
        ("I;16", "PNG", {}),
        ("RGB", "PNG", {"save_all": True, "append_images": frames}),
        ("RGB", "WEBP", {"exif": exif}),
        ("RGBA", "WEBP", {"lossless": True}),
        ("RGB", "WEBP", {"save_all": True, "append_images": frames, "xmp": b"<x/>"}),
    ]
    return [saved(picture.convert(mode), format, **options) for mode, format, options in forms]


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def mutation(seeds: Sequence[bytes], number: int) -> bytes:
    """The `number`th damaged image: one of `seeds`, changed in one to four ways."""
    chance = random.Random(number)  # noqa: S311 (it has to be repeatable, not secret)
    content = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        chance.choice((flip_bits, overwrite, edit_header, cut, drop, repeat, splice))(content, chance, seeds)
    # Behind a wrong checksum nothing is parsed, so half of the PNGs get right ones.
    if content.startswith(PNG_START) and chance.random() < 0.5:
        repair_checksums(content)
    return bytes(content)


def flip_bits(content: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    for _ in range(min(len(content), chance.choice((1, 1, 2, 8, 64)))):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def overwrite(content: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    at = chance.randint(0, len(content))
    content[at : at + chance.randint(1, 64)] = chance.randbytes(chance.randint(1, 64))


def edit_header(content: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    for _ in range(chance.randint(1, 4)):
        at, value = chance.randint(0, min(HEADER_BYTES, len(content))), chance.choice(EXTREMES)
        content[at : at + len(value)] = value


def cut(content: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    del content[chance.randint(0, len(content)) :]


def drop(content: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    at = chance.randint(0, len(content))
    del content[at : at + chance.randint(1, 200)]


def repeat(content: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    at = chance.randint(0, len(content))
    content[at:at] = content[at : at + chance.randint(1, 400)] * chance.choice((1, 2, 50))


def splice(content: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    other = chance.choice(seeds)
    start, at = chance.randint(0, len(other)), chance.randint(0, len(content))
    content[at : at + chance.randint(0, 500)] = other[start : start + chance.randint(1, 2000)]


def repair_checksums(png: bytearray) -> None:
    """Write the right checksum behind every chunk, as far as the chunks can be followed."""
    at = len(PNG_START)
    while at + 12 <= len(png):
        end = at + 8 + struct.unpack_from(">I", png, at)[0]
        if end + 4 > len(png):
            return
        struct.pack_into(">I", png, end, zlib.crc32(png[at + 4 : end]))
        at = end + 4
