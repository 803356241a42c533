"""The server over a small store and a run, for the tests of this folder."""

import pytest


@pytest.fixture(scope="session")
def small_folders(tmp_path_factory):
    """A store and a run that tests only read."""
    from pipelines.serve import testing

    return testing.folders_in(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def reader(small_folders):
    """A token to read."""
    from pipelines.serve import testing

    return testing.token_in(small_folders)


@pytest.fixture(scope="session")
def client(small_folders, reader):
    """A client with a token to read."""
    from starlette.testclient import TestClient

    from pipelines.serve import server

    headers = {"authorization": f"Bearer {reader}"}
    with TestClient(server.front(small_folders), headers=headers) as found:
        yield found
