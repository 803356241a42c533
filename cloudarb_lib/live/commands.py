"""Tokens that a cloud's own command line hands out: its credentials stay in its own places."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence

from cloudarb_lib.live.client import Client
from cloudarb_lib.live.errors import FetchError, TransientError

_DEADLINE_S = 60


def is_installed(program: str) -> bool:
    """Tell whether a program is on the path."""
    return shutil.which(program) is not None


async def output_of(client: Client, command: Sequence[str], way_out: str) -> str:
    """Return what a command prints; what it says on failing is not shown, it may hold secrets.

    Raises
    ------
    FetchError
        Where it fails, with the way out.
    """

    def fault(cause: Exception) -> FetchError:
        if isinstance(cause, subprocess.TimeoutExpired):
            return TransientError(f"{command[0]} did not end within {_DEADLINE_S} s.", way_out)
        return FetchError(f"{' '.join(command)} failed.", way_out)

    def run() -> str:
        done = subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            timeout=_DEADLINE_S,
            stdin=subprocess.DEVNULL,
        )
        return done.stdout.strip()

    return await client.call(run, fault=fault)


async def azure_access(client: Client) -> tuple[str, str]:
    """Return the subscription in use and a token for Azure's Resource Manager, from ``az``.

    Raises
    ------
    FetchError
        Where ``az`` is not logged in.
    """
    way_out = "Run `az login`."
    command = ("az", "account", "get-access-token", "--output", "json")
    try:
        answer = json.loads(await output_of(client, command, way_out))
        return str(answer["subscription"]), str(answer["accessToken"])
    except (ValueError, KeyError, TypeError):
        raise FetchError("az gave no access token.", way_out) from None


async def google_access(client: Client) -> tuple[str, str]:
    """Return the project in use and a token for Google Cloud, from ``gcloud``.

    Raises
    ------
    FetchError
        Where ``gcloud`` is not logged in, or has no project.
    """
    way_out = "Run `gcloud auth login` and `gcloud config set project PROJECT`."
    project = await output_of(client, ("gcloud", "config", "get-value", "project"), way_out)
    token = await output_of(client, ("gcloud", "auth", "print-access-token"), way_out)
    if not project or project == "(unset)" or not token:
        raise FetchError("gcloud has no project or no token.", way_out)
    return project, token
