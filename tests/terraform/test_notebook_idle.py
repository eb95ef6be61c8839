"""The notebook's watchman against a Jupyter that answers as told, over TLS with a certificate of its own, and with an
`aws` that writes down how it was called. And that its shell scripts are shell scripts."""

import ast
import datetime
import ipaddress
import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

SCRIPTS = Path(__file__).parents[2] / "terraform" / "modules" / "training" / "scripts"
STOP = "sagemaker stop-notebook-instance --notebook-instance-name dogs-notebook --region us-east-1\n"


def ago(minutes: float) -> str:
    """A time as Jupyter writes it."""
    time = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=minutes)
    return time.isoformat().replace("+00:00", "Z")


def kernel(state: str, minutes: float) -> dict[str, Any]:
    """A kernel as /api/kernels lists it, with a browser connected."""
    return {"id": "1", "name": "python3", "execution_state": state, "last_activity": ago(minutes), "connections": 1}


def terminal(minutes: float) -> dict[str, Any]:
    return {"name": "1", "last_activity": ago(minutes)}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "jupyter")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("certificate") / "jupyter.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


class Notebook:
    """A fake Jupyter, whose answers a test sets, and the watchman beside it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.answers: dict[str, Any] = {"status": {"started": ago(600)}, "kernels": [], "terminals": []}
        self._folder, self._url = folder, url

    def watch(self, idle_minutes: int = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, SCRIPTS / "stop_when_idle.py", "dogs-notebook", "us-east-1", str(idle_minutes), self._url],
            env={"PATH": f"{self._folder}:{os.environ['PATH']}", "CALLS": str(self._folder / "calls")},
            capture_output=True,
            text=True,
            check=False,
        )

    def stopped(self, idle_minutes: int = 60) -> bool:
        """Let the watchman look once. True when it stopped this notebook, and did nothing else."""
        done = self.watch(idle_minutes)
        assert done.returncode == 0, done.stderr
        calls = self._folder / "calls"
        if not calls.exists():
            return False
        assert calls.read_text() == STOP
        return True


@pytest.fixture
def notebook(tmp_path: Path, certificate: Path) -> Iterator[Notebook]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = fake.answers.get(self.path.removeprefix("/api/"))
            self.send_response(404 if answer is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: Any) -> None:
            pass

    aws = tmp_path / "aws"
    aws.write_text('#!/bin/sh\necho "$@" >>"$CALLS"\n')
    aws.chmod(0o755)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        fake = Notebook(tmp_path, f"https://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield fake
        server.shutdown()


def test_stops_when_nothing_runs(notebook: Notebook) -> None:
    assert notebook.stopped()


def test_stops_when_kernels_were_idle_long_enough(notebook: Notebook) -> None:
    notebook.answers["kernels"] = [kernel("idle", 61), kernel("idle", 300)]
    assert notebook.stopped()


def test_goes_on_while_one_kernel_was_at_work_lately(notebook: Notebook) -> None:
    notebook.answers["kernels"] = [kernel("idle", 300), kernel("idle", 59)]
    assert not notebook.stopped()


@pytest.mark.parametrize("state", ["busy", "starting", "restarting"])
def test_goes_on_while_a_kernel_computes_however_silent(notebook: Notebook, state: str) -> None:
    notebook.answers["kernels"] = [kernel(state, 300)]
    assert not notebook.stopped()


def test_goes_on_while_a_terminal_prints(notebook: Notebook) -> None:
    notebook.answers["terminals"] = [terminal(2)]
    assert not notebook.stopped()


def test_stops_beside_a_forgotten_terminal(notebook: Notebook) -> None:
    notebook.answers["terminals"] = [terminal(120)]
    assert notebook.stopped()


def test_a_notebook_just_started_has_its_full_time(notebook: Notebook) -> None:
    notebook.answers["status"] = {"started": ago(10)}
    notebook.answers["kernels"] = [kernel("idle", 600)]
    assert not notebook.stopped()


def test_reads_a_time_on_the_full_second(notebook: Notebook) -> None:
    notebook.answers["status"] = {"started": "2026-01-01T00:00:00Z"}
    assert notebook.stopped()


def test_the_time_is_the_one_asked_for(notebook: Notebook) -> None:
    notebook.answers["kernels"] = [kernel("idle", 20)]
    assert not notebook.stopped(idle_minutes=30)
    assert notebook.stopped(idle_minutes=15)


def test_a_jupyter_that_does_not_answer_is_no_reason_to_stop(notebook: Notebook) -> None:
    del notebook.answers["kernels"]
    done = notebook.watch()
    assert done.returncode != 0
    assert "404" in done.stderr


def test_a_stop_that_is_refused_shows(notebook: Notebook, tmp_path: Path) -> None:
    (tmp_path / "aws").write_text("#!/bin/sh\necho AccessDenied >&2\nexit 254\n")
    done = notebook.watch()
    assert done.returncode != 0
    assert "AccessDenied" in done.stderr


def test_the_system_s_own_python_reads_it() -> None:
    """Amazon Linux 2023 has Python 3.9."""
    ast.parse((SCRIPTS / "stop_when_idle.py").read_text(), feature_version=(3, 9))


@pytest.mark.parametrize(
    ("template", "variables"),
    [
        ("on_create.sh.tftpl", '{repository_url = "https://github.com/someone/dogs"}'),
        (
            "on_start.sh.tftpl",
            f'{{stop_when_idle = file("{SCRIPTS}/stop_when_idle.py"), name = "dogs", region = "r", idle_minutes = 60}}',
        ),
    ],
)
def test_the_rendered_scripts_are_shell(template: str, variables: str, tmp_path: Path) -> None:
    """By Terraform's own templatefile, which would take a ${…} of the script's for one of its own."""
    rendered = subprocess.run(
        ["terraform", f"-chdir={tmp_path}", "console"],
        input=f'base64encode(templatefile("{SCRIPTS}/{template}", {variables}))',
        env={name: value for name, value in os.environ.items() if name != "TF_CLI_CONFIG_FILE"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert rendered.returncode == 0, rendered.stderr
    script = subprocess.run(
        ["base64", "-d"], input=rendered.stdout.strip('"\n'), capture_output=True, text=True, check=True
    )
    assert script.stdout.startswith("#!/bin/bash\n")
    checked = subprocess.run(["bash", "-n"], input=script.stdout, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
