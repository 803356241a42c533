"""Addresses to listen at: what is one, who can reach it, whether it is free, what answers."""

from __future__ import annotations

import ipaddress
import socket

from cloudarb_lib.base.errors import ParameterError


def authority(host: str, port: int) -> str:
    """Return address and port as they stand in a URL: one of IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def check_host(host: str) -> bool:
    """Return whether an address can be reached from this machine alone.

    Raises
    ------
    ParameterError
        Where it is no address.
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError as cause:
        what = f"{host!r} is no address."
        raise ParameterError(what, "Use 127.0.0.1, or 0.0.0.0 for all networks.") from cause


def check_free(host: str, port: int) -> None:
    """Raise ParameterError where a port cannot be listened at: it is taken, or not allowed."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((host, port))
    except OSError as cause:
        what = f"port {port} of {host} cannot be listened at: {cause.strerror}."
        raise ParameterError(what, "Name another with --port, or end what has it.") from cause


def status_at(url: str, *, within_s: float = 1.0) -> int | None:
    """Return the status with which an address of this machine answers, None where it does not.

    Parameters
    ----------
    url : str
        Asked without a token, and never by a proxy.
    within_s : float
        How long an answer is waited for.
    """
    import httpx2

    try:
        return httpx2.get(url, timeout=within_s, trust_env=False).status_code
    except httpx2.TransportError:
        return None
