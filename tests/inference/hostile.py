"""Images that were made to upset whoever decodes them, drawn by code: nothing of this lies in the repository.

`corpus` yields each with its name and the content type it is sent under. What can be scaled comes in two sizes: as
large as a request can make it, or small enough for every day.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO

from PIL import Image

Hostile = tuple[str, str, bytes]

PNG_START = b"\x89PNG\r\n\x1a\n"
END_OF_IMAGE = b"\xff\xd9"
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}


def corpus(side: int, body_bytes: int) -> Iterator[Hostile]:
    """Every hostile image. `side` is that of the largest square, `body_bytes` the size of what goes on endlessly."""
    for name, content in pngs(side, body_bytes):
        yield f"PNG: {name}", "image/png", content
    for name, content in jpegs(side, body_bytes):
        yield f"JPEG: {name}", "image/jpeg", content
    for name, content in webps(side, body_bytes):
        yield f"WEBP: {name}", "image/webp", content
    for name, exif in exifs():
        yield f"EXIF in PNG: {name}", "image/png", png(8, 8, extra=png_chunk(b"eXIf", exif))
        yield f"EXIF in JPEG: {name}", "image/jpeg", insert(drawn("JPEG"), segment(0xE1, b"Exif\0\0" + exif))
        yield f"EXIF in WEBP: {name}", "image/webp", drawn("WEBP", exif=exif)
    yield from others()


def crowds(side: int) -> Iterator[tuple[str, list[bytes]]]:
    """Images of one request that take the longest together, each about as many as are accepted.

    `side` is that of the largest square. A JPEG strip is too low to be decoded at a fraction of its scale.
    """
    half = side // 2
    yield "two of the slowest PNGs", [png(side, half, 16, RGBA, line_filter=4)] * 2
    yield "sixteen of the slowest PNGs", [png(side // 4, side // 4, 16, RGBA, line_filter=4)] * 16
    yield "two of the largest WEBPs", [drawn("WEBP", mode="RGBA", size=(side, half), lossless=True)] * 2
    strip = drawn("JPEG", mode="CMYK", size=(side * side // 400, 380))
    yield "two JPEG strips", [strip] * 2
    for scans in (20, 100):
        width = int(side * side / 380 / (1 + 0.05 * (scans - 1)))
        yield (
            f"two progressive JPEG strips of {scans} scans",
            [with_scans(drawn("JPEG", mode="CMYK", size=(width, 380), progressive=True), scans)] * 2,
        )


def pngs(side: int, body_bytes: int) -> Iterator[tuple[str, bytes]]:
    megabyte = zlib.compress(bytes(1 << 20), 9)
    bomb = zlib.compress(bytes(1 << 26), 9)

    def endless(chunk: bytes) -> bytes:
        return chunk * (body_bytes // len(chunk))

    yield "30,000 x 30,000", png(30_000, 30_000, depth=1, colour=GREY)
    yield "two thousand million pixels square", png_header(2**31 - 1, 2**31 - 1) + png_chunk(b"IDAT", megabyte)
    yield "no pixels", png_header(0, 0) + png_chunk(b"IDAT", b"")
    yield "65,000 x 1", png(65_000, 1)
    yield "1 x 65,000", png(1, 65_000)
    for depth, colour in ((16, RGBA), (16, GREY), (8, GREY_ALPHA), (16, RGB), (1, GREY)):
        yield f"the largest, {depth} bit, colour type {colour}", png(side, side, depth, colour)
        yield (
            f"the largest, {depth} bit, colour type {colour}, interlaced",
            png(side, side, depth, colour, interlaced=1),
        )
    yield "the slowest filter on every line", png(side, side, 16, RGBA, line_filter=4)
    yield "a palette with transparency", png(side, side, extra=palette() + png_chunk(b"tRNS", b"\0"), colour=PALETTE)
    yield "a palette that is missing", png(8, 8, colour=PALETTE)
    yield "a palette of one colour and pixels of others", png(8, 8, extra=png_chunk(b"PLTE", bytes(3)), colour=PALETTE)
    for kind, body in ((b"tEXt", b"a\0b"), (b"teSt", b""), (b"IDAT", b""), (b"zTXt", b"a\0\0" + zlib.compress(b"b"))):
        yield f"endless {kind.decode()} before the pixels", png(8, 8, extra=endless(png_chunk(kind, body)))
        yield f"endless {kind.decode()} after the pixels", png(8, 8, trailer=endless(png_chunk(kind, body)))
    yield "a byte of pixels per chunk", png(side, side, idat_bytes=1)
    yield "more pixels than it declares", png(8, 8, idat=bomb)
    for kind in (b"iCCP", b"zTXt"):
        yield f"{kind.decode()} of 64 MB", png(8, 8, extra=png_chunk(kind, b"a\0\0" + bomb))
        yield f"{kind.decode()} of a megabyte, endless", png(8, 8, extra=endless(png_chunk(kind, b"a\0\0" + megabyte)))
    yield "iTXt of 64 MB", png(8, 8, extra=png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb))
    yield "a chunk of four gigabytes", png_header(8, 8) + b"\xff\xff\xff\xffIDAT"
    yield "a wrong checksum", png(8, 8).replace(b"IEND\xae", b"IEND\xaf")
    yield "no end", png(8, 8)[:-12]
    frame = png_chunk(b"fcTL", struct.pack(">5IHHBB", 0, 8, 8, 0, 0, 1, 1, 0, 0))
    animation = png_chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)) + frame
    yield "APNG of endless frames", png(8, 8, extra=animation, trailer=endless(frame + png_chunk(b"fdAT", bytes(4))))


def jpegs(side: int, body_bytes: int) -> Iterator[tuple[str, bytes]]:
    small = drawn("JPEG")
    yield "65,535 x 65,535", resized(small, 65_535, 65_535)
    yield "no lines", resized(small, 0, 16)
    yield "65,500 x 1", drawn("JPEG", size=(65_500, 1))
    yield "1 x 65,500", drawn("JPEG", size=(1, 65_500))
    for mode in ("L", "RGB", "CMYK"):
        large = drawn("JPEG", mode=mode, size=(side, side), progressive=True)
        yield f"the largest, progressive {mode}", large
        yield f"twenty scans over the largest {mode}", with_scans(large, 20)
        yield f"a hundred scans over the largest {mode}", with_scans(large, 100)
    tiny = drawn("JPEG", progressive=True)
    yield "thousands of scans", with_scans(tiny, body_bytes // 200)
    several = drawn("MPO", size=(side, side), progressive=True, save_all=True, append_images=[Image.new("RGB", (8, 8))])
    yield "thousands of scans in the first of several pictures", with_scans(several, body_bytes // 2000)
    for name, part in {
        "comments": segment(0xFE, b""),
        "application data": segment(0xE1, b""),
        "fill bytes": b"\xff",
        "EXIF": segment(0xE1, b"Exif\0\0MM\0*" + bytes(8)),
        "long EXIF": segment(0xE1, b"Exif\0\0MM\0*" + bytes(1_000)),
        "colour profiles": segment(0xE2, b"ICC_PROFILE\0\1\1"),
        "Photoshop resources": segment(0xED, b"Photoshop 3.0\0" + b"8BIM\0\1\0\0\0\0\0\0" * 5_000),
        "quantisation tables": segment(0xDB, b"\0" + b"\1" * 64),
        "frame headers": segment(0xC0, b"\x08\0\x08\0\x08\1\1\x11\0"),
        "restart intervals": segment(0xDD, bytes(2)),
    }.items():
        yield f"endless {name}", insert(small, part * (body_bytes // len(part)))
    yield (
        "a colour profile with 254 parts missing",
        insert(small, segment(0xE2, b"ICC_PROFILE\0\1\xff" + bytes(60_000))),
    )
    yield (
        "several pictures by its own word",
        insert(small, segment(0xE2, b"MPF\0" + tiff(entry(0xB001, 4, 1, 2**32 - 1)))),
    )
    yield "twelve bits", small.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c")
    yield "arithmetic coding", small.replace(b"\xff\xc0", b"\xff\xc9")
    yield "no Huffman tables", small.replace(b"\xff\xc4", b"\xff\xfe")
    yield "no end, and a million zeros", small[:-2] + bytes(1_000_000)
    yield "cut", small[: len(small) // 2]
    yield "a script in its comment", insert(small, segment(0xFE, b"<html><script>alert(1)</script></html>"))
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("../evil.py", "raise SystemExit")
    yield "a ZIP at its end", small + archive.getvalue()
    yield "a PNG at its end", small + png(8, 8)
    yield "a GIF before it", b"GIF89a" + small


def webps(side: int, body_bytes: int) -> Iterator[tuple[str, bytes]]:
    still = drawn("WEBP")[12:]
    flag_animated = 2
    placed = bytes(6) + (7).to_bytes(3, "little") * 2 + bytes(4)
    frame = webp_chunk(b"ANMF", placed + still)
    animation = webp_chunk(b"ANIM", bytes(6))
    for width, height in ((16_383, 16_383), (1 << 24, 255), (1 << 24, 1 << 24), (30_000, 30_000), (side, side)):
        name = f"a canvas of {width:,} x {height:,}"
        yield name, webp(canvas(width, height, flag_animated) + animation + frame)
    frames = [Image.new("RGB", (200, 200), (i, 0, 0)) for i in range(50)]
    yield "animated", drawn("WEBP", size=(200, 200), save_all=True, append_images=frames)
    endless = frame * (body_bytes // len(frame))
    yield "endless frames", webp(canvas(8, 8, flag_animated) + animation + endless)
    yield "endless frames on the largest canvas", webp(canvas(side, side, flag_animated) + animation + endless)
    yield "endless chunks", webp(canvas(8, 8, 0) + webp_chunk(b"test", b"") * (body_bytes // 8) + still)
    yield "the largest, lossless with alpha", drawn("WEBP", mode="RGBA", size=(side, side), lossless=True)
    yield "the largest", drawn("WEBP", size=(side, side))
    yield "a length that lies", webp(still)[:4] + b"\xff\xff\xff\xff" + webp(still)[8:]
    yield "an empty frame", webp(canvas(8, 8, flag_animated) + animation + webp_chunk(b"ANMF", b""))
    yield "a colour profile of megabytes", webp(canvas(8, 8, 32) + webp_chunk(b"ICCP", bytes(body_bytes)) + still)
    yield "cut", webp(still)[:-20]


def exifs() -> Iterator[tuple[str, bytes]]:
    """TIFF structures, as EXIF holds them."""
    yield "a directory that is its own child", tiff(entry(0x8769, 4, 1, 8))
    yield "a directory that is its own successor", tiff(entry(0x112, 3, 1, 6 << 16), following=8)
    yield "65,535 entries by its own word", b"MM\0*\0\0\0\x08\xff\xff"
    yield "an offset beyond the end", b"MM\0*\xff\xff\xff\xff"
    yield "the largest count", tiff(*(entry(tag, 12, 0x0FFFFFFF, 8) for tag in range(100)))
    yield "thousands of entries over the same bytes", tiff(*(entry(tag, 2, 40_000, 8) for tag in range(4_000)))
    yield "orientation 0", tiff(entry(0x112, 3, 1, 0))
    yield "orientation 9", tiff(entry(0x112, 3, 1, 9 << 16))
    yield "an orientation of fractions by zero", tiff(entry(0x112, 10, 1_000, 8)) + bytes(8_000)
    yield "an orientation of letters", tiff(entry(0x112, 2, 12, 8))
    yield "no TIFF at all", b"none"
    yield "nothing", b""


def others() -> Iterator[Hostile]:
    yield "empty", "image/jpeg", b""
    for start in (b"\xff", b"\x89", b"R", b"\0"):
        yield f"the one byte {start!r}", "image/png", start
    yield "a PNG by its first bytes only", "image/png", PNG_START
    yield "zeros", "image/webp", bytes(100_000)
    for format in ("GIF", "BMP", "TIFF", "PPM", "ICO", "TGA", "PDF", "EPS"):
        yield f"{format} as JPEG", "image/jpeg", drawn(format)
    yield "SVG as PNG", "image/png", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    yield "a GIF's first bytes only", "image/jpeg", b"GIF89a\xff\xff\xff\xff"
    yield "PNG as JPEG", "image/jpeg", drawn("PNG")
    for content_type in (
        "",
        "text/html",
        "image/svg+xml",
        "image/*",
        "application/octet-stream",
        "image/jpeg/../..",
        "/",
    ):
        yield f"an image as {content_type!r}", content_type, drawn("JPEG")
    yield "an image as JSON", "application/json", drawn("JPEG")


def drawn(format: str, mode: str = "RGB", size: tuple[int, int] = (16, 16), **options: object) -> bytes:
    """The file that Pillow writes of an even picture."""
    file = BytesIO()
    Image.new(mode, size).save(file, format, **options)
    return file.getvalue()


def png(
    width: int,
    height: int,
    depth: int = 8,
    colour: int = RGB,
    *,
    interlaced: int = 0,
    line_filter: int = 0,
    extra: bytes = b"",
    trailer: bytes = b"",
    idat: bytes | None = None,
    idat_bytes: int = 1 << 20,
) -> bytes:
    """A whole PNG with `extra` chunks before the pixels and `trailer` after them, its pixels `idat_bytes` a chunk."""
    if idat is None:
        line = bytes([line_filter]) + bytes([line_filter and 1]) * -(-width * depth * CHANNELS[colour] // 8)
        # The seven passes of an interlaced picture have, together, fewer than two more lines for each of its lines.
        compressor = zlib.compressobj(1)
        idat = b"".join(compressor.compress(line) for _ in range(height)) + compressor.compress(
            bytes(interlaced * 2 * height)
        )
        idat += compressor.flush()
    pixels = b"".join(png_chunk(b"IDAT", idat[i : i + idat_bytes]) for i in range(0, len(idat), idat_bytes))
    return png_header(width, height, depth, colour, interlaced) + extra + pixels + trailer + png_chunk(b"IEND", b"")


def png_header(width: int, height: int, depth: int = 8, colour: int = RGB, interlaced: int = 0) -> bytes:
    return PNG_START + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def palette() -> bytes:
    return png_chunk(b"PLTE", bytes(768))


def segment(marker: int, body: bytes) -> bytes:
    """A marker segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def insert(jpeg: bytes, part: bytes) -> bytes:
    return jpeg[:2] + part + jpeg[2:]


def resized(jpeg: bytes, width: int, height: int) -> bytes:
    """The same JPEG, which claims another size."""
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]


def with_scans(jpeg: bytes, scans: int) -> bytes:
    """The (first) JPEG with its last scan repeated until there are as many."""
    end = jpeg.index(END_OF_IMAGE)
    last = jpeg[jpeg.rindex(b"\xff\xda", 0, end) : end]
    return jpeg[:end] + last * (scans - jpeg.count(b"\xff\xda")) + jpeg[end:]


def webp(chunks: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def webp_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def canvas(width: int, height: int, flags: int) -> bytes:
    return webp_chunk(
        b"VP8X", bytes([flags, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    )


def tiff(*entries: bytes, following: int = 0) -> bytes:
    """A TIFF header and one directory, as big-endian EXIF."""
    return b"MM\0*" + struct.pack(">IH", 8, len(entries)) + b"".join(entries) + struct.pack(">I", following)


def entry(tag: int, kind: int, count: int, value: int) -> bytes:
    return struct.pack(">HHII", tag, kind, count, value)
