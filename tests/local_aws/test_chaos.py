"""What callers meet while processes are killed under load: typed errors, and then answers again."""

import io
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from ops.function_url import FunctionUrl
from tests.conftest import StandInUnderTest
from tests.local_aws.served import served

CALLERS = 4
UNDISTURBED_SECONDS, RECOVERY_SECONDS = 1.5, 15
AGAIN = 20  # answers in a row after which the service counts as back


def photograph() -> bytes:
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(picture, "JPEG")
    return picture.getvalue()


class Load:
    """Callers who ask without a pause, and what each of them was told: (seconds, status, code)."""

    def __init__(self, function: FunctionUrl) -> None:
        self._function, self._photograph = function, photograph()
        self.told: list[tuple[float, int, str]] = []
        self._is_over = threading.Event()
        self._callers = [threading.Thread(target=self._call) for _ in range(CALLERS)]

    def __enter__(self) -> "Load":
        for caller in self._callers:
            caller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for caller in self._callers:
            caller.join()

    def _call(self) -> None:
        while not self._is_over.is_set():
            answer = self._function.ask("POST", "/predict", self._photograph, {"Content-Type": "image/jpeg"})
            self.told.append((time.monotonic(), answer.status_code, code_of(answer.status_code, answer.content)))

    def recovery_seconds(self, killed: float) -> float:
        """How long after a kill the last error came, once there are only answers."""
        deadline = killed + RECOVERY_SECONDS
        while time.monotonic() < deadline:
            time.sleep(0.1)
            later = [(when, status) for when, status, _ in self.told if when > killed]
            if len(later) > AGAIN and {status for _, status in later[-AGAIN:]} == {200}:
                return max((when - killed for when, status in later if status != 200), default=0.0)
        raise AssertionError(f"no service {RECOVERY_SECONDS} s after the kill: {Counter(self.told[-AGAIN:])}")


def code_of(status: int, content: bytes) -> str:
    """What names an answer to a program: the function's own code, or, before the function, Lambda's."""
    if status == 200:
        return str(json.loads(content)["predictions"][0]["label"])
    if content == b"Internal Server Error":
        return "Lambda's"
    body = json.loads(content)
    return str(body["error"]["code"] if "error" in body else body["Reason"])


@pytest.mark.full
def test_under_load_a_killed_process_costs_typed_errors_and_service_returns_by_itself(
    stand_in: StandInUnderTest, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with served(stand_in, tmp_path) as function, Load(function) as load:
        for program, expected in (
            ("inference.serve", {(502, "model_error"), (503, "busy")}),  # busy: it is back, and loads its model
            ("awslambdaric", {(502, "Lambda's"), (429, "ReservedFunctionConcurrentInvocationLimitExceeded")}),
        ):
            time.sleep(UNDISTURBED_SECONDS)
            victims = [process for process in stand_in.home.processes() if program in process.cmdline()]
            killed = time.monotonic()
            for victim in victims:
                victim.kill()
            seconds = load.recovery_seconds(killed)
            told = Counter((status, code) for when, status, code in load.told if when > killed)
            record_property(f"{program} killed", f"back after {seconds:.1f} s; callers were told {dict(told)}")
            assert told.keys() - expected == {(200, "red")}
            assert told.keys() & expected
