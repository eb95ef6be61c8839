"""RunInstances that really runs what the instance was given: its user-data, in a folder that stands for its disk.

A script that was written for a machine of its own is let near no other: what it names outside its folder is replaced by
what stands in there, the programs that would end the machine among it, and nothing but that script is ever run.
"""

import base64
import re
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from moto.ec2.models import ec2_backends
from werkzeug.wrappers import Response

from local_aws.cloud import Cloud, Forward
from local_aws.environment import ACCOUNT_ID, REGION
from local_aws.processes import Child, base_environment

_ID = re.compile(r"<instanceId>(i-[0-9a-f]+)</instanceId>")
_ROOTS = ("/opt/training", "/opt/pytorch")  # folders of the machine that a script of ours names
_GRACE_SECONDS = 60  # what a machine that is told to end has for its last words
_POLL_SECONDS = 0.2
# `shutdown -h +30` notes when, `poweroff` that it is time; the machine's keeper sees to it.
_SHUTDOWN = '#!/bin/sh\necho "${2#+}" >"%s/shutdown-in-minutes"\n'
_POWEROFF = '#!/bin/sh\ntouch "%s/is-off"\n'
_PYTHON = '#!/bin/sh\nexec "%s" "$@"\n'


class Instances:
    """The instances of this stand-in that run something, by id."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._machines: dict[str, _Machine] = {}

    def answer(self, body: bytes, forward: Forward) -> Response:
        """Moto's answer to a form; where that starts or terminates instances, they are started and ended."""
        response = forward()
        act = {b"RunInstances": self._start, b"TerminateInstances": self._end}
        if (action := parse_qs(body).get(b"Action", [b""])[0]) in act and response.status_code == 200:
            for instance_id in _ID.findall(response.get_data(as_text=True)):
                act[action](instance_id)
        return response

    def close(self) -> None:
        for machine in list(self._machines.values()):
            machine.end(grace_seconds=1)

    def _start(self, instance_id: str) -> None:
        backend = ec2_backends[ACCOUNT_ID][REGION]
        instance = backend.get_instance(instance_id)
        if not instance.user_data:
            return
        association = backend.iam_instance_profile_associations.get(instance_id)
        role = association.iam_instance_profile.roles[0].arn if association else None
        variables = self._cloud.role_environment(role) if role else {}
        machine = self._machines[instance_id] = _Machine(self._cloud, instance, variables)
        machine.start()

    def _end(self, instance_id: str) -> None:
        if machine := self._machines.pop(instance_id, None):
            machine.end(_GRACE_SECONDS)


class _Machine(threading.Thread):
    """One instance, from its start until it goes off."""

    def __init__(self, cloud: Cloud, instance: Any, variables: dict[str, str]) -> None:
        super().__init__(name=instance.id, daemon=True)
        self._instance = instance
        self._root = cloud.home / "instances" / instance.id
        self._lay_out(str(instance.user_data))
        log = self._root.with_suffix(".log").open("w", buffering=1)  # what a console would have shown
        environment = {**base_environment(self._root / "tmp"), **variables}
        environment["PATH"] = f"{self._root / 'programs'}:{environment['PATH']}"
        self._began = time.monotonic()
        self._child = Child(["bash", "user-data"], environment, lambda line: print(line, file=log), self._root)

    def run(self) -> None:
        while not self._is_over():
            time.sleep(_POLL_SECONDS)
        self.end(grace_seconds=1)

    def end(self, grace_seconds: float) -> None:
        """End what runs, and the instance: one that goes off is terminated, as its launch template says."""
        self._child.stop(grace_seconds)
        (self._root / "is-off").touch()
        self._instance.terminate()
        shutil.rmtree(self._root, ignore_errors=True)

    def _is_over(self) -> bool:
        if (self._root / "is-off").exists() or not self._root.exists():
            return True
        planned = self._root / "shutdown-in-minutes"
        minutes = planned.read_text().strip() if planned.exists() else ""
        return minutes.isdecimal() and time.monotonic() - self._began > 60 * int(minutes)

    def _lay_out(self, user_data: str) -> None:
        """Fill the folder that stands for the machine's disk."""
        script = base64.b64decode(user_data).decode()
        for place in _ROOTS:
            script = script.replace(place, str(self._root) + place)
        programs = {
            "programs/shutdown": _SHUTDOWN % self._root,
            "programs/poweroff": _POWEROFF % self._root,
            "opt/pytorch/bin/python": _PYTHON % sys.executable,
        }
        (self._root / "tmp").mkdir(parents=True)
        (self._root / "user-data").write_text(script)
        for name, content in programs.items():
            path: Path = self._root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            path.chmod(0o755)
