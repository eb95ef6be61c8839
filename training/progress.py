"""A progress bar that is a bar on a terminal and a line now and then in a log file."""

import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias, TypeVar

from tqdm import tqdm

SECONDS_BETWEEN_LOG_LINES = 10.0
Item = TypeVar("Item")
Bar: TypeAlias = "tqdm[Any]"


class LogLines:
    """A file for tqdm that writes each state of the bar as a line of its own, where a terminal would overwrite it."""

    def write(self, text: str) -> None:
        """Write a state; tqdm also sends bare carriage returns and line ends, which mean nothing in a log."""
        if line := text.strip():
            print(line, flush=True)

    def flush(self) -> None:
        """Lines are flushed as they are written."""


def bar(total: int, description: str) -> Bar:
    """A bar for so many images, to be updated: on standard error for a terminal, on standard output for a log."""
    if sys.stderr.isatty():
        return tqdm(total=total, desc=description, unit="img")
    return tqdm(
        total=total,
        desc=description,
        unit="img",
        file=LogLines(),
        mininterval=SECONDS_BETWEEN_LOG_LINES,
        bar_format="{desc}: {n_fmt}/{total_fmt} images in {elapsed}, {rate_fmt}",
    )


def progress(items: Iterable[Item], total: int, description: str) -> Iterator[Item]:
    """Yield `items` and show how far it is, if there are any."""
    if not total:
        return
    with bar(total, description) as shown:
        for item in items:
            yield item
            shown.update()
