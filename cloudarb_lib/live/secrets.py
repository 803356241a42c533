"""Addresses as they may be kept, shown and logged."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

_SECRET_NAME = re.compile(
    r"(^|[_-])(api-?key|key|token|secret|sig|signature|password|passwd|credential|auth\w*)$"
    r"|^x-amz-|^awsaccesskeyid$|apikey|accesstoken",
    re.I,
)
_NO_SECRET = ("pagetoken", "nexttoken", "page_token", "next_token", "skiptoken", "$skiptoken")
"""Where a walk over pages stands."""
HIDDEN = "..."


def without_secrets(url: str) -> str:
    """Return an address without user, password and the values of keys, tokens and signatures."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:  # no number: whatever it is, it is not shown
        port = ""
    pairs = [
        f"{quote(name, safe='$')}={HIDDEN if _is_secret(name) else quote(value, safe='')}"
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    return urlunsplit((parts.scheme, host + port, parts.path, "&".join(pairs), ""))


def _is_secret(name: str) -> bool:
    return name.lower() not in _NO_SECRET and bool(_SECRET_NAME.search(name))
