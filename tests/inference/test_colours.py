"""Every way in which a file can say a colour, or which side is up, comes out as a viewer would show it."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from inference.artifact import InputSpec
from inference.preprocess import Preprocess
from tests.inference.hostile import GREY, GREY_ALPHA, PALETTE, RGB, RGBA, png, png_chunk
from tests.inference.mutations import saved

Colour = tuple[int, int, int]

RED, WHITE, PINK = (255, 0, 0), (255, 255, 255), (255, 127, 127)
SIDE = 32


def colour_of(content: bytes, tolerance: int = 1) -> Colour:
    """The one colour of an even picture."""
    pixels = Preprocess(InputSpec(SIDE, SIDE, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))(content)
    assert np.ptp(pixels, axis=(0, 1)).max() <= tolerance
    red, green, blue = pixels[SIDE // 2, SIDE // 2]
    return int(red), int(green), int(blue)


def even_png(depth: int, colour: int, pixel: bytes, transparent: bytes = b"") -> bytes:
    """A PNG whose pixels are all the same; `transparent` is the tRNS chunk's body."""
    idat = zlib.compress((b"\0" + pixel * SIDE) * SIDE)
    extra = png_chunk(b"PLTE", bytes((0, 0, 0, *RED))) if colour == PALETTE else b""
    return png(
        SIDE, SIDE, depth, colour, extra=extra + (png_chunk(b"tRNS", transparent) if transparent else b""), idat=idat
    )


@pytest.mark.parametrize(
    ("content", "colour"),
    [
        (even_png(8, RGB, bytes(RED)), RED),
        (even_png(8, RGB, bytes(RED), transparent=struct.pack(">HHH", *RED)), WHITE),
        (even_png(8, RGB, bytes(RED), transparent=struct.pack(">HHH", *WHITE)), RED),
        (even_png(8, RGBA, bytes((*RED, 255))), RED),
        (even_png(8, RGBA, bytes((*RED, 128))), PINK),
        (even_png(8, RGBA, bytes((*RED, 0))), WHITE),
        (even_png(16, RGB, struct.pack(">HHH", 0xFFFF, 0x0010, 0x00FF)), RED),
        (even_png(16, RGBA, struct.pack(">HHHH", 0xFFFF, 0, 0, 0x8000)), PINK),
        (even_png(8, PALETTE, b"\1"), RED),
        (even_png(8, PALETTE, b"\1", transparent=b"\xff\x80"), PINK),
        (even_png(8, PALETTE, b"\1", transparent=b"\xff\x00"), WHITE),
        (even_png(8, PALETTE, b"\1", transparent=b"\x00"), RED),
        (even_png(8, GREY, b"\x40"), (64, 64, 64)),
        (even_png(16, GREY, b"\x40\x80"), (64, 64, 64)),
        (even_png(16, GREY, b"\xff\xff"), WHITE),
        (even_png(8, GREY_ALPHA, b"\x00\x80"), (127, 127, 127)),
        (even_png(16, GREY_ALPHA, b"\x00\x00\x80\x00"), (127, 127, 127)),
    ],
)
def test_png_of_every_colour_type_and_depth(content: bytes, colour: Colour) -> None:
    assert np.abs(np.subtract(colour_of(content), colour)).max() <= 1


@pytest.mark.parametrize(
    ("options", "alpha", "colour"), [({"lossless": True}, 128, PINK), ({}, 255, RED), ({}, 0, WHITE)]
)
def test_webp_with_and_without_transparency(options: dict[str, object], alpha: int, colour: Colour) -> None:
    content = saved(Image.new("RGBA", (SIDE, SIDE), (*RED, alpha)), "WEBP", exact=True, **options)
    assert np.abs(np.subtract(colour_of(content, tolerance=3), colour)).max() <= 3


def test_cmyk_as_print_programs_write_it() -> None:
    # Pillow writes what Adobe's programs do: every ink inverted, and a marker that says so.
    content = saved(Image.new("CMYK", (SIDE, SIDE), (0, 255, 255, 0)), "JPEG", quality=95)
    assert b"Adobe" in content
    assert np.abs(np.subtract(colour_of(content, tolerance=3), RED)).max() <= 5


def test_cmyk_whose_inks_are_stored_as_brightness_and_colour() -> None:
    # The brightness and colour of cyan: inverted, as Adobe has it, they are the inks of red. No library here writes
    # such files, so the values are stored as inks, and the marker is told what they are.
    brightness, blueness, redness = 179, 171, 1
    inks = (255 - brightness, 255 - blueness, 255 - redness, 0)
    content = bytearray(saved(Image.new("CMYK", (SIDE, SIDE), inks), "JPEG", quality=95))
    content[content.index(b"Adobe") + len(b"Adobe") + 6] = 2
    assert np.abs(np.subtract(colour_of(bytes(content), tolerance=3), RED)).max() <= 6


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_counts_in_every_format(format: str, orientation: int) -> None:
    stored = Image.new("RGB", (SIDE, SIDE), "white")
    # Where the upper left quarter of the upright picture lies in the stored one, by EXIF's own table.
    left, top = {1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}[orientation]
    half = SIDE // 2
    stored.paste("red", (left * half, top * half, (left + 1) * half, (top + 1) * half))
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(stored, format, exif=exif, lossless=True)
    pixels = Preprocess(InputSpec(SIDE, SIDE, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))(content)
    assert (pixels[2 : half - 2, 2 : half - 2] == RED).all()
    assert (pixels[half + 2 :, half + 2 :] == WHITE).all()


def test_odd_exif_changes_nothing() -> None:
    content = saved(Image.new("RGB", (SIDE, SIDE), "red"), "WEBP", exif=b"none", lossless=True)
    assert colour_of(content) == RED
