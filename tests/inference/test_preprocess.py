"""The pixels that the network gets: upright, RGB, cropped, and never from a hostile file."""

import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference import preprocess
from inference.artifact import InputSpec
from inference.preprocess import MAX_PIXELS, ImageError, ImageTooLargeError, Preprocess, check_together, decode
from tests.inference.hostile import with_scans


def spec(size: int = 16, resize: int = 16) -> InputSpec:
    return InputSpec(size, resize, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def file_of(image: Image.Image, format: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("size", [(16, 16), (40, 90), (301, 17), (3, 2)])
def test_every_format_and_shape_becomes_a_square_of_bytes(
    picture: Callable[..., bytes], format: str, size: tuple[int, int]
) -> None:
    pixels = Preprocess(spec())(picture("red", format=format, size=size))
    assert pixels.shape == (16, 16, 3)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.mean(axis=(0, 1)) - (255, 0, 0)).max() < 5


def test_the_crop_is_central_and_the_margin_as_the_spec_says() -> None:
    image = Image.new("RGB", (64, 32), "red")
    image.paste("blue", (16, 0, 48, 32))
    pixels = Preprocess(spec(size=32, resize=32))(file_of(image, "PNG"))
    assert (pixels == (0, 0, 255)).all()
    framed = Image.new("RGB", (32, 32), "red")
    framed.paste("blue", (4, 4, 28, 28))
    pixels = Preprocess(spec(size=24, resize=32))(file_of(framed, "PNG"))
    assert (pixels == (0, 0, 255)).all()


def test_one_resize_equals_resize_then_crop() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((512, 384), Image.Resampling.BICUBIC)
    two_steps = np.asarray(image.resize((64, 48), Image.Resampling.BICUBIC).crop((16, 8, 48, 40)), dtype=int)
    ours = Preprocess(spec(size=32, resize=48))(file_of(image, "PNG")).astype(int)
    # At its border the box cannot look at what lies beyond, so only the inside is the same.
    assert np.abs(ours - two_steps)[2:-2, 2:-2].max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_comes_out_upright(orientation: int) -> None:
    upright = Image.new("RGB", (32, 32), "white")
    upright.paste("red", (0, 0, 16, 16))
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = file_of(stored, "JPEG", exif=exif, quality=95, subsampling=0)
    pixels = Preprocess(spec(size=32, resize=32))(content).astype(int)
    assert np.abs(pixels[4:12, 4:12] - (254, 0, 0)).max() < 20
    assert np.abs(pixels[20:28, 20:28] - 255).max() < 20


@pytest.mark.parametrize(
    ("mode", "format"),
    [("L", "PNG"), ("L", "JPEG"), ("1", "PNG"), ("P", "PNG"), ("CMYK", "JPEG"), ("RGBA", "PNG"), ("LA", "PNG")],
)
def test_every_mode_comes_out_as_rgb(picture: Callable[..., bytes], mode: str, format: str) -> None:
    pixels = Preprocess(spec())(picture("white", format=format, mode=mode))
    assert pixels.shape == (16, 16, 3)
    assert pixels.min() > 250


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    middle = Image.fromarray(np.full((16, 16), 0x8000, dtype=np.uint16))
    assert set(Preprocess(spec())(file_of(middle, "PNG")).flat) == {0x80}


def test_transparency_lies_over_white() -> None:
    pixels = Preprocess(spec())(file_of(Image.new("RGBA", (16, 16), (255, 0, 0, 0)), "PNG"))
    assert (pixels == 255).all()
    palette = Image.new("P", (16, 16), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    assert (Preprocess(spec())(file_of(palette, "PNG", transparency=0)) == 255).all()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width: int, height: int) -> bytes:
    """The beginning of a PNG that claims any size."""
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


@pytest.mark.parametrize("size", [(MAX_PIXELS // 100 + 1, 100), (50_000, 50_000), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_refused_by_its_header(size: tuple[int, int]) -> None:
    with pytest.raises(ImageTooLargeError, match="megapixels are accepted"):
        Preprocess(spec())(png_header(*size) + png_chunk(b"IDAT", b""))


def test_a_line_of_65000_pixels_costs_no_more_than_any_image() -> None:
    content = file_of(Image.new("RGB", (65_000, 1), "red"), "PNG")
    assert (Preprocess(spec())(content) == (255, 0, 0)).all()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an image at all",
        b"\xff\xd8\xff\xe0" + b"\x00" * 50,
        b"\x89PNG\r\n\x1a\n" + b"\x00" * 50,
        png_header(10, 10) + png_chunk(b"IDAT", b""),
        b"GIF89a" + b"\x00" * 50,
        b"RIFF\x10\x00\x00\x00WEBPVP8 ",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    ],
)
def test_what_cannot_be_decoded_is_one_sentence(content: bytes) -> None:
    with pytest.raises(ImageError, match="cannot be decoded"):
        Preprocess(spec())(content)


def test_a_cut_photograph_is_refused_at_any_length(picture: Callable[..., bytes]) -> None:
    for format in ("JPEG", "PNG", "WEBP"):
        whole = picture("red", format=format, size=(64, 64))
        for length in range(1, len(whole) // 2, 7):
            with pytest.raises(ImageError):
                Preprocess(spec())(whole[:length])


def test_formats_that_nobody_asked_for_are_refused(picture: Callable[..., bytes]) -> None:
    for format in ("GIF", "BMP", "TIFF", "PPM"):
        with pytest.raises(ImageError):
            Preprocess(spec())(picture("red", format=format))


def test_large_jpegs_are_decoded_at_a_fraction_of_their_size(picture: Callable[..., bytes]) -> None:
    image = decode(picture("red", format="JPEG", size=(1600, 1200)), min_side=224)
    assert min(image.size) >= 224
    assert max(image.size) < 1600


@pytest.mark.parametrize(("side", "more_scans"), [(64, 100), (5000, 20)])
@pytest.mark.parametrize("options", [{"format": "JPEG"}, {"format": "MPO", "save_all": True}])
def test_a_jpeg_of_endless_scans_is_refused_before_it_is_decoded(
    picture: Callable[..., bytes], options: dict[str, object], side: int, more_scans: int
) -> None:
    if options["format"] == "MPO":
        options = {**options, "append_images": [Image.new("RGB", (8, 8))]}
    content = picture(size=(side, side), progressive=True, **options)
    assert min(decode(content, min_side=64).size) >= 64
    end = content.index(b"\xff\xd9")
    last_scan = content[content.rindex(b"\xff\xda", 0, end) : end]
    with pytest.raises(ImageError, match="too many scans"):
        decode(content[:end] + last_scan * more_scans + content[end:], min_side=64)


Square = tuple[float, str, int]  # megapixels, format, scans: a progressive JPEG starts at ten


def square(megapixels: float, format: str, scans: int) -> bytes:
    side = round(1000 * megapixels**0.5)
    if scans == 1:
        return file_of(Image.new("RGB", (side, side)), format)
    return with_scans(file_of(Image.new("RGB", (side, side)), format, progressive=True), scans)


@pytest.mark.parametrize(
    "squares",
    [
        [(2, "JPEG", 1)] * 16,
        [(2, "JPEG", 10)] * 16,
        [(25, "JPEG", 1)] * 2,
        [(25, "JPEG", 20)],
        [(25, "PNG", 1)],
        [(12.4, "PNG", 1), (12.4, "WEBP", 1)],
        [(10, "PNG", 1), (25, "JPEG", 1)],
    ],
)
def test_what_one_request_may_hold(squares: list[Square]) -> None:
    check_together([square(*one) for one in squares] + [b"no image"])


@pytest.mark.parametrize(
    ("squares", "counted"),
    [
        ([(25, "PNG", 1)] * 2, "100.0"),
        ([(16, "PNG", 1), (16, "WEBP", 1)], "64.0"),
        ([(16, "PNG", 1), (25, "JPEG", 1)], "57.0"),
        ([(25, "JPEG", 10)] * 2, "72.5"),
        ([(1, "JPEG", 100)] * 10, "59.5"),
    ],
)
def test_images_that_take_too_much_together_are_refused_by_their_heads(squares: list[Square], counted: str) -> None:
    with pytest.raises(ImageTooLargeError, match=f"count as {counted} megapixels together, PNG and WEBP twice"):
        check_together([square(*one) for one in squares])


COMMENT, EXIF = b"\xff\xfe\0\2", b"\xff\xe1\0\x0aExif\0\0MM"


@pytest.mark.parametrize(
    ("inserted", "times", "reason"),
    [(COMMENT, 20_000, "too many pieces"), (b"\xff", 60_000, "too many pieces"), (EXIF, 11, "repeats its")],
)
def test_a_jpeg_of_endless_segments_is_refused(
    picture: Callable[..., bytes], inserted: bytes, times: int, reason: str
) -> None:
    content = picture(format="JPEG")
    with pytest.raises(ImageError, match=reason):
        Preprocess(spec())(content[:2] + inserted * times + content[2:])


@pytest.mark.parametrize(
    ("kind", "body", "times", "reason"),
    [(b"teSt", b"", 30_000, "too many pieces"), (b"iCCP", b"a\0\0" + zlib.compress(bytes(1 << 20)), 11, "repeats its")],
)
@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
def test_a_png_of_endless_chunks_is_refused(
    picture: Callable[..., bytes], kind: bytes, body: bytes, times: int, reason: str, before: bytes
) -> None:
    content = picture(format="PNG")
    position = content.index(before) - 4
    with pytest.raises(ImageError, match=reason):
        Preprocess(spec())(content[:position] + png_chunk(kind, body) * times + content[position:])


def test_a_photograph_of_megapixels_as_png_is_not_too_many_pieces() -> None:
    # The least that libpng writes at a time, of pixels that would not compress.
    stored, step = zlib.compress(bytes(2500 * (1 + 3 * 1000)), level=0), 8192
    chunks = [png_chunk(b"IDAT", stored[i : i + step]) for i in range(0, len(stored), step)]
    file = preprocess.BoundedFile(png_header(1000, 2500) + b"".join(chunks) + png_chunk(b"IEND", b""))
    Image.open(file).load()
    assert file.reads > len(chunks)
    assert file.reads * (MAX_PIXELS / 2_500_000) < preprocess.MAX_READS


def test_odd_metadata_is_neither_printed_nor_kept(picture: Callable[..., bytes], tmp_path: Path) -> None:
    tags = b"".join(struct.pack(">HHII", tag, 2, 2_000_000_000, 8) for tag in range(500))
    exif = b"MM\0*" + struct.pack(">IH", 8, 500) + tags
    (tmp_path / "odd.webp").write_bytes(picture(format="WEBP", exif=exif))
    # In a process of its own, since pytest sets warnings up its own way.
    program = (
        "import sys; from pathlib import Path\n"
        "from PIL import TiffImagePlugin; from inference.preprocess import decode\n"
        "decode(Path(sys.argv[1]).read_bytes(), min_side=1)\n"
        "print(len(getattr(TiffImagePlugin, '__warningregistry__', {})))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "odd.webp"], capture_output=True, text=True, check=True
    )
    assert found.stderr == ""
    assert int(found.stdout) <= 1  # the registry's own version


def test_two_large_pictures_are_decoded_at_once_and_small_ones_beside_them(monkeypatch: pytest.MonkeyPatch) -> None:
    large, small = file_of(Image.new("L", (2001, 2000)), "PNG"), file_of(Image.new("RGB", (16, 16)), "PNG")
    inside, leave = threading.Semaphore(0), threading.Event()

    def held(image: Image.Image) -> Image.Image:
        if image.width > 2000:
            inside.release()
            assert leave.wait(timeout=30)
        return image.convert("RGB")

    monkeypatch.setattr(preprocess, "to_rgb", held)
    with ThreadPoolExecutor(4) as threads:
        decoded = [threads.submit(decode, large, 1) for _ in range(3)]
        assert inside.acquire(timeout=30)
        assert inside.acquire(timeout=30)
        assert not preprocess.LARGE_PICTURES.acquire(blocking=False)
        assert threads.submit(decode, small, 1).result(timeout=30).size == (16, 16)
        leave.set()
        assert [future.result(timeout=30).size for future in decoded] == [(2001, 2000)] * 3
