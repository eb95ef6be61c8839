"""The execution environments of all functions: kept and reused, provisioned beforehand, never more than reserved."""

import contextlib
import io
import json
import threading
import uuid
import zipfile
from dataclasses import dataclass
from typing import Any

from moto.awslambda.models import lambda_backends
from moto.core.exceptions import JsonRESTError

from local_aws.cloud import Cloud, LogStream, ServiceError
from local_aws.environment import ACCOUNT_ID, REGION
from local_aws.processes import base_environment
from local_aws.runtime_api import INIT_SECONDS, ExecutionEnvironment, Invocation
from local_aws.shims.lambda_ import provisioned_of

_ENVIRONMENTS_AT_MOST = 16  # where a function reserves no concurrency: what one machine can bear


def find_function(name: str, qualifier: str | None = None) -> Any:
    """Moto's record of a function, or of the version that a qualifier names. Raises moto's error when there is none."""
    return lambda_backends[ACCOUNT_ID][REGION].get_function(name, qualifier)


@dataclass(eq=False)
class _Kept:
    """A place for an execution environment, and the configuration of the function that it is started with."""

    version: str
    configuration: str
    provisioned_for: str | None = None  # a qualifier; None where a call made it start
    environment: ExecutionEnvironment | None = None  # None while it is being started
    is_busy: bool = True

    @property
    def is_dead(self) -> bool:
        return self.environment is not None and not self.environment.is_alive

    def can_serve(self, configuration: str) -> bool:
        return not self.is_busy and not self.is_dead and self.configuration == configuration


class ExecutionEnvironments:
    """An idle environment serves before another starts: first those provisioned for the alias that is called."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._kept: dict[str, list[_Kept]] = {}
        self._lock = threading.Lock()
        self._provisioning = threading.Lock()
        self._is_closed = False

    def run(self, function: Any, qualifier: str | None, invocation: Invocation) -> None:
        """Run an invocation to its end. Raises ServiceError when no more may run at once."""
        kept = self._take(function, qualifier)
        try:
            environment = kept.environment or self._start(function, kept)
            environment.run(invocation)
        finally:
            kept.is_busy = False

    def provision(self, name: str) -> None:
        """Let stand ready what is asked for of a function, and nothing else. Waits until it is initialised."""
        with self._provisioning:
            wanted = {} if self._is_closed else provisioned_of(find_function(name))
            standing = {kept.provisioned_for for kept in self._kept.get(name, []) if kept.provisioned_for}
            for qualifier in standing - wanted.keys():
                self._provision(name, qualifier, 0)
            for qualifier, environments in wanted.items():
                environments.available = self._provision(name, qualifier, environments.wanted)

    def retire(self, name: str) -> None:
        """Stop all environments of a function that was deleted."""
        with self._lock:
            retired = self._kept.pop(name, [])
        _stop(retired)

    def close(self) -> None:
        self._is_closed = True
        for name in list(self._kept):
            self.retire(name)

    def _take(self, function: Any, qualifier: str | None) -> _Kept:
        """An environment of just this version and configuration, or a place for one. Raises ServiceError."""
        name, version, configuration = function.function_name, str(function.version), _configuration(function)
        latest = find_function(name)
        reserved = latest.reserved_concurrency
        limit = _ENVIRONMENTS_AT_MOST if reserved is None else int(reserved)
        # As on AWS, what is provisioned is taken from what is reserved, used or not.
        limit -= sum(environments.wanted for environments in provisioned_of(latest).values())
        with self._lock:
            every = self._kept.setdefault(name, [])
            ready = [kept for kept in every if kept.can_serve(configuration)]
            for kept in ready:
                if kept.provisioned_for and kept.provisioned_for == qualifier:
                    kept.is_busy = True
                    return kept
            on_demand = [kept for kept in every if not kept.provisioned_for]
            if sum(kept.is_busy for kept in on_demand) >= limit:
                reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
                raise ServiceError("TooManyRequestsException", "Rate Exceeded.", 429, Reason=reason)
            useless = [
                kept
                for kept in on_demand
                if not kept.is_busy
                and (kept.is_dead or (kept.version == version and kept.configuration != configuration))
            ]
            taken = next((kept for kept in ready if not kept.provisioned_for), None) or _Kept(version, configuration)
            taken.is_busy = True
            self._kept[name] = [kept for kept in every if kept not in (*useless, taken)] + [taken]
        _stop(useless)
        return taken

    def _provision(self, name: str, qualifier: str, count: int) -> int:
        """Let `count` environments stand ready for a qualifier; returns how many do."""
        function = find_function(name, qualifier if count else None)
        configuration = _configuration(function)
        with self._lock:
            every = self._kept.setdefault(name, [])
            standing = [kept for kept in every if kept.provisioned_for == qualifier]
            staying = [kept for kept in standing if kept.configuration == configuration and not kept.is_dead][:count]
            surplus = [kept for kept in standing if kept not in staying]
            for kept in surplus:
                kept.provisioned_for = None  # one that is busy ends as if a call had started it
            idle = [kept for kept in surplus if not kept.is_busy]
            new = [_Kept(str(function.version), configuration, qualifier) for _ in range(count - len(staying))]
            self._kept[name] = [kept for kept in every if kept not in idle] + new
        _stop(idle)
        for kept in new:
            with contextlib.suppress(ServiceError):  # its role is gone, or itself
                self._start(function, kept)
        for kept in new:
            if kept.environment and kept.environment.wait_until_initialised(INIT_SECONDS):
                kept.is_busy = False
            else:
                self._give_up(name, kept)
        return len(staying) + sum(not kept.is_busy for kept in new)

    def _replace(self, name: str) -> None:
        """Provision again what has just died."""
        with contextlib.suppress(JsonRESTError):  # the function is gone, too
            self.provision(name)

    def _give_up(self, name: str, kept: _Kept) -> None:
        with self._lock, contextlib.suppress(ValueError):
            self._kept.get(name, []).remove(kept)
        _stop([kept])

    def _start(self, function: Any, kept: _Kept) -> ExecutionEnvironment:
        """Start an environment in its place. Raises ServiceError."""
        name, version = function.function_name, str(function.version)
        folder = self._cloud.home / "functions" / uuid.uuid4().hex[:8]
        code = folder / "task"
        try:
            role = self._cloud.role_environment(function.role)
        except ServiceError:
            self._give_up(name, kept)
            raise
        with zipfile.ZipFile(io.BytesIO(function.code_bytes)) as package:
            package.extractall(code)
        logging = getattr(function, "logging_config", None) or {}
        group = logging.get("LogGroup") or f"/aws/lambda/{name}"
        stream = f"{folder.name}[{version}]"
        log = LogStream(self._cloud.client("logs", role), group, stream)
        variables = {
            **base_environment(folder),
            **role,
            **function.environment_vars,
            "PYTHONPATH": str(code),
            "LAMBDA_TASK_ROOT": str(code),
            "_HANDLER": function.handler,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.run_time}",
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "AWS_LAMBDA_FUNCTION_VERSION": version,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency" if kept.provisioned_for else "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": group,
            "AWS_LAMBDA_LOG_STREAM_NAME": stream,
            "AWS_LAMBDA_LOG_FORMAT": logging.get("LogFormat", "Text").upper(),
            "AWS_LAMBDA_LOG_LEVEL": logging.get("ApplicationLogLevel", "INFO"),
        }

        def on_line(line: str) -> None:
            log.write(line.replace("\r", "\n"))  # the runtime's way to keep a traceback one event

        def on_end() -> None:
            log.close()
            # One that dies before it could serve would do so again.
            if kept.provisioned_for and kept.environment and kept.environment.was_initialised:
                threading.Thread(target=self._replace, args=(name,), daemon=True).start()

        environment = ExecutionEnvironment(code, function.handler, variables, on_line, on_end)
        with self._lock:
            was_retired = kept not in self._kept.get(name, [])
            kept.environment = environment
        if was_retired:
            environment.stop()
            raise ServiceError("ResourceNotFoundException", f"Function not found: {function.function_arn}", 404)
        return environment


def _configuration(function: Any) -> str:
    return json.dumps(function.get_configuration(), default=str)


def _stop(retired: list[_Kept]) -> None:
    for kept in retired:
        if kept.environment:
            kept.environment.stop()
