"""Small files, written whole or not at all."""

import os
from pathlib import Path


def encoded(text: str) -> bytes:
    """UTF-8. What Python could not decode of a file's name becomes an escape that JSON knows, too."""
    return text.encode("utf-8", "backslashreplace")


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that an interruption leaves the earlier one or none, never half of one."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
