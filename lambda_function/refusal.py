"""The one way in which an event is not answered by a prediction."""


class RefusedError(Exception):
    """Its status, code for programs and message for people go to the caller as they are."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status, code, message)
        self.status, self.code, self.message = status, code, message


def bad_request(message: str) -> RefusedError:
    return RefusedError(400, "bad_request", message)
