"""One marketplace through the gpuhunt library, in a process that can be ended: the library waits
for ever for a server that says nothing.

``python -m cloudarb_lib.live.gpuhunt_process PROVIDER FILE [ADDRESS]`` writes the library's CSV.
"""

from __future__ import annotations

import importlib
import sys
from urllib.parse import urlsplit

ADDRESSES = {"lium": "NODES_URL", "vastai": "bundles_url", "vultr": "API_URL"}
"""Marketplaces that answer without a key, and what the library calls their address."""


def main(provider: str, file: str, address: str = "") -> None:
    """Ask a marketplace, at another address where one is given, and write what it lists."""
    if address:
        module = importlib.import_module(f"gpuhunt.providers.{provider}")
        path = urlsplit(getattr(module, ADDRESSES[provider])).path
        setattr(module, ADDRESSES[provider], address + path)
    from gpuhunt import __main__ as library

    sys.argv = ["gpuhunt", provider, "--output", file]
    library.main()


if __name__ == "__main__":
    main(*sys.argv[1:])
