"""Serving: the artifact, the preprocessing, the four handlers and the process around them.

AWS's toolkit imports this package from an artifact's `code/` folder and looks for its handlers at the top. They are
imported on first use, so that a tool that only reads artifacts (`inference.artifact`) needs no more than the standard
library.
"""

from importlib import import_module
from typing import Any

# The toolkit takes a transform_fn or the three that it is made of, not both. Whatever the three raise, it would answer
# with a traceback.
HANDLERS = ("model_fn", "transform_fn")


def __getattr__(name: str) -> Any:
    if name in HANDLERS:
        return getattr(import_module("inference.inference"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
