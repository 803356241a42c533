"""``cloudarb serve``: the record and the runs over HTTP."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cloudarb_lib.base import locations
from pipelines.cli.extras import require
from pipelines.cli.options import ReportsOption, StoreOption
from pipelines.exit_codes import DONE


def serve(
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", min=1, max=65535, help="port")] = 8321,
    redis: Annotated[
        str, typer.Option(metavar="URL", help="share answers there, such as redis://127.0.0.1:6379")
    ] = "",
    store: StoreOption = "",
    reports: ReportsOption = None,
) -> int:
    """Answer over HTTP what prices are, what the plan is, and what it rests on.

    Routes are described at /openapi.json. Each request needs a token (cloudarb tokens add). Only
    this machine can reach it, unless --host says otherwise; what needs the extra 'serve' is
    installed by make platform.
    """
    require("serve", "fastapi", "uvicorn", "cashews")
    from cloudarb_lib.live.addresses import authority, check_free, check_host
    from pipelines.serve.records import Folders
    from pipelines.serve.server import serve as answer
    from pipelines.serve.tokens import state_folder, tokens_file

    is_local = check_host(host)
    check_free(host, port)
    folders = Folders(
        Path(store) if store else locations.store(), reports or locations.reports(), state_folder()
    )

    def announce() -> None:
        address = f"http://{authority(host, port)}"
        print(f"answers on {address}, described at /openapi.json", file=sys.stderr)
        if not is_local:
            warning = "other machines can reach it, and tokens travel unencrypted: see make gateway"
            print(warning, file=sys.stderr)
        if not tokens_file().exists():
            print("nobody has a token yet: cloudarb tokens add NAME", file=sys.stderr)

    answer(folders, host=host, port=port, on_start=announce, redis_url=redis)
    return DONE
