"""Kinds of command-line arguments, and a parser whose complaints are as all others."""

import argparse
import math
from collections.abc import Callable
from typing import NoReturn

from training.errors import TrainingError


class Parser(argparse.ArgumentParser):
    """Reports a bad argument as every other failure is reported, where argparse would exit by itself."""

    def error(self, message: str) -> NoReturn:
        raise TrainingError(f"The arguments are wrong: {message}.")


def positive(kind: type) -> Callable[[str], float]:
    """An argparse type: a finite number above zero. (nan is not above zero.)"""

    def parse(text: str) -> float:
        value: float = kind(text)
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(f"{text} is not above zero and finite")
        return value

    parse.__name__ = kind.__name__  # argparse says it of what is no number at all
    return parse


def not_negative(kind: type) -> Callable[[str], float]:
    """An argparse type: a finite number from zero on."""

    def parse(text: str) -> float:
        value: float = kind(text)
        if not 0 <= value < math.inf:
            raise argparse.ArgumentTypeError(f"{text} is not a number from zero on")
        return value

    parse.__name__ = kind.__name__
    return parse


def share(text: str) -> float:
    """An argparse type: a number from zero to below one."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between zero and one")
    return value
