"""Write docs/page.png: the page with a real answer, on a wide screen and on a dark telephone.

make page PORT=8000 &
python -m tests.page.screenshot http://127.0.0.1:8000/

The dog is drawn, of a breed that `make demo` trains on.
"""

import io
import random
import sys
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from local_aws.drawn_breeds import BREEDS, draw_dog
from local_aws.home import REPOSITORY
from tests.page.conftest import Visit, launch

WIDE = {"viewport": {"width": 860, "height": 640}}
TELEPHONE = {"viewport": {"width": 320, "height": 640}, "color_scheme": "dark", "has_touch": True}
SEED = 3  # of the dog's place, size and mood


def shoot(browser: Any, url: str, dog: dict[str, Any], settings: dict[str, Any]) -> Image.Image:
    visit = Visit(browser, url, reduced_motion="reduce", **settings)
    visit.choose(dog)
    visit.page.locator("#result ol .name").first.wait_for()
    visit.page.evaluate("scrollTo(0, document.documentElement.scrollHeight * ('ontouchstart' in window))")
    return Image.open(io.BytesIO(visit.page.screenshot()))


def main(url: str) -> None:
    breed = next(breed for breed in BREEDS if breed.name == "drawn_ember_fox")
    buffer = io.BytesIO()
    draw_dog(breed, random.Random(SEED)).save(buffer, "PNG")  # noqa: S311 - a drawing, not a secret
    dog = {"name": "dog.png", "mimeType": "image/png", "buffer": buffer.getvalue()}
    with sync_playwright() as playwright:
        browser = launch(playwright)
        screens = [shoot(browser, url, dog, settings) for settings in (WIDE, TELEPHONE)]
    both = Image.new("RGB", (sum(screen.width for screen in screens), screens[0].height))
    for left, screen in zip((0, screens[0].width), screens, strict=True):
        both.paste(screen, (left, 0))
    both.quantize(256, dither=Image.Dither.NONE).save(REPOSITORY / "docs" / "page.png", optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])
