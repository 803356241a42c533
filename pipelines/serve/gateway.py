"""A gateway for a team: traefik before two servers.

A request passes a limit of its sender's rate, a circuit breaker, the question whether its token is
good (asked of whichever server lives), and is sent again where a server does not answer. With a
certificate the gateway speaks TLS, with one of an authority it lets in only whom that has signed.

References
----------
https://doc.traefik.io/traefik/reference/routing-configuration/http/middlewares/
"""

from __future__ import annotations

import shutil
import ssl
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import yaml

from cloudarb_lib.base.errors import ParameterError, WorkerError
from cloudarb_lib.base.worker import end_process, start_child
from cloudarb_lib.live.addresses import authority, status_at
from pipelines.run.files import write_text
from pipelines.serve.front import ALIVE, MAY_I

_BREAKS = "ResponseCodeRatio(500, 600, 0, 600) > 0.5 || NetworkErrorRatio() > 0.5"
_ATTEMPTS = 10
"""A request that has met a dead server may meet it again, until that is left out."""
_LOOK_AGAIN_S = 0.5
_ENDING_S = 10.0


@dataclass(frozen=True)
class Gateway:
    """Where a gateway listens, and what it lets pass.

    Parameters
    ----------
    host : str
        Address to listen on.
    port, asking_port : int
        Port of the gateway, and one of loopback at which it asks whether a token is good.
    servers : tuple of str
        Addresses of the servers, such as http://127.0.0.1:8331.
    certificate, key, client_authority : Path, optional
        PEM files: of TLS, and of the authority whose clients are let in.
    requests_per_s : int
        Of one sender; twice as many may come at once.
    answer_s : float
        A server that says nothing for so long is given up, and its request goes to another.
    """

    host: str
    port: int
    asking_port: int
    servers: tuple[str, ...]
    certificate: Path | None = None
    key: Path | None = None
    client_authority: Path | None = None
    requests_per_s: int = 100
    answer_s: float = 30.0

    @property
    def asking_url(self) -> str:
        """Where it asks a server that lives whether a token is good."""
        return f"http://127.0.0.1:{self.asking_port}{MAY_I}"

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ParameterError("a certificate goes with its key.", "Give --cert and --key.")
        if self.client_authority and not self.certificate:
            raise ParameterError(
                "clients show certificates over TLS alone.", "Give --cert and --key too."
            )
        for path in (self.certificate, self.key, self.client_authority):
            if path and not path.is_file():
                raise ParameterError(f"no file {path}.", "Name a PEM file.")
        self._check_certificates()

    def _check_certificates(self) -> None:
        """Raise ParameterError for what is no key or certificate: traefik would use its own."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            if self.certificate:
                context.load_cert_chain(self.certificate, self.key, password="")
            if self.client_authority:
                context.load_verify_locations(self.client_authority)
        except ssl.SSLError as cause:
            what = f"certificate, key or authority cannot be used: {cause}."
            raise ParameterError(what, "Give PEM files, the key without a password.") from cause


def write_files(gateway: Gateway, folder: Path) -> Path:
    """Write traefik's configuration, and return the file to start it with."""
    entry_points = {
        "api": {"address": authority(gateway.host, gateway.port)},
        "asking": {"address": f"127.0.0.1:{gateway.asking_port}"},
    }
    static = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "log": {"level": "ERROR"},
        "entryPoints": entry_points,
        "providers": {"file": {"filename": str(folder / "routes.yaml"), "watch": False}},
    }
    routes = {"http": _http(gateway)}
    if gateway.certificate:
        routes["tls"] = _tls(gateway)
    write_text(folder / "routes.yaml", yaml.safe_dump(routes, sort_keys=False))
    write_text(folder / "traefik.yaml", yaml.safe_dump(static, sort_keys=False))
    return folder / "traefik.yaml"


def _http(gateway: Gateway) -> dict[str, Any]:
    """Return routers, what requests pass, and the servers."""
    passed = {
        "rate": {
            "rateLimit": {"average": gateway.requests_per_s, "burst": 2 * gateway.requests_per_s}
        },
        "breaker": {
            "circuitBreaker": {
                "expression": _BREAKS,
                "fallbackDuration": "2s",
                "recoveryDuration": "2s",
            }
        },
        "token": {"forwardAuth": {"address": gateway.asking_url}},
        "retry": {
            "retry": {
                "attempts": _ATTEMPTS,
                "initialInterval": "50ms",
                # What a server was asked for when it died: else only connections are tried again.
                "status": ["502", "504"],
            }
        },
    }
    api: dict[str, Any] = {
        "entryPoints": ["api"],
        "rule": "PathPrefix(`/`)",
        "middlewares": list(passed),
        "service": "servers",
    }
    if gateway.certificate:
        api["tls"] = {}
    asking = {
        "entryPoints": ["asking"],
        "rule": f"Path(`{MAY_I}`)",
        "middlewares": ["retry"],
        "service": "servers",
    }
    balanced = {
        "servers": [{"url": url} for url in gateway.servers],
        "healthCheck": {"path": ALIVE, "interval": "1s", "timeout": "900ms"},
        "passiveHealthCheck": {"failureWindow": "2s", "maxFailedAttempts": 1},
        "serversTransport": "patience",
    }
    patience = {"forwardingTimeouts": {"responseHeaderTimeout": f"{gateway.answer_s}s"}}
    return {
        "routers": {"api": api, "asking": asking},
        "middlewares": passed,
        "services": {"servers": {"loadBalancer": balanced}},
        "serversTransports": {"patience": patience},
    }


def _tls(gateway: Gateway) -> dict[str, Any]:
    certificate = {"certFile": str(gateway.certificate), "keyFile": str(gateway.key)}
    options: dict[str, Any] = {"minVersion": "VersionTLS12"}
    if gateway.client_authority:
        options["clientAuth"] = {
            "caFiles": [str(gateway.client_authority)],
            "clientAuthType": "RequireAndVerifyClientCert",
        }
    return {"certificates": [certificate], "options": {"default": options}}


def traefik() -> str:
    """Return the path of traefik.

    Raises
    ------
    ParameterError
        Where it is not installed.
    """
    scripts = sysconfig.get_path("scripts")
    found = shutil.which("traefik", path=scripts) or shutil.which("traefik")
    if found is None:
        raise ParameterError("traefik is not installed.", "Run make platform.")
    return found


def run(
    gateway: Gateway, folder: Path, server_words: Sequence[str], *, on_start: Callable[[], None]
) -> None:
    """Run a gateway and its servers until stopped, or until traefik ends.

    A server that ends is started again, once one has answered: before, what ended it stays.
    However this process ends, killed included, the system then ends what it has started: it would
    keep the ports.

    Parameters
    ----------
    gateway : Gateway
        Its servers listen on loopback, at the ports of their addresses.
    folder : Path
        Gets traefik's configuration.
    server_words : sequence of str
        What cloudarb serve takes besides the port.
    on_start : callable
        Is called once it listens and a server behind it answers.

    Raises
    ------
    WorkerError
        Where traefik ends by itself, or a server does before one has answered.
    """
    ports = [url.rpartition(":")[2] for url in gateway.servers]
    commands = [
        [sys.executable, "-m", "pipelines.cli", "serve", "--port", port, *server_words]
        for port in ports
    ]
    configuration = write_files(gateway, folder)
    with ExitStack() as ending:
        servers = [start_child(command) for command in commands]
        ending.callback(_end_all, servers)
        gate = start_child([traefik(), f"--configFile={configuration}"])
        ending.callback(end_process, gate, _ENDING_S)
        is_told = False
        while gate.poll() is None:
            if not is_told and status_at(gateway.asking_url) == HTTPStatus.UNAUTHORIZED:
                is_told = True
                on_start()
            time.sleep(_LOOK_AGAIN_S)
            for number, server in enumerate(servers):
                if server.poll() is not None:
                    if not is_told:
                        raise WorkerError(
                            f"a server ended with {server.returncode} before any had answered.",
                            "It says why above.",
                        )
                    servers[number] = start_child(commands[number])
    raise WorkerError(f"traefik ended with {gate.returncode}.", "Is the port taken?")


def _end_all(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End processes, all at the same time."""
    for process in processes:
        process.terminate()
    for process in processes:
        end_process(process, _ENDING_S)
