"""What comes in over HTTP: events of a function URL or an HTTP API (payload format 2.0). Imported with the first."""

import base64
import json
import os
import re
from typing import Any

from refusal import RefusedError, bad_request

CORS_ORIGINS = os.environ["CORS_ORIGINS"].split()

_TEXT_FIELDS = ("image_base64", "url", "s3_uri", "top_k", "output")


class WebRequest:
    """A request whose event may hold anything anywhere. `headers` are by lower-case name."""

    def __init__(self, event: dict[str, Any]) -> None:
        self._event = event
        context, headers = event["requestContext"], event.get("headers")
        headers = headers.items() if isinstance(headers, dict) else ()
        self.headers = {name.lower(): value for name, value in headers if isinstance(value, str)}
        self.method, self.path = context["http"].get("method"), str(event.get("rawPath"))
        if context.get("stage") != "$default":
            self.path = self.path.removeprefix(f"/{context.get('stage')}")

    def answer_without_model(self, headers: dict[str, str]) -> str | None:
        """The body where the model has no part in the answer, with its headers added to `headers`; else None.

        Raises:
            RefusedError: 404 and 405.
        """
        headers["X-Content-Type-Options"] = "nosniff"
        if self.headers.get("origin") in CORS_ORIGINS:
            headers |= {"Access-Control-Allow-Origin": self.headers["origin"], "Vary": "Origin"}
        match self.method, self.path:
            case "POST", "/predict":
                return None
            case "OPTIONS", "/predict":
                headers["Access-Control-Allow-Methods"] = "POST"
                headers["Access-Control-Allow-Headers"] = "Content-Type, X-Request-Id"
                headers["Access-Control-Expose-Headers"] = "Retry-After, X-Request-Id"
                return ""
            case "GET", "/health":
                return '{"status": "ok"}'
            case "GET", "/" | "":
                import page

                headers.update(page.HEADERS)
                return page.HTML
            case _, "/" | "" | "/health" | "/predict":
                headers["Allow"] = "POST, OPTIONS" if self.path == "/predict" else "GET"
                raise RefusedError(405, "method_not_allowed", f"{self.path or '/'} takes {headers['Allow']}.")
        raise RefusedError(404, "not_found", "There are GET /, GET /health and POST /predict.")

    def read(self) -> tuple[bytes | None, dict[str, Any]]:
        """(the image where the body is or has one, fields as of a direct invocation). Raises RefusedError."""
        content_type = self.headers.get("content-type", "")
        content = self._content()
        match content_type.partition(";")[0].strip().lower():
            case "application/json":
                return None, _read_json(content)
            case "multipart/form-data":
                image, fields = _read_form(content_type, content)
            case "text/plain":
                image, fields = None, {"image_base64": content.decode("ascii", "replace").strip()}
            case _:
                image, fields = content, {}
        query = self._event.get("queryStringParameters")
        if isinstance(query, dict):
            fields = {name: query[name] for name in ("top_k", "output") if name in query} | fields
        top_k = fields.get("top_k")
        if isinstance(top_k, str) and re.fullmatch("[0-9]{1,4}", top_k):
            fields["top_k"] = int(top_k)
        return image, fields

    def _content(self) -> bytes:
        body = self._event.get("body")
        if not isinstance(body, str) or not body:
            raise bad_request("Send an image, a form or JSON as the body.")
        try:
            return base64.b64decode(body, validate=True) if self._event.get("isBase64Encoded") else body.encode()
        except ValueError:
            raise bad_request("The body is garbled.") from None


def _read_json(content: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        raise bad_request("The body is not JSON.") from None
    if not isinstance(fields, dict):
        raise bad_request("The body is not a JSON object.")
    return fields


def _read_form(content_type: str, content: bytes) -> tuple[bytes | None, dict[str, Any]]:
    """(the file in the field "image", the other fields as text). Raises RefusedError."""
    from email import message_from_bytes

    try:
        form = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + content)
        parts: Any = form.get_payload()
        fields = {part.get_param("name", header="content-disposition"): part.get_payload(decode=True) for part in parts}
    except (AttributeError, LookupError, TypeError, ValueError):
        raise bad_request("The form cannot be read.") from None
    texts = {name: fields[name].decode("utf-8", "replace") for name in _TEXT_FIELDS if fields.get(name) is not None}
    return fields.get("image"), texts
