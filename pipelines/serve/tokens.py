"""Tokens: who may ask for what. Only their digests are stored, and each can be revoked.

A token is 32 random bytes, so a plain SHA-256 of it cannot be reversed by trying.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import DataError, ParameterError, StoreError, did_you_mean
from cloudarb_lib.base.files import locked, replaced

SCOPES = ("read", "plan")
"""What a token may allow: to read, and to have plans made."""
_PREFIX = "cloudarb_"
_SCHEME = b"bearer "


def state_folder() -> Path:
    """Return the folder of the tokens, of plans made on request, and of the gateway's files."""
    return locations.home() / "serve"


def tokens_file(state: Path | None = None) -> Path:
    """Return the file of the tokens, in the default folder unless another is named."""
    return (state or state_folder()) / "tokens.json"


@dataclass(frozen=True)
class Token:
    """What is stored of a token.

    Parameters
    ----------
    name : str
        Whose it is.
    scopes : tuple of str
        What it allows, of ``SCOPES``.
    sha256 : str
        Its digest, hexadecimal.
    created_at, revoked_at : str
        ISO 8601; the latter empty while it is good.
    """

    name: str
    scopes: tuple[str, ...]
    sha256: str
    created_at: str
    revoked_at: str = ""


class Tokens:
    """The tokens of a file, which this process or another may change at any time.

    Parameters
    ----------
    path : Path
        The file; it need not exist. Only its owner may read it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read_at: tuple[int, int] | None = None
        self._good: dict[str, Token] = {}

    def all(self) -> list[Token]:
        """Return all tokens, the revoked ones too.

        Raises
        ------
        DataError
            Where the file is no list of tokens.
        """
        try:
            entries = json.loads(self.path.read_text(encoding="utf-8"))
            return [Token(**entry | {"scopes": tuple(entry["scopes"])}) for entry in entries]
        except FileNotFoundError:
            return []
        except (ValueError, TypeError, KeyError) as cause:
            raise DataError(
                f"{self.path} is no list of tokens.", "Remove it, and add the tokens anew."
            ) from cause

    def add(self, name: str, scopes: Sequence[str], created_at: str) -> str:
        """Make a token and store its digest.

        Parameters
        ----------
        name : str
            Whose it is; no good token may have the same.
        scopes : sequence of str
            What it allows.
        created_at : str
            ISO 8601.

        Returns
        -------
        str
            The token, which cannot be had again.

        Raises
        ------
        ParameterError
            Where the name is taken or no plain one, or a scope is unknown.
        """
        if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            raise ParameterError(f"{name!r} is no plain name.", "Use letters, digits, . _ and -.")
        for scope in scopes:
            if scope not in SCOPES:
                what = f"no scope {scope!r}{did_you_mean(scope, SCOPES)}."
                raise ParameterError(what, f"Use {' and '.join(SCOPES)}.")
        secret = _PREFIX + secrets.token_urlsafe(32)
        with self._changing():
            tokens = self.all()
            if any(token.name == name and not token.revoked_at for token in tokens):
                raise ParameterError(f"{name!r} has a token.", "Revoke it first.")
            self._write([*tokens, Token(name, tuple(scopes), _digest(secret.encode()), created_at)])
        return secret

    def revoke(self, name: str, revoked_at: str) -> None:
        """Let a token count no more, from now on.

        Raises
        ------
        ParameterError
            Where nobody of that name has a good token.
        """
        with self._changing():
            tokens = self.all()
            names = [token.name for token in tokens if not token.revoked_at]
            if name not in names:
                what = f"{name!r} has no token{did_you_mean(name, names)}."
                raise ParameterError(what, "See cloudarb tokens list.")
            self._write(
                [
                    replace(token, revoked_at=revoked_at)
                    if token.name == name and not token.revoked_at
                    else token
                    for token in tokens
                ]
            )

    def holder(self, authorization: bytes) -> Token | None:
        """Return the good token that a header names, None where there is none.

        The file is looked at each time, so that a revoked token is refused at once.

        Parameters
        ----------
        authorization : bytes
            The header of that name.
        """
        if authorization[: len(_SCHEME)].lower() != _SCHEME:
            return None
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return None
        read_at = (found.st_mtime_ns, found.st_ino)
        if read_at != self._read_at:
            self._good = {token.sha256: token for token in self.all() if not token.revoked_at}
            self._read_at = read_at
        return self._good.get(_digest(authorization[len(_SCHEME) :].strip()))

    def _changing(self):
        return locked(self.path.with_suffix(".lock"), StoreError, "list of tokens", wait=True)

    def _write(self, tokens: Sequence[Token]) -> None:
        with replaced(self.path) as unfinished:
            unfinished.touch(mode=0o600)
            unfinished.write_text(json.dumps([asdict(token) for token in tokens], indent=1))


def _digest(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()
