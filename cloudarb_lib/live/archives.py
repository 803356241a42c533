"""A file in an archive, which keeps its name: catalogues say in it whose prices they hold."""

from __future__ import annotations

import io
import zipfile

_NO_TIME = (1980, 1, 1, 0, 0, 0)


def archive_of(name: str, content: bytes) -> bytes:
    """Return a .zip with one file; the same content always gives the same bytes.

    Parameters
    ----------
    name : str
        Of the file.
    content : bytes
        What it holds, unchanged.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name, _NO_TIME), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()
