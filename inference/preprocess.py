"""From the bytes of an image file to the pixels that the network sees: the same code trains, evaluates and serves.

Only 8-bit pixels leave this module. Normalisation is the first layer of the exported graph, where it costs nothing.
"""

import threading
import warnings
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from inference.artifact import InputSpec

# Pillow reads dozens of formats; these three are what cameras and browsers send, and have the best-tested decoders.
FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 25_000_000
# A progressive JPEG has about ten scans. Each one passes over the whole picture again, so a small file with thousands
# of them would keep a CPU busy for minutes.
MAX_SCANS = 100
COUNT_PER_SCAN = 0.05
# Decoded whole, where a JPEG is decoded at a fraction of its scale.
COUNT_OF_PNG_AND_WEBP = 2
# What the images of one request may count together, since a body of a few kilobytes can hold 16 of the largest. One
# alone may be the largest in any format, with twenty scans as a JPEG.
MAX_COUNTED_PIXELS = 2 * MAX_PIXELS
START_OF_SCAN = b"\xff\xda"  # never part of compressed data, where ff is always followed by 00 or a restart marker
# Pillow unpacks every colour profile of a PNG anew (a megabyte from a kilobyte), and copies all EXIF that came before
# whenever a JPEG goes on with more. An honest file has one of either.
MAX_REPEATS = 10
REPEATABLE = {b"\x89PNG": b"iCCP", b"\xff\xd8": b"Exif\0\0"}
# Pillow walks through chunks, segments and fill bytes in Python, a few reads each. A photograph of 25 megapixels, saved
# as PNG in chunks of 8 kB, takes some 27,000.
MAX_READS = 50_000
# Decoding takes up to 16 bytes a pixel, which a few threads with pictures of 25 megapixels would make gigabytes from
# requests of a kilobyte. Two at a time keep two CPUs as busy.
LARGE_PIXELS = 4_000_000
LARGE_PICTURES = threading.BoundedSemaphore(2)
# Pillow warns of each odd tag with a text of its own, and Python keeps every text that it ever showed: a sender could
# fill the log, and the memory.
warnings.filterwarnings("ignore", module=r"PIL\.")


class ImageError(ValueError):
    """The bytes are no image that can be decoded. The message is one sentence for the sender."""


class ImageTooLargeError(ImageError):
    """The image has more than MAX_PIXELS pixels."""


class BoundedFile(BytesIO):
    """A file that raises ImageError once it was read from more than MAX_READS times."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads > MAX_READS:
            raise ImageError("The image is in too many pieces: save it again with an ordinary program.")
        return super().read(size)


class Preprocess:
    """Decode, orient, scale and crop as one `InputSpec` says.

    Calling it with the bytes of a JPEG, PNG or WEBP file returns uint8 pixels of shape [size, size, 3] (RGB).

    Raises:
        ImageError: the bytes cannot be decoded.
        ImageTooLargeError: more than MAX_PIXELS pixels; raised before any of them is decoded.
    """

    def __init__(self, spec: InputSpec) -> None:
        self.spec = spec

    def __call__(self, content: bytes) -> NDArray[np.uint8]:
        image = decode(content, min_side=self.spec.resize)
        # Scaling the central box equals "shorter side to `resize`, then centre crop", but never makes the whole
        # scaled image: an image of 65,000 x 1 pixels would otherwise become one of 14 million x 224.
        side = min(image.size) * self.spec.size / self.spec.resize
        left, top = (image.width - side) / 2, (image.height - side) / 2
        box = (left, top, left + side, top + side)
        resampling = Image.Resampling[self.spec.interpolation.upper()]
        return np.asarray(image.resize((self.spec.size, self.spec.size), resampling, box))


def check_together(contents: Sequence[bytes]) -> None:
    """Raise ImageTooLargeError when images count more than MAX_COUNTED_PIXELS; only their heads are read."""
    counted = 0.0
    for content in contents:
        with suppress(Exception):  # what cannot be opened is refused, and better explained, when it is decoded
            counted += counted_pixels(Image.open(BoundedFile(content), formats=FORMATS), content)
    if counted > MAX_COUNTED_PIXELS:
        raise ImageTooLargeError(
            f"The images count as {counted / 1e6:.1f} megapixels together, PNG and WEBP twice and a JPEG more with "
            f"every scan; a request may have at most {MAX_COUNTED_PIXELS / 1e6:.0f}."
        )


def counted_pixels(image: Image.Image, content: bytes) -> float:
    """The pixels of an opened file, weighted by what decoding takes: those of a JPEG of a single scan count once."""
    pixels = image.width * image.height
    if not is_jpeg(image):
        return pixels * COUNT_OF_PNG_AND_WEBP
    return pixels * (1 + COUNT_PER_SCAN * (content.count(START_OF_SCAN) - 1))


def is_jpeg(image: Image.Image) -> bool:
    """MPO is Pillow's name for a JPEG that holds further pictures."""
    return image.format in ("JPEG", "MPO")


def decode(content: bytes, min_side: int) -> Image.Image:
    """Decode to an upright RGB image whose sides are at least `min_side` pixels where the file has as many.

    Raises:
        ImageError, ImageTooLargeError: as `Preprocess`.
    """
    if any(content.startswith(start) and content.count(part) > MAX_REPEATS for start, part in REPEATABLE.items()):
        raise ImageError("The image repeats its colour profile or EXIF: save it again with an ordinary program.")
    try:
        image: Image.Image = Image.open(BoundedFile(content), formats=FORMATS)
        pixels = image.width * image.height
        if pixels > MAX_PIXELS:
            raise too_large(f"{pixels / 1e6:.0f} megapixels")
        scans = content.count(START_OF_SCAN) if is_jpeg(image) else 1
        if scans > MAX_SCANS or counted_pixels(image, content) > MAX_COUNTED_PIXELS:
            raise ImageError(f"The JPEG has too many scans ({scans}): save it again as an ordinary one.")
        # libjpeg can decode at 1/2, 1/4 or 1/8 of the scale for a fraction of the time; other formats ignore this.
        image.draft("RGB", (min_side, min_side))
        with LARGE_PICTURES if pixels > LARGE_PIXELS else nullcontext():
            image.load()
            # EXIF that makes no sense says nothing of which side is up.
            with suppress(Exception):
                ImageOps.exif_transpose(image, in_place=True)
            return to_rgb(image)
    except ImageError:
        raise
    except Image.DecompressionBombError:
        raise too_large("far more") from None
    except Exception as error:
        # Pillow's parsers raise SyntaxError, struct.error, EOFError and more besides OSError on hostile files.
        raise ImageError("The image cannot be decoded: send an intact JPEG, PNG or WEBP file.") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any Pillow mode to RGB as a viewer would show it: 16 bits scaled to 8, transparency over white."""
    if image.mode.startswith("I"):
        # Pillow clips wide integers when it converts them, which turns most of a 16-bit picture white.
        image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        layer = image if image.mode == "RGBA" else image.convert("RGBA")
        page = Image.new("RGB", layer.size, "white")
        page.paste(layer, mask=layer)
        return page
    return image.convert("RGB")


def too_large(found: str) -> ImageTooLargeError:
    """The error for an image over the limit."""
    return ImageTooLargeError(f"The image has {found}; at most {MAX_PIXELS / 1e6:.0f} megapixels are accepted.")
