"""The stand-in's one address: data planes answer what really runs, moto answers the rest."""

import argparse
import io
import json
import os
import re
import signal
import sys
import threading
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import unquote

from moto.core.exceptions import JsonRESTError
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.datastructures import Headers
from werkzeug.serving import BaseWSGIServer, make_server
from werkzeug.test import run_wsgi_app
from werkzeug.wrappers import Request, Response

from local_aws import shims
from local_aws.cloud import Cloud, ServiceError
from local_aws.endpoints import Endpoints
from local_aws.environment import ACCOUNT_ID, CALLS_PATH, FAULTS_PATH, REGION, STATE_BUCKET, URLS_PATH
from local_aws.function_urls import FunctionUrls
from local_aws.functions import Functions
from local_aws.home import Home
from local_aws.instances import Instances
from local_aws.training_jobs import TrainingJobs
from local_aws.tuning_jobs import TuningJobs

_SAGEMAKER = "SageMaker."
_KEPT_ANSWERS = 200  # of a few kilobytes each
_FUNCTION = re.compile(r"/\d{4}-\d\d-\d\d/functions/([^/]+)/?(.*?)/?")  # an API version, a name, what of it

StartResponse = Callable[..., Any]


class Quiet(MotoRequestHandler):
    disable_nagle_algorithm = True  # else Nagle and delayed ACK add 40 ms to an answer

    def log(self, type: str, message: str, *arguments: object) -> None:
        """Keep the log for errors: a training job alone makes thousands of requests."""
        if type == "error":
            super().log(type, message, *arguments)


class StandIn:
    """A WSGI application: finds out which operation a request is, and who answers it."""

    def __init__(self, cloud: Cloud) -> None:
        self._calls = cloud.calls
        self._answered: OrderedDict[str, tuple[bytes, int, Headers]] = OrderedDict()  # by the id of a client's call
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._training_jobs = TrainingJobs(cloud)
        self._tuning_jobs = TuningJobs(cloud)
        self._instances = Instances(cloud)
        self._endpoints = Endpoints(cloud)
        self._functions = Functions(cloud)
        self._function_urls = FunctionUrls(cloud, self._functions)
        self._sagemaker: dict[str, Callable[[dict[str, Any], Callable[[], Response]], Response]] = {
            "CreateTrainingJob": self._training_jobs.create,
            "StopTrainingJob": lambda request, _forward: self._training_jobs.stop(request),
            "CreateHyperParameterTuningJob": lambda request, _forward: self._tuning_jobs.create(request),
            "DescribeHyperParameterTuningJob": lambda request, _forward: self._tuning_jobs.describe(request),
            "ListTrainingJobsForHyperParameterTuningJob": lambda request, _: self._tuning_jobs.list_trials(request),
            "StopHyperParameterTuningJob": lambda request, _forward: self._tuning_jobs.stop(request),
            "CreateEndpoint": self._endpoints.create,
            "UpdateEndpoint": self._endpoints.update,
            "DeleteEndpoint": self._endpoints.delete,
            "DeleteEndpointConfig": self._endpoints.delete_config,
        }

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if _comes_from_a_web_page(environ):
            return Response("No web page may use the stand-in.", 403)(environ, start_response)
        if environ["REQUEST_METHOD"] == "POST" and environ["PATH_INFO"] == "/":
            return self._once(environ)(environ, start_response)
        answer = self._answer(environ)
        if answer is None:
            return self._moto(environ, start_response)  # type: ignore[no-any-return]
        return answer(environ, start_response)

    def _once(self, environ: dict[str, Any]) -> Response:
        """Answer a call to an API; one that a client repeats, because the answer was lost, as the first time.

        A busy machine drops a connection now and then. The SDKs send the same id with each attempt, and what was made
        at the first would stand in the way of the second.
        """
        call = environ.get("HTTP_AMZ_SDK_INVOCATION_ID", "")
        is_repeated = not environ.get("HTTP_AMZ_SDK_REQUEST", "attempt=1").startswith("attempt=1")
        if is_repeated and (before := self._answered.get(call)):
            return Response(*before)
        answer = self._answer(environ)
        if answer is None:
            answer = Response(*run_wsgi_app(self._moto, environ, buffered=True))
        if call and answer.status_code < 300:
            self._answered[call] = (answer.get_data(), answer.status_code, answer.headers)
            while len(self._answered) > _KEPT_ANSWERS:
                self._answered.popitem(last=False)
        return answer

    def close(self) -> None:
        for part in (self._tuning_jobs, self._training_jobs, self._instances, self._functions, self._endpoints):
            part.close()

    def _answer(self, environ: dict[str, Any]) -> Response | None:
        """The stand-in's own answer, or None when the request is moto's alone."""
        try:
            if environ["PATH_INFO"].startswith(URLS_PATH):
                return self._function_urls.answer(Request(environ))
            self._calls.observe(environ)  # may read the body and put it back: nothing else may hold it before
            request = Request(environ)
            if request.path == CALLS_PATH:
                return Response(self._calls.lines(), mimetype="application/jsonl")
            if request.path.startswith(FAULTS_PATH):
                self._endpoints.suffer(request.path.removeprefix(FAULTS_PATH))
                return Response(status=204)
            if target := request.headers.get("X-Amz-Target", ""):
                operation = self._sagemaker.get(target.removeprefix(_SAGEMAKER))
                if operation and target.startswith(_SAGEMAKER):
                    body = request.get_data()
                    return operation(json.loads(body), lambda: self._forward(request, body))
            elif request.path == "/" and request.mimetype == "application/x-www-form-urlencoded":
                body = request.get_data(parse_form_data=False)
                return self._instances.answer(body, lambda: self._forward(request, body))
            elif request.path.startswith("/endpoints/") and request.path.endswith("/invocations"):
                return self._endpoints.invoke(unquote(request.path.split("/")[2]), request)
            elif function := _FUNCTION.fullmatch(unquote(request.path)):
                return self._answer_function(request, *function.groups())
        except ServiceError as error:
            return error.response()
        except JsonRESTError as error:  # moto's own, raised by the records that the data planes read
            return ServiceError(error.error_type, error.message, error.code).response()
        except Exception as error:  # a fault of the stand-in: to its log in full, to the caller as AWS would say it
            traceback.print_exc()
            return ServiceError("InternalFailure", f"The stand-in failed: {error!r}.", 500).response()
        return None

    def _answer_function(self, request: Request, name: str, what: str) -> Response | None:
        def forward() -> Response:
            return self._forward(request, request.get_data())

        match request.method, what.split("/")[0]:
            case "POST", "invocations":
                return self._functions.invoke(name, request.args.get("Qualifier"), request)
            case "DELETE", "" if "Qualifier" not in request.args:
                return self._functions.delete(name, forward)
            case ("PUT", "aliases") | ("PUT" | "DELETE", "provisioned-concurrency"):
                return self._functions.provision(name, forward)
            case _, "url":
                return self._function_urls.configure(name, request, forward)
        return None

    def _forward(self, request: Request, body: bytes) -> Response:
        """Moto's answer to a request whose body was read already."""
        environ = {**request.environ, "wsgi.input": io.BytesIO(body)}
        return Response(*run_wsgi_app(self._moto, environ, buffered=True))


def _comes_from_a_web_page(environ: dict[str, Any]) -> bool:
    """Whether a browser sent this for a page: with an Origin, or under a name that was made to lead here.

    Anybody's page could otherwise make functions here, and functions run as the user.
    """
    host = environ.get("HTTP_HOST", "").rsplit(":", 1)[0]
    return "HTTP_ORIGIN" in environ or host not in ("127.0.0.1", "localhost")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    port = parser.parse_args().port
    home = Home.from_environment()
    try:
        server = make_server("127.0.0.1", port, _not_ready, threaded=True, request_handler=Quiet)
    except (OSError, SystemExit):
        sys.exit(f"Port {port} is taken: choose another, or leave PORT out to take any free one.")
    stand_in = _build(server, home.path)
    stop = threading.Event()

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, ask_to_stop)
    signal.signal(signal.SIGINT, ask_to_stop)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home.write_record(supervisor_pid=os.getppid(), url=f"http://127.0.0.1:{server.server_port}")
    stop.wait()
    stand_in.close()
    home.kill_processes(spared_pid=os.getppid())  # what was just being started, where no supervisor is left to do it
    server.shutdown()


def _build(server: BaseWSGIServer, home: Path) -> StandIn:
    """The application needs the address of the server, and the server an application."""
    shims.install()
    _bootstrap_account()
    stand_in = StandIn(Cloud(f"http://127.0.0.1:{server.server_port}", home))
    server.app = stand_in
    return stand_in


def _bootstrap_account() -> None:
    """Make what terraform/bootstrap makes in an account before anything else: a versioned bucket for state."""
    s3 = s3_backends[ACCOUNT_ID]["aws"]
    s3.create_bucket(STATE_BUCKET, REGION)
    s3.put_bucket_versioning(STATE_BUCKET, "Enabled")


def _not_ready(_environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    start_response("503 Service Unavailable", [])
    return [b""]


if __name__ == "__main__":
    main()
