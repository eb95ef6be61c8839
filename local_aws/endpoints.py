"""CreateEndpoint that really serves: each endpoint is our own serving process behind InvokeEndpoint."""

import re
import socket
import sys
import tarfile
import threading
import time
import uuid
from collections import defaultdict
from pathlib import Path
from typing import Any

import urllib3
from moto.applicationautoscaling.models import applicationautoscaling_backends
from moto.cloudwatch.models import cloudwatch_backends
from moto.sagemaker.models import sagemaker_backends
from werkzeug.wrappers import Request, Response

from local_aws.calls.requests import put_metric_data
from local_aws.cloud import Cloud, Forward, LogStream, ServiceError, require_name, split_s3_uri
from local_aws.environment import ACCOUNT_ID, REGION
from local_aws.processes import Child, base_environment

_READY_SECONDS = 120
_INVOKE_SECONDS = 60  # SageMaker's limit for a real-time answer
_BODY_BYTES = 6_291_456  # SageMaker's limit for a real-time request
_STOP_GRACE_SECONDS = 10
_RESTART_SECONDS = 1
_ALARM_SECONDS = 300
# This project's image, in any account's registry, by tag or by digest.
_SERVING_IMAGE = re.compile(
    r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com/[a-z0-9/_-]+-serving(:[\w.-]+|@sha256:[0-9a-f]{64})"
)
_FORWARDED_HEADERS = ("Content-Type", "Accept", "X-Amzn-SageMaker-Custom-Attributes")


class Endpoints:
    """The endpoints of this stand-in, by name, each with the container that answers for it."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._serving: dict[str, _Container] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)  # a deployment at a time, by name
        self._http = urllib3.PoolManager(maxsize=32, retries=False)
        self._fault = ""

    def create(self, request: dict[str, Any], forward: Forward) -> Response:
        name = request["EndpointName"]
        require_name("endpointName", name)
        if name in _records():
            raise ServiceError(
                "ValidationException",
                f'Cannot create already existing endpoint "arn:aws:sagemaker:{REGION}:{ACCOUNT_ID}:endpoint/{name}".',
            )
        response = forward()
        if response.status_code == 200:
            self._start_deployment(name, "Creating")
        return response

    def update(self, request: dict[str, Any], forward: Forward) -> Response:
        record = _records().get(request["EndpointName"])
        if record is not None and record.endpoint_status not in ("InService", "Failed"):
            raise ServiceError(
                "ValidationException", f"Cannot update in-progress endpoint (status {record.endpoint_status})."
            )
        previous = record.endpoint_config_name if record else None
        if previous:
            _refuse_another_type_under_autoscaling(request["EndpointName"], request["EndpointConfigName"], previous)
        response = forward()
        if response.status_code == 200:
            self._start_deployment(request["EndpointName"], "Updating", previous)
        return response

    def delete(self, request: dict[str, Any], forward: Forward) -> Response:
        response = forward()
        if container := self._serving.pop(request["EndpointName"], None):
            container.stop()
        return response

    def delete_config(self, request: dict[str, Any], forward: Forward) -> Response:
        name = request["EndpointConfigName"]
        users = [record.endpoint_name for record in _records().values() if record.endpoint_config_name == name]
        # AWS takes it away, and the endpoint can then be neither scaled nor changed: here a test shall notice. While an
        # endpoint is updated, what still serves is in use too, and what a failed update goes back to.
        users += [endpoint for endpoint, container in list(self._serving.items()) if container.config_name == name]
        if users:
            raise ServiceError(
                "ValidationException",
                f'Cannot delete endpoint configuration "{name}": it is in use by endpoint "{users[0]}".',
            )
        return forward()

    def invoke(self, name: str, request: Request) -> Response:
        """Pass the body on to the endpoint's container; answer its errors as SageMaker does."""
        body = request.get_data()  # before any answer: a connection that closes on unread bytes takes the answer along
        container = self._serving.get(name)
        if container is None or name not in _records():
            raise ServiceError("ValidationError", f"Endpoint {name} of account {ACCOUNT_ID} not found.")
        if len(body) > _BODY_BYTES:
            raise ServiceError("ValidationError", f"Request body is larger than {_BODY_BYTES} bytes.", 413)
        headers = {key: request.headers[key] for key in _FORWARDED_HEADERS if key in request.headers}
        try:
            answer = self._http.request(
                "POST", f"{container.url}/invocations", body=body, headers=headers, timeout=_INVOKE_SECONDS
            )
        except urllib3.exceptions.TimeoutError:
            raise _model_error(
                0, "Your invocation timed out while waiting for a response from container primary."
            ) from None
        except urllib3.exceptions.HTTPError:
            raise _model_error(0, "The model process exited before it answered.") from None
        if answer.status >= 400:
            raise _model_error(answer.status, answer.data.decode("utf-8", "replace"))
        return Response(
            answer.data,
            headers={
                "Content-Type": answer.headers.get("Content-Type", "application/octet-stream"),
                "x-Amzn-Invoked-Production-Variant": container.variant,
                "x-amzn-RequestId": str(uuid.uuid4()),
            },
        )

    def close(self) -> None:
        for container in list(self._serving.values()):
            container.stop()

    def suffer(self, fault: str) -> None:
        """Let the next deployment of any endpoint meet one of environment.FAULTS."""
        self._fault = fault

    def _start_deployment(self, name: str, status: str, previous: str | None = None) -> None:
        record = _records()[name]
        record.endpoint_status = status
        threading.Thread(target=self._deploy, args=(name, record, previous), daemon=True).start()

    def _deploy(self, name: str, record: Any, previous_config: str | None) -> None:
        """Bring up the container of the endpoint's configuration; only then retire the one that serves."""
        with self._locks[name]:
            record.failure_reason = None
            fault, self._fault = self._fault, ""
            ready_seconds = 0 if fault == "never-ready" else _READY_SECONDS
            try:
                container = _Container(self._cloud, name, record.endpoint_config_name, ready_seconds)
            except Exception as error:
                # Whatever it was, it is this deployment's failure, told to whoever describes the endpoint.
                record.failure_reason = str(error)
                # A failed update goes back to what served before; a failed creation has nothing to go back to.
                if previous_config and name in self._serving:
                    record.endpoint_config_name = previous_config
                    record.endpoint_status = "InService"
                else:
                    record.endpoint_status = "Failed"
                return
            was_deleted = _records().get(name) is not record
            if was_deleted:
                container.stop()
                return
            if fault == "silent-rollback" and previous_config and name in self._serving:
                _fire_alarm(record)
                record.endpoint_config_name, record.endpoint_status = previous_config, "InService"
                container.stop()
                return
            retired, self._serving[name] = self._serving.get(name), container
            record.endpoint_status = "InService"
        if retired:
            retired.stop()


class _Container:
    """A serving process with the model that an endpoint configuration names. It is started again when it dies."""

    def __init__(self, cloud: Cloud, endpoint: str, config_name: str, ready_seconds: float) -> None:
        """Start it and wait until it answers /ping. Raises ServiceError with SageMaker's reason when it does not."""
        backend = sagemaker_backends[ACCOUNT_ID][REGION]
        variant = backend.describe_endpoint_config(config_name)["ProductionVariants"][0]
        model = backend.describe_model(variant["ModelName"]).response_object
        primary = model["PrimaryContainer"]
        self.config_name = config_name
        self.variant: str = variant["VariantName"]
        _refuse_unknown_image(primary["Image"])
        self._folder = cloud.home / "endpoints" / endpoint / uuid.uuid4().hex[:8]
        environment = cloud.role_environment(model["ExecutionRoleArn"])
        # What SageMaker itself puts about the instances, in the role's name.
        cloud.calls.note(model["ExecutionRoleArn"], [put_metric_data("/aws/sagemaker/Endpoints")])
        _unpack_model(cloud.client("s3", environment), primary["ModelDataUrl"], self._folder)
        logs = cloud.client("logs", environment)
        self._log = LogStream(logs, f"/aws/sagemaker/Endpoints/{endpoint}", f"{self.variant}/i-{self._folder.name}")
        self._port = _free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._environment = {
            **base_environment(self._folder),
            **environment,
            **primary.get("Environment", {}),
            "SAGEMAKER_BASE_DIR": str(self._folder),
            "SAGEMAKER_BIND_TO_PORT": str(self._port),
        }
        self._stopping = threading.Event()
        self._restarting = threading.Lock()  # so that stop() never misses a process that is just being started
        self._child = self._start()
        if not self._answers_ping(ready_seconds):
            self.stop()
            raise ServiceError(
                "ValidationException",
                f"The primary container for production variant {self.variant} did not pass the ping health check. "
                f"Please check CloudWatch logs for this endpoint.",
            )
        threading.Thread(target=self._keep_alive, daemon=True).start()

    def stop(self) -> None:
        with self._restarting:
            self._stopping.set()
        self._child.stop(_STOP_GRACE_SECONDS)
        self._log.close()

    def _start(self) -> Child:
        # What our serving image starts.
        return Child([sys.executable, "-m", "inference.serve"], self._environment, self._log.write)

    def _answers_ping(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._child.exit_status is None:
            try:
                if urllib3.request("GET", f"{self.url}/ping", retries=False, timeout=2).status == 200:
                    return True
            except urllib3.exceptions.HTTPError:
                pass
            time.sleep(0.05)
        return False

    def _keep_alive(self) -> None:
        while not self._stopping.is_set():
            self._child.wait()
            self._stopping.wait(_RESTART_SECONDS)
            with self._restarting:
                if not self._stopping.is_set():
                    self._child = self._start()


def _records() -> dict[str, Any]:
    """moto's own records of the endpoints, by name: what DescribeEndpoint answers from."""
    return sagemaker_backends[ACCOUNT_ID][REGION].endpoints


def _refuse_another_type_under_autoscaling(name: str, config_name: str, previous_config: str) -> None:
    configurations = sagemaker_backends[ACCOUNT_ID][REGION].endpoint_configs
    targets = applicationautoscaling_backends[ACCOUNT_ID][REGION].targets
    held = targets.get("sagemaker:variant:DesiredInstanceCount", {})
    if not {config_name, previous_config} <= configurations.keys():
        return
    types = {each["VariantName"]: each["InstanceType"] for each in configurations[config_name].production_variants}
    for each in configurations[previous_config].production_variants:
        variant = each["VariantName"]
        if f"endpoint/{name}/variant/{variant}" in held and types.get(variant) != each["InstanceType"]:
            raise ServiceError(
                "ValidationException",
                f'The variant(s) "[{variant}]" must be deregistered as scalable targets with AWS Auto Scaling before '
                "removal or before updating their instance type.",
            )


def _fire_alarm(record: Any) -> None:
    """Raise the first of the alarms that send this endpoint's deployments back, for some minutes."""
    alarms = ((record.last_deployment_config or {}).get("AutoRollbackConfiguration") or {}).get("Alarms") or []
    if not alarms:
        return
    cloudwatch, name = cloudwatch_backends[ACCOUNT_ID][REGION], alarms[0]["AlarmName"]

    def calm_down() -> None:
        if name in cloudwatch.alarms:  # it may have been deleted meanwhile
            cloudwatch.set_alarm_state(name, "No more of it.", "{}", "OK")

    cloudwatch.set_alarm_state(name, "Threshold Crossed: as the stand-in was asked to.", "{}", "ALARM")
    quiet = threading.Timer(_ALARM_SECONDS, calm_down)
    quiet.daemon = True
    quiet.start()


def _model_error(original_status: int, message: str) -> ServiceError:
    kind = "client" if 400 <= original_status < 500 else "server"
    return ServiceError(
        "ModelError",
        f'Received {kind} error ({original_status}) from primary with message "{message}".',
        424,
        OriginalStatusCode=original_status,
        OriginalMessage=message,
        LogStreamArn="",
    )


def _refuse_unknown_image(image: str) -> None:
    if not _SERVING_IMAGE.fullmatch(image):
        raise ServiceError(
            "ValidationException", f"The stand-in runs this project's serving image only; it cannot run {image}."
        )


def _unpack_model(s3: Any, uri: str, folder: Path) -> None:
    bucket, key = split_s3_uri(uri)
    (folder / "model").mkdir(parents=True)
    archive = folder / "model.tar.gz"
    try:
        s3.download_file(bucket, key, str(archive))
        with tarfile.open(archive) as tar:
            tar.extractall(folder / "model", filter="data")
    except s3.exceptions.ClientError:
        raise ServiceError("ValidationException", f"Could not find model data at {uri}.") from None
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ServiceError("ValidationException", f"Could not unpack model data at {uri}: {error}.") from None
    archive.unlink()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
