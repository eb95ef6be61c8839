"""From the browser to the model: the proxy signs, the function URL checks, the function asks, the endpoint answers."""

import io
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from ops.page import Proxy
from tests.conftest import StandInUnderTest
from tests.local_aws.served import served
from tests.page.conftest import Visit

pytestmark = pytest.mark.xdist_group("page")


@pytest.fixture(scope="module")
def address(browser: Any, stand_in: StandInUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the page is, as `make page` says it."""
    with served(stand_in, tmp_path_factory.mktemp("served")) as function:
        proxy = Proxy(0, function)
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield f"http://{proxy.hosts[0]}/"
        proxy.shutdown()


def photograph(colour: str) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(buffer, "PNG")
    return {"name": f"{colour}.png", "mimeType": "image/png", "buffer": buffer.getvalue()}


def test_the_model_s_own_answer_is_shown(browser: Any, address: str) -> None:
    visit = Visit(browser, address)
    for colour in ("red", "blue"):
        visit.choose(photograph(colour))
        visit.expect(colour.capitalize())
    assert "by the model served" in visit.page.locator("#result .small").text_content()
    assert visit.complaints == []
    visit.context.close()
