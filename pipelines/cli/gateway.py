"""``cloudarb gateway``: two servers behind one address, for a team."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cloudarb_lib.base.errors import ParameterError
from pipelines.cli.extras import require
from pipelines.cli.options import ReportsOption, StoreOption
from pipelines.exit_codes import DONE


def gateway(
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="to listen on")] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(metavar="N", min=1, max=65532, help="port; the next three of loopback too"),
    ] = 8320,
    cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM file: its certificate, for TLS")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM file: the key of that")
    ] = None,
    client_ca: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="PEM file: let only clients in that it has signed"),
    ] = None,
    rate: Annotated[
        int, typer.Option(metavar="N", min=1, help="requests a second of one sender")
    ] = 100,
    redis: Annotated[
        str, typer.Option(metavar="URL", help="share answers there, such as redis://127.0.0.1:6379")
    ] = "",
    store: StoreOption = "",
    reports: ReportsOption = None,
) -> int:
    """Run two servers behind traefik: tokens, rate limits, retries, a circuit breaker, TLS.

    A server that fails is left out until it is well again, and its requests go to the other one.
    Other machines can be let in (--host) over TLS alone.
    """
    require("serve", "fastapi", "uvicorn", "cashews")
    from cloudarb_lib.live.addresses import authority, check_free, check_host
    from pipelines.serve.gateway import Gateway, run
    from pipelines.serve.tokens import state_folder

    is_local = check_host(host)
    if not is_local and cert is None:
        raise ParameterError(
            f"on {host} tokens would travel unencrypted.", "Give --cert and --key, or 127.0.0.1."
        )
    opened = Gateway(
        host,
        port,
        asking_port=port + 1,
        servers=(f"http://127.0.0.1:{port + 2}", f"http://127.0.0.1:{port + 3}"),
        certificate=cert,
        key=key,
        client_authority=client_ca,
        requests_per_s=rate,
    )
    check_free(host, port)
    for number in range(port + 1, port + 4):
        check_free("127.0.0.1", number)

    def announce() -> None:
        scheme = "https" if cert else "http"
        reach = "" if is_local else ", other machines can reach it"
        print(f"gateway on {scheme}://{authority(host, port)}{reach}", file=sys.stderr)

    words = [f"--redis={redis}", f"--store={store}"]
    if reports:
        words.append(f"--reports={reports}")
    run(opened, state_folder() / "gateway", words, on_start=announce)
    return DONE
