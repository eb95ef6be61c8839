"""The serving process: SageMaker's container contract around the four handlers.

    python -m inference.serve        # serves $SAGEMAKER_BASE_DIR/model on 127.0.0.1:$SAGEMAKER_BIND_TO_PORT (8080)

GET /ping answers 503 until the model has answered a warm-up, then 200. POST /invocations answers predictions. A model
that cannot be loaded ends the process with one sentence on stderr, so that the platform reports the endpoint failed.
SIGTERM drains: what has arrived is answered first.
"""

import argparse
import asyncio
import ctypes
import json
import logging
import os
import signal
import sys
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from inference import inference as handlers
from inference.artifact import ArtifactError
from inference.connections import DrainingServer, HeadTimeoutProtocol
from inference.engine import Batcher
from inference.inference import JSON_TYPE, Model, RequestError

# InvokeEndpoint's own limit on a request body.
MAX_BODY_BYTES = 6_291_456
# SageMaker sends a body that it holds already; who takes longer holds a connection and sends nothing.
BODY_TIMEOUT_SECONDS = 10
# What unfinished bodies may hold together. Beyond that only small ones go on arriving, photographs among them.
MAX_ARRIVING_BYTES = 256 << 20
SMALL_BODY_BYTES = 1 << 20
# Longer than a load balancer keeps an idle connection, or it would send a request into a closing one.
KEEP_ALIVE_SECONDS = 75
# Images that go through the model together. Beyond this a batch gains little, and holds up who comes next.
BATCH_IMAGES = 8
# While one batch is in the engine, the next is decoded.
THREADS = 2 * BATCH_IMAGES
# Requests that wait or are answered at once; whoever comes then is turned away. Above the autoscaling target, or the
# endpoint would turn callers away before it grows.
MAX_REQUESTS = 64
RETRY_AFTER_SECONDS = 1
ATTRIBUTES_HEADER = "x-amzn-sagemaker-custom-attributes"
MAX_ID_CHARACTERS = 128
M_MMAP_THRESHOLD = -3  # as malloc.h has it

logger = logging.getLogger("inference")


@dataclass
class Call:
    """One request past its body, and where its milliseconds went, by each stage that it reached."""

    body: bytes
    headers: Mapping[str, str]
    attributes: dict[str, Any]
    arrived: float
    milliseconds: dict[str, float] = field(default_factory=dict)


class ModelServer:
    """The model, the threads that run it, and the two routes."""

    def __init__(self, model_dir: Path) -> None:
        self.model_dir = model_dir
        self.model: Model | None = None
        self.pool = ThreadPoolExecutor(THREADS, thread_name_prefix="model")
        self.places = asyncio.Semaphore(MAX_REQUESTS)
        self.arriving_bytes = 0
        self.is_draining = False
        self.app = Starlette(
            routes=[Route("/ping", self.ping), Route("/invocations", self.invocations, methods=["POST"])]
        )

    async def load(self) -> None:
        """Load and warm up off the event loop, so that /ping answers meanwhile. Raises ArtifactError."""
        loop = asyncio.get_running_loop()
        model, self.batcher = await loop.run_in_executor(self.pool, load_warm, self.model_dir)
        self.model = model
        logger.info(json.dumps({"event": "ready", "model": model.describe(), "why": model.why}))

    def drain(self) -> None:
        """From now on each answer ends its connection, and the platform is told to send no more."""
        self.is_draining = True

    async def ping(self, _: HttpRequest) -> Response:
        """GET /ping: is there a model, which, and why it has its precision."""
        if self.is_draining:
            return JSONResponse({"status": "draining"}, 503)
        if self.model is None:
            return JSONResponse({"status": "loading"}, 503)
        return JSONResponse({"status": "ready", "model": self.model.describe(), "why": self.model.why})

    async def invocations(self, http: HttpRequest) -> Response:
        """POST /invocations: answer, and log one line."""
        arrived = time.perf_counter()
        attributes = parse_attributes(http.headers.get(ATTRIBUTES_HEADER, ""))
        request_id = attributes.get("id", "")[:MAX_ID_CHARACTERS] or uuid.uuid4().hex
        code, call = "ok", None
        try:
            body = await self.read_body(http)
            call = Call(body, http.headers, attributes, time.perf_counter())
            response = await self.answer(call)
        except RequestError as error:
            code, response = error.code, error_response(error)
        except ClientDisconnect:
            code, response = "client_disconnected", Response(status_code=400)
        except Exception:
            # The caller learns nothing of our insides; whoever reads the log learns everything.
            logger.exception(json.dumps({"event": "error", "id": request_id}))
            code = "internal"
            response = error_response(RequestError(500, code, f"The model server failed on request {request_id}."))
        if self.is_draining:
            response.headers["Connection"] = "close"
        log_request(request_id, response.status_code, code, call, time.perf_counter() - arrived)
        return response

    async def read_body(self, http: HttpRequest) -> bytes:
        """Read the body without ever holding more than the limits. Raises RequestError 408, 413, 503.

        What is too much is read on, for as long as a body may take, and dropped: a sender that meets a closed
        connection would never see the answer.
        """
        body, refusal = bytearray(), None
        try:
            async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
                async for chunk in http.stream():
                    refusal = refusal or self.refuse_more(len(body) + len(chunk))
                    if refusal:
                        self.arriving_bytes -= len(body)
                        body.clear()
                    else:
                        self.arriving_bytes += len(chunk)
                        body += chunk
        except TimeoutError:
            message = f"The body did not arrive within {BODY_TIMEOUT_SECONDS} seconds."
            refusal = refusal or RequestError(408, "body_too_slow", message)
        finally:
            self.arriving_bytes -= len(body)
        if refusal:
            raise refusal
        return bytes(body)

    def refuse_more(self, body_bytes: int) -> RequestError | None:
        """Why a body must not grow to so many bytes, if it must not."""
        if body_bytes > MAX_BODY_BYTES:
            return RequestError(413, "body_too_large", f"The body may have at most {MAX_BODY_BYTES} bytes.")
        if body_bytes > SMALL_BODY_BYTES and self.arriving_bytes > MAX_ARRIVING_BYTES:
            return RequestError(503, "busy", "Too many large bodies are arriving already: try again in a moment.")
        return None

    async def answer(self, call: Call) -> Response:
        """Run the handlers on a thread of the pool. Raises RequestError."""
        if self.model is None:
            raise RequestError(503, "loading", "The model is still loading.")
        if self.places.locked():
            raise RequestError(503, "busy", f"{MAX_REQUESTS} requests are here already: try again in a moment.")
        async with self.places:
            loop = asyncio.get_running_loop()
            text, media_type = await loop.run_in_executor(self.pool, run_handlers, self.model, self.batcher, call)
        return Response(text, media_type=media_type)


def run_handlers(model: Model, batcher: Batcher, call: Call) -> tuple[str, str]:
    """One request through the handlers, its images in a batch with others'. Raises RequestError.

    Options in the header win over those in the body.
    """
    started = time.perf_counter()
    content_type, accept = call.headers.get("content-type", ""), call.headers.get("accept", "")
    request = replace(handlers.input_fn(call.body, content_type), **handlers.parse_options(call.attributes))
    pixels = handlers.decode(request, model)
    call.milliseconds["decode_milliseconds"] = 1000 * (time.perf_counter() - started)
    run = batcher(pixels)
    call.milliseconds["queue_milliseconds"] = 1000 * (started - call.arrived + run.waited_seconds)
    call.milliseconds["model_milliseconds"] = 1000 * run.ran_seconds
    return handlers.output_fn(handlers.answer(request, model, run.outputs), accept)


def load_warm(model_dir: Path) -> tuple[Model, Batcher]:
    """A model that has answered one picture: its first inference allocates, and must not be a caller's.

    Raises:
        ArtifactError: as `model_fn`.
    """
    model = handlers.model_fn(model_dir)
    batcher = Batcher(model.engine, BATCH_IMAGES)
    picture = BytesIO()
    Image.new("RGB", (model.manifest.input.size,) * 2).save(picture, "JPEG")
    run_handlers(model, batcher, Call(picture.getvalue(), {"content-type": "image/jpeg"}, {}, time.perf_counter()))
    return model, batcher


def parse_attributes(header: str) -> dict[str, Any]:
    """Read `id=…;top_k=5;output=logits`. Keys that mean nothing to us pass: the header is the caller's own too."""
    pairs = (part.partition("=") for part in header.split(";") if "=" in part)
    attributes: dict[str, Any] = {key.strip(): value.strip() for key, _, value in pairs}
    with suppress(KeyError, ValueError):  # who reads the options refuses what is no number
        attributes["top_k"] = int(attributes["top_k"])
    return attributes


def error_response(error: RequestError) -> Response:
    """The answer to a refused request. A connection with half a body on it cannot be used again."""
    headers = {}
    if error.status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if error.status in (408, 413):
        headers["Connection"] = "close"
    return Response(error.to_json(), error.status, headers, JSON_TYPE)


def log_request(request_id: str, status: int, code: str, call: Call | None, seconds: float) -> None:
    """One JSON line, which is also a record of metrics where METRIC_NAMESPACE names the place for them.

    CloudWatch reads metrics out of log lines in its "embedded metric format"; `busy` counts who was turned away.
    """
    milliseconds = {"total_milliseconds": 1000 * seconds, **(call.milliseconds if call else {})}
    fields: dict[str, Any] = {"event": "request", "id": request_id, "status": status, "code": code}
    fields |= {name: round(value, 2) for name, value in milliseconds.items()}
    metrics = [{"Name": name, "Unit": "Milliseconds"} for name in milliseconds]
    if code == "busy":
        fields["busy"] = 1
        metrics.append({"Name": "busy", "Unit": "Count"})
    if namespace := os.environ.get("METRIC_NAMESPACE"):
        directive = {"Namespace": namespace, "Dimensions": [[]], "Metrics": metrics}
        fields["_aws"] = {"Timestamp": int(1000 * time.time()), "CloudWatchMetrics": [directive]}
    logger.info(json.dumps(fields))


async def run(model_dir: Path, host: str) -> int:
    """Serve until SIGTERM, which drains, or until loading fails. Returns the exit status."""
    model_server = ModelServer(model_dir)
    config = uvicorn.Config(
        model_server.app,
        host=host,
        port=int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")),
        http=HeadTimeoutProtocol,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        log_level="warning",
        access_log=False,
    )
    http_server = DrainingServer(config, model_server.drain)
    serving = asyncio.create_task(http_server.serve())
    status = 0
    try:
        await model_server.load()
    except ArtifactError as error:
        print(f"The model cannot be served. {error}", file=sys.stderr)
        status, http_server.should_exit = 1, True
    await serving
    return status


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (a container says 0.0.0.0)")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stdout)
    base_dir = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
    # Memory of a megabyte and more goes back as soon as it is free. By default the allocator keeps what once held a
    # large picture, for each thread.
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 20)
    # Uvicorn raises the signal again once it has drained; by then it is no news.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        status = runner.run(run(base_dir / "model", arguments.host))
    # Every caller has an answer by now. A thread of the engine that comes back to Python while the interpreter takes
    # itself apart would be ended in the middle of C++, which aborts the process: so there is no taking apart.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
