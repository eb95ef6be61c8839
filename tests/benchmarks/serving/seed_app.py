"""The seed's handlers under the HTTP server that ours uses: what is left of the difference is the handlers' own.

Starlette on Uvicorn, set as in `inference.serve`, and the handlers on a thread, so that the event loop stays free.
"""

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.benchmarks.serving.seed_inference import input_fn, model_fn, predict_fn

# PyTorch puts every CPU to one image; a second thread only takes them from the first.
pool = ThreadPoolExecutor(1)
model = model_fn(str(Path(os.environ["SAGEMAKER_BASE_DIR"]) / "model"))


def answer(body: bytes, content_type: str) -> str:
    """The handlers, and what AWS's toolkit does where a script has no output_fn."""
    return json.dumps(predict_fn(input_fn(body, content_type), model).numpy().tolist())


async def ping(_: Request) -> Response:
    return Response()


async def invocations(http: Request) -> Response:
    body, content_type = await http.body(), http.headers.get("content-type", "")
    text = await asyncio.get_running_loop().run_in_executor(pool, answer, body, content_type)
    return Response(text, media_type="application/json")


app = Starlette(
    routes=[Route("/ping", ping, methods=["GET"]), Route("/invocations", invocations, methods=["POST"])],
)

if __name__ == "__main__":
    port = int(os.environ["SAGEMAKER_BIND_TO_PORT"])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)
