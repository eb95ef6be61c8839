"""What the function fetches by URL, and that no URL leads it inside or keeps it busy."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import wait_for
from tests.lambda_function.conftest import Service, call, captured
from tests.lambda_function.internet import JPEG, PUBLIC_V4, PUBLIC_V6, Internet, redirect, response
from tests.lambda_function.vectors import QUICK, SLOW, Vector

Figure = Callable[[str, object], None]


@pytest.fixture(scope="module")
def fetching(function: ModuleType) -> ModuleType:
    import fetch  # lambda_function/fetch.py, on the path as long as the function is

    return fetch


@pytest.fixture
def internet(tmp_path: Path) -> Iterator[Internet]:
    internet = Internet(tmp_path)
    with internet.connections_led_here():
        yield internet
    internet.close()


def outcome(fetching: ModuleType, url: str, allowed: tuple[str, ...] = ("*",)) -> Any:
    """The image, or (status, code) of the refusal."""
    try:
        return fetching.fetch(url, allowed)
    except fetching.RefusedError as error:
        assert error.message.endswith(".")
        return error.status, error.code


def test_a_photograph_behind_a_url_is_predicted(function: ModuleType, endpoint: Service, internet: Internet) -> None:
    internet.names["images.example.com"] = [[PUBLIC_V4]]
    internet.replies["images.example.com/beagle.jpg"] = response()
    assert call(function, captured("direct_url"))[0] == 200
    assert endpoint.requests[0].body == JPEG
    assert internet.connected == [(PUBLIC_V4, 443)]
    assert "Accept-Encoding: identity\r\n" in internet.requests[0]


@pytest.mark.parametrize(
    "url",
    ["https://a.example.com/", "https://a.example.com", "https://A.EXAMPLE.com.:443/#top", f"https://{PUBLIC_V4}/",
     f"https://[{PUBLIC_V6}]/"],
)  # fmt: skip
def test_ways_of_writing_a_public_url(fetching: ModuleType, internet: Internet, url: str) -> None:
    internet.names["a.example.com"] = [[PUBLIC_V6, PUBLIC_V4]]
    for host in ("a.example.com", PUBLIC_V4, f"[{PUBLIC_V6}]"):
        internet.replies[f"{host}/"] = response(content_type="IMAGE/JPEG; q=1")
    assert outcome(fetching, url) == JPEG


def test_redirects_to_public_addresses_are_followed_three_times(fetching: ModuleType, internet: Internet) -> None:
    internet.names |= {name: [[PUBLIC_V4]] for name in ("a.example.com", "b.example.com")}
    internet.replies["a.example.com/"] = redirect("https://b.example.com/one two?q=%C3%A9")
    internet.replies["b.example.com/one%20two?q=%C3%A9"] = redirect("//a.example.com/2", "307 Temporary Redirect")
    internet.replies["a.example.com/2"] = redirect("3")
    internet.replies["a.example.com/3"] = response()
    assert outcome(fetching, "https://b.example.com/one two?q=\u00e9") == JPEG
    assert outcome(fetching, "https://a.example.com/") == JPEG
    internet.replies["a.example.com/3"] = redirect("/4")
    internet.replies["a.example.com/4"] = response()
    assert outcome(fetching, "https://a.example.com/") == (422, "fetch_failed")


def test_the_next_address_is_tried_where_one_does_not_answer(
    fetching: ModuleType, internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    internet.names["a.example.com"] = [[PUBLIC_V6, PUBLIC_V4]]
    internet.replies["a.example.com/"] = response()
    monkeypatch.setattr("tests.lambda_function.internet.is_public", lambda address: ":" not in address)
    assert outcome(fetching, "https://a.example.com/") == JPEG
    assert internet.connected == [(PUBLIC_V6, 443), (PUBLIC_V4, 443)]


@pytest.mark.parametrize(
    ("allowed", "url", "expected"),
    [
        (("a.example.com",), "https://a.example.com/", JPEG),
        (("a.example.com",), "https://b.example.com/", (400, "url_refused")),
        (("a.example.com",), "https://a.example.com/away", (400, "url_refused")),
        (("example.com",), "https://a.example.com/", (400, "url_refused")),
        ((), "https://a.example.com/", (400, "url_refused")),
        (("a.example.com",), "http://a.example.com/", (400, "url_refused")),
        (("http://a.example.com",), "http://a.example.com/", JPEG),
        (("http://a.example.com",), "https://a.example.com/", JPEG),
        (("http://a.example.com", "*"), "http://b.example.com/", (400, "url_refused")),
        (("http://a.example.com",), "http://a.example.com:443/", (400, "url_refused")),
    ],
)
def test_the_list_of_hosts_decides(
    fetching: ModuleType, internet: Internet, allowed: tuple[str, ...], url: str, expected: Any
) -> None:
    internet.names |= {name: [[PUBLIC_V4]] for name in ("a.example.com", "b.example.com")}
    internet.replies |= {"a.example.com/": response(), "b.example.com/": response()}
    internet.replies["a.example.com/away"] = redirect("https://b.example.com/")
    assert outcome(fetching, url, allowed) == expected


def test_a_server_without_a_certificate_for_its_name_is_not_listened_to(
    fetching: ModuleType, internet: Internet
) -> None:
    internet.names["a.example.org"] = [[PUBLIC_V4]]
    internet.replies["a.example.org/"] = response()
    assert outcome(fetching, "https://a.example.org/") == (422, "fetch_failed")
    assert not internet.requests


def test_what_is_delivered_is_bounded(fetching: ModuleType, internet: Internet) -> None:
    internet.names["a.example.com"] = [[PUBLIC_V4]]
    largest = JPEG.ljust(fetching.MAX_BYTES, b"\0")
    internet.replies["a.example.com/largest"] = response(largest)
    internet.replies["a.example.com/larger"] = response(largest + b"\0")
    internet.replies["a.example.com/longer"] = response(
        largest + b"\0", transfer_encoding="identity", content_length=""
    )
    internet.replies["a.example.com/html"] = response(content_type="text/html")
    internet.replies["a.example.com/gzip"] = response(content_encoding="gzip")
    internet.replies["a.example.com/404"] = response(status="404 Not Found")
    found = {name: outcome(fetching, f"https://a.example.com/{name}")
             for name in ("largest", "larger", "longer", "html", "gzip", "404")}  # fmt: skip
    assert found.pop("largest") == largest
    assert found == {
        "larger": (413, "too_large"), "longer": (413, "too_large"), "html": (415, "unsupported_image"),
        "gzip": (415, "unsupported_image"), "404": (422, "fetch_failed"),
    }  # fmt: skip


def attempt(fetching: ModuleType, folder: Path, vector: Vector) -> tuple[str, Any, float, list[Any]]:
    """(name, outcome, seconds, connections to where nothing should go) of one vector in an internet of its own."""
    folder.mkdir()
    internet = Internet(folder)
    vector.set_up(internet)
    with internet.connections_led_here():
        started = time.monotonic()
        found = outcome(fetching, vector.url)
        seconds = time.monotonic() - started
    internet.close()
    return vector.name, found, seconds, internet.inside()


@pytest.mark.counts(sample=80, full=1000)
def test_no_url_leads_to_an_address_that_is_not_public(
    fetching: ModuleType, tmp_path: Path, count: int, record_property: Figure
) -> None:
    assert len({vector.url + vector.name for vector in QUICK}) == len(QUICK) >= 120
    vectors = QUICK[:: -(-len(QUICK) // count)]
    found = [attempt(fetching, tmp_path / str(index), vector) for index, vector in enumerate(vectors)]
    record_property("SSRF vectors", len(found))
    record_property("SSRF connections to an address that is not public", sum(len(inside) for *_, inside in found))
    record_property("SSRF slowest vector, seconds", round(max(seconds for *_, seconds, _ in found), 2))
    assert [(name, inside) for name, *_, inside in found if inside] == []
    assert [(name, seconds) for name, _, seconds, _ in found if seconds > 5] == []
    # Not so of odd shapes of a public URL, nor of a name that moves once it was looked up: that is not looked up again.
    inward = ("address", "spelling", "name of", "redirect", "zone")
    assert [name for name, result, *_ in found if name.startswith(inward) and isinstance(result, bytes)] == []


@pytest.mark.counts(sample=250, full=4500)
def test_what_never_ends_is_ended_in_time(
    fetching: ModuleType, tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch, record_property: Figure
) -> None:
    """`count` is how many milliseconds a fetch may take here."""
    assert fetching.MAX_SECONDS == 4.5
    monkeypatch.setattr(fetching, "MAX_SECONDS", count / 1000)
    hang_up = fetching._Job.hang_up

    def and_wait(job: Any) -> None:
        """Whatever the thread makes of what broke off, it has made before the caller goes on."""
        hang_up(job)
        wait_for(lambda: "fetch" not in {thread.name for thread in threading.enumerate()}, seconds=5)

    monkeypatch.setattr(fetching._Job, "hang_up", and_wait)
    found = [attempt(fetching, tmp_path / str(index), vector) for index, vector in enumerate(SLOW)]
    record_property("SSRF vectors that never end", len(found))
    record_property("SSRF slowest of them, seconds", round(max(seconds for *_, seconds, _ in found), 2))
    assert {result for _, result, *_ in found} == {(422, "fetch_failed")}
    assert max(seconds for *_, seconds, _ in found) < count / 1000 + 0.5


def test_a_name_that_never_resolves_is_not_waited_for(
    fetching: ModuleType, internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "MAX_SECONDS", 0.1)
    internet.names["a.example.com"] = [[PUBLIC_V4]]
    resolve, resolved = internet.resolve, threading.Event()

    def late(*arguments: Any, **named: Any) -> Any:
        resolved.wait(10)
        return resolve(*arguments, **named)

    monkeypatch.setattr(internet, "resolve", late)
    assert outcome(fetching, "https://a.example.com/") == (422, "fetch_failed")
    resolved.set()
    wait_for(lambda: "fetch" not in {thread.name for thread in threading.enumerate()}, seconds=5)
    assert not internet.connected, "the time was up when the name came"
