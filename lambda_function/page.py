"""The page, and the headers under which it may run its own two blocks and talk to its own server, and nothing else."""

import base64
import hashlib
import re
from pathlib import Path

HTML = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")


def _source(element: str) -> str:
    """The page's one block of this kind, as a source expression of a Content-Security-Policy."""
    (block,) = re.findall(rf"<{element}>(.*?)</{element}>", HTML, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()}'"


HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": f"default-src 'none'; script-src {_source('script')}; style-src {_source('style')}; "
    "img-src data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
