"""What a visitor does with the page, in a real browser."""

import base64
import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image

from tests.page.conftest import PAGE, SURE, UNSURE, Answer, Server, Visit, answer, error, picture

pytestmark = pytest.mark.xdist_group("page")  # one browser for all of them

OpenPage = Callable[..., Any]
# A file as a drop or a paste carries it.
TRANSFER = """([name, type, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type }));
  return transfer;
}"""


def transfer(visit: Any, file: dict[str, Any]) -> Any:
    contents = [file["name"], file["mimeType"], base64.b64encode(file["buffer"]).decode()]
    return visit.page.evaluate_handle(TRANSFER, contents)


def test_it_is_one_file_that_asks_nobody_else(open_page: OpenPage, server: Server) -> None:
    html = PAGE["HTML"]
    assert [len(re.findall(f"<{tag}", html)) for tag in ("style", "script")] == [1, 1]
    assert not re.findall(r"""\s(style|on\w+)=["']|(src|href)="(?!data:)""", html.split("<script>")[0])
    visit = open_page()
    visit.choose()
    visit.expect("Chihuahua")
    assert {url for url in visit.requests if not url.startswith("data:")} == {server.url, f"{server.url}predict"}
    assert visit.complaints == []  # nor anything against its own policy


def test_a_chosen_photograph_is_shown_and_its_breeds_with_bars(open_page: OpenPage) -> None:
    visit = open_page()
    assert visit.page.locator("#dog").is_visible()
    visit.choose()
    visit.expect("Chihuahua")
    assert visit.page.locator("#preview").bounding_box()["width"] == 300
    assert not visit.page.locator("#dog").is_visible()
    assert visit.page.locator(".name").all_text_contents() == [
        "Chihuahua", "Toy terrier", "Alaskan malamute", "Black-and-tan coonhound", "Drawn cloud puff"
    ]  # fmt: skip
    assert visit.page.locator(".percent").all_text_contents() == ["92.3%", "4.1%", "2%", "0.6%", "< 0.1%"]
    assert visit.page.locator(".kicker").text_content() == "Looks like"
    visit.page.wait_for_function("document.querySelector('.bar i').getBoundingClientRect().width > 0")
    widths = visit.page.locator(".bar i").evaluate_all("(bars) => bars.map((bar) => parseFloat(bar.style.width))")
    assert widths == pytest.approx([92.31, 4.12, 2, 0.62, 0.04])
    assert visit.said.startswith("Looks like: Chihuahua, 92.3%; Toy terrier, 4.1%;")


def test_a_photograph_is_dropped_anywhere(open_page: OpenPage) -> None:
    visit = open_page()
    file = transfer(visit, picture(kind="PNG"))
    visit.page.dispatch_event("footer", "dragenter", {"dataTransfer": file})
    assert visit.page.locator("body.dragging").count() == 1
    visit.page.dispatch_event("footer", "drop", {"dataTransfer": file})
    visit.expect("Chihuahua")
    assert visit.page.locator("body.dragging").count() == 0


def test_a_photograph_is_pasted(open_page: OpenPage) -> None:
    visit = open_page()
    visit.page.evaluate(
        "(data) => document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data }))",
        transfer(visit, picture(kind="WEBP")),
    )
    visit.expect("Chihuahua")


def test_a_telephone_s_photograph_is_sent_upright_small_and_without_its_place(
    open_page: OpenPage, server: Server
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned: its left half is the upper one
    exif.get_ifd(0x8825)[1] = "N"  # where it was taken
    visit = open_page()
    visit.choose(picture((4032, 3024), quality=100, exif=exif))
    visit.expect("Chihuahua")
    (sent,) = server.asked
    image = Image.open(io.BytesIO(sent))
    assert (image.format, image.size) == ("JPEG", (768, 1024))
    assert len(sent) < 4_500_000
    assert not image.getexif()
    upper, lower = image.getpixel((384, 100)), image.getpixel((384, 900))
    assert (upper[0] > upper[2], lower[0] > lower[2]) == (True, False)  # red above blue


def test_what_is_transparent_becomes_white(open_page: OpenPage, server: Server) -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (40, 40), (0, 0, 0, 0)).save(buffer, "PNG")
    visit = open_page()
    visit.choose({"name": "cut-out.png", "mimeType": "image/png", "buffer": buffer.getvalue()})
    visit.expect("Chihuahua")
    assert Image.open(io.BytesIO(server.asked[0])).getpixel((20, 20)) == (255, 255, 255)


def test_doubt_is_shown_as_such(open_page: OpenPage, server: Server) -> None:
    server.answers = [UNSURE]
    visit = open_page()
    visit.choose()
    visit.expect("Hard to say")
    assert visit.page.locator(".kicker").text_content() == "Not sure"
    assert visit.page.locator(".name").all_text_contents() == ["Alaskan malamute", "Toy terrier"]
    assert visit.said.startswith("Not sure. No breed that I know fits")


@pytest.mark.parametrize(("share", "kicker"), [(0.8, "Looks like"), (0.6, "Probably"), (0.4, "Perhaps")])
def test_words_are_no_surer_than_the_model(open_page: OpenPage, server: Server, share: float, kicker: str) -> None:
    server.answers = [answer(("Beagle", share))]
    visit = open_page()
    visit.choose()
    visit.expect("Beagle")
    assert visit.page.locator(".kicker").text_content() == kicker


@pytest.fixture(scope="module")
def long_visit(browser: Any, running_server: Server) -> Iterator[Any]:
    """One page for many questions."""
    visit = Visit(browser, running_server.url)
    yield visit
    visit.context.close()


@pytest.mark.parametrize(
    ("given", "title", "may_ask_again"),
    [
        (error(400, "bad_request"), "The picture cannot be read", False),
        (error(403, "foreign"), "This page may not ask", False),
        (error(413, "too_large"), "The picture is too large", False),
        (error(415, "unsupported_image"), "This kind of picture is not known", False),
        (error(422, "bad_image"), "The picture cannot be read", False),
        (error(429, "throttled"), "Many dogs at once", True),
        (error(500, "internal"), "Something went wrong (500)", True),
        (error(502, "model_error"), "The model stumbled", True),
        (error(503, "busy"), "The model is busy", True),
        (error(503, "not_deployed"), "No model is in service", True),
        (error(504, "timeout"), "The model took too long", True),
        ((502, {}, b"Internal Server Error"), "The model stumbled", True),  # Lambda's own
        ((429, {}, b'{"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded"}'), "Many dogs at once", True),
        ((200, {}, b"<html>"), "The answer made no sense", True),
        (answer(), "The answer made no sense", True),
    ],
)  # fmt: skip
def test_each_error_says_what_happened_and_what_to_do(
    long_visit: Any, server: Server, given: Answer, title: str, may_ask_again: bool
) -> None:
    visit = long_visit
    visit.choose()
    visit.expect("Chihuahua")
    server.answers = [given]
    visit.choose()
    visit.expect(title)
    assert visit.said.startswith(title)
    if b"request-1" in given[2] and given[0] != 200:
        small = visit.page.locator("#result .small").text_content()
        assert small == "In the server's words. Reference: request-1"
    assert visit.page.get_by_role("button", name="Ask again").count() == may_ask_again


def test_after_429_the_page_waits_as_long_as_it_is_told(open_page: OpenPage, server: Server) -> None:
    server.answers = [error(429, "throttled", Retry_After="7"), SURE]
    visit = open_page()
    visit.page.clock.install()
    visit.choose()
    visit.expect("Many dogs at once")
    again = visit.page.locator("#result button")
    assert (again.text_content(), again.is_disabled()) == ("Ask again in 7 s", True)
    visit.page.clock.run_for(6000)
    assert (again.text_content(), again.is_disabled()) == ("Ask again in 1 s", True)
    visit.page.clock.run_for(1000)
    assert (again.text_content(), again.is_disabled()) == ("Ask again", False)
    again.click()
    visit.expect("Chihuahua")
    assert server.asked[0] == server.asked[1]


def test_without_a_network_the_question_can_be_asked_again(open_page: OpenPage) -> None:
    visit = open_page()
    visit.context.set_offline(True)
    visit.choose()
    visit.expect("No connection")
    visit.context.set_offline(False)
    visit.page.get_by_role("button", name="Ask again").click()
    visit.expect("Chihuahua")


def test_on_a_slow_network_the_photograph_is_there_at_once_and_the_page_says_that_it_waits(
    open_page: OpenPage, server: Server
) -> None:
    server.may_answer.clear()
    visit = open_page()
    visit.page.clock.install()
    visit.choose()
    visit.expect("Looking…")
    assert visit.page.locator("#preview").is_visible()
    assert visit.said == "Looking at the photograph."
    visit.page.clock.run_for(4000)
    assert visit.said.startswith("Still looking.")
    visit.page.clock.run_for(56_000)
    visit.expect("No answer came")


def test_a_newer_photograph_takes_the_place_of_an_older_one(open_page: OpenPage, server: Server) -> None:
    server.answers = [error(502, "model_error"), SURE]
    server.may_answer.clear()
    visit = open_page()
    visit.choose()
    visit.expect("Looking…")
    visit.choose(picture((100, 100)))
    visit.page.wait_for_function("document.getElementById('preview').width === 100")
    server.may_answer.set()
    visit.expect("Chihuahua")
    assert visit.page.locator("#result h2").all_text_contents() == ["Chihuahua"]


def test_what_is_no_picture_is_refused_before_it_is_sent(open_page: OpenPage, server: Server) -> None:
    visit = open_page()
    visit.choose({"name": "letter.txt", "mimeType": "text/plain", "buffer": b"Dear dog"})
    visit.expect("This file cannot be opened")
    assert visit.page.locator("#result .small").text_content() == "letter.txt"
    visit.page.dispatch_event("body", "drop", {"dataTransfer": visit.page.evaluate_handle("new DataTransfer()")})
    visit.expect("There was no picture in that")
    assert server.asked == []


def test_all_of_it_works_by_keyboard(open_page: OpenPage, server: Server) -> None:
    server.answers = [error(502, "model_error"), SURE]
    visit = open_page()
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.id") == "file"
    outline = "getComputedStyle(document.querySelector('#file + .button')).outlineStyle"
    assert visit.page.evaluate(outline) == "solid"
    # A click on it opens the browser's own dialogue, which a busy machine without a display may never show.
    clicked = "file.addEventListener('click', (event) => { event.preventDefault(); window.isClicked = true })"
    visit.page.evaluate(clicked)
    visit.page.keyboard.press("Space")
    visit.page.wait_for_function("window.isClicked")
    visit.choose()
    visit.expect("The model stumbled")
    while visit.page.evaluate("document.activeElement.textContent") != "Ask again":
        visit.page.keyboard.press("Tab")
    visit.page.keyboard.press("Enter")
    visit.expect("Chihuahua")
    assert visit.page.evaluate("document.activeElement.id") == "result"


LOOKS: dict[str, dict[str, Any]] = {
    "wide": {},
    "dark": {"color_scheme": "dark"},
    "telephone": {"viewport": {"width": 320, "height": 640}, "has_touch": True, "is_mobile": True},
    "dark telephone": {
        "viewport": {"width": 320, "height": 640}, "has_touch": True, "is_mobile": True, "color_scheme": "dark"
    },
}  # fmt: skip


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing_and_nothing_sticks_out(open_page: OpenPage, server: Server, look: str) -> None:
    visit = open_page(reduced_motion="reduce", **LOOKS[look])
    is_dark = visit.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(25, 21, 19)"
    assert is_dark == ("dark" in look)
    assert visit.page.locator("label[for=camera]").is_visible() == ("telephone" in look)
    found = visit.violations()
    for given, title in ((SURE, "Chihuahua"), (UNSURE, "Hard to say"), (error(429, "throttled"), "Many dogs at once")):
        server.answers = [given]
        visit.choose()
        visit.expect(title)
        found += visit.violations()
        width = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        assert len(set(visit.page.evaluate(width))) == 1
    assert found == []


def test_whoever_wants_no_motion_gets_none(open_page: OpenPage, server: Server) -> None:
    server.may_answer.clear()
    moving = "document.getAnimations().length"
    for setting, moves in (("no-preference", True), ("reduce", False)):
        visit = open_page(reduced_motion=setting)
        visit.choose()
        visit.expect("Looking…")
        assert (visit.page.evaluate(moving) > 0) == moves
