"""Tokens: no token no answer, each for what it allows alone, none of them on the disk."""

import socket
import stat

import pytest

pytest.importorskip("fastapi", reason="extra serve is not installed: make platform")

from starlette.testclient import TestClient

from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.live import addresses
from pipelines import cli
from pipelines.serve import server, testing
from pipelines.serve.tokens import Tokens

NOW = "2026-05-01T00:00:00+00:00"
LATER = "2026-05-02T00:00:00+00:00"


@pytest.fixture
def tokens(tmp_path):
    return Tokens(tmp_path / "serve" / "tokens.json")


def bearer(token):
    return f"Bearer {token}".encode()


@pytest.mark.slow
@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer no"}, {"authorization": "x"}])
@pytest.mark.parametrize("path", ["/offers", "/runs", "/openapi.json", "/plans/0", "/no", "/may-i"])
def test_no_token_no_answer(client, path, headers):
    answer = client.get(path, headers={"authorization": ""} | headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "cloudarb tokens add" in answer.json()["way_out"]


def test_that_it_lives_is_all_that_a_stranger_is_told(client):
    answer = client.get("/alive", headers={"authorization": ""})
    assert answer.status_code == 204
    assert answer.content == b""


def test_a_remembered_answer_needs_a_token_too(client):
    assert client.get("/runs").status_code == 200
    assert client.get("/runs", headers={"authorization": "Bearer no"}).status_code == 401


def test_a_token_allows_what_its_scopes_say(small_folders):
    solver = testing.token_in(small_folders, "solver", "plan")
    with TestClient(server.front(small_folders)) as client:
        client.headers["authorization"] = f"Bearer {solver}"
        refused = client.get("/runs")
        assert client.get("/plans/0").status_code == 404
    assert refused.status_code == 403
    assert "scope read" in refused.json()["way_out"]


def test_a_reader_may_not_have_plans_made(client):
    answer = client.post("/plans", json={"demand": "x", "as_of": "2026-04-30"})
    assert answer.status_code == 403


def test_a_gateway_is_told_whose_a_token_is(client):
    answer = client.get("/may-i")
    assert answer.status_code == 204
    assert answer.headers["x-cloudarb-client"] == "reader"


def test_only_digests_are_stored_for_their_owner_alone(tokens):
    token = tokens.add("a", ("read",), NOW)
    assert token not in tokens.path.read_text()
    assert token.removeprefix("cloudarb_") not in tokens.path.read_text()
    assert stat.S_IMODE(tokens.path.stat().st_mode) == 0o600
    assert tokens.holder(bearer(token)).name == "a"


def test_a_revoked_token_is_refused_at_once_by_whoever_has_read_it(tokens):
    token = tokens.add("a", ("read",), NOW)
    other = tokens.add("b", ("read",), NOW)
    server_side = Tokens(tokens.path)
    assert server_side.holder(bearer(token)) is not None
    tokens.revoke("a", LATER)
    assert server_side.holder(bearer(token)) is None
    assert server_side.holder(bearer(other)) is not None
    assert [entry.revoked_at for entry in tokens.all()] == [LATER, ""]
    assert tokens.add("a", ("plan",), LATER) != token, "the name is free again"


@pytest.mark.parametrize(
    ("name", "scopes", "told"),
    [
        ("a", ("read",), "has a token"),
        ("../a", ("read",), "no plain name"),
        ("b", ("raed",), "did you mean 'read'"),
    ],
)
def test_what_no_token_may_be_is_refused(tokens, name, scopes, told):
    tokens.add("a", ("read",), NOW)
    with pytest.raises(ParameterError, match=told):
        tokens.add(name, scopes, NOW)
    assert len(tokens.all()) == 1


def test_nobody_without_a_token_loses_one(tokens):
    tokens.add("reader", ("read",), NOW)
    with pytest.raises(ParameterError, match="did you mean 'reader'"):
        tokens.revoke("raeder", NOW)


@pytest.mark.parametrize("text", ["{", '[{"name": "a"}]', "[1]"])
def test_a_damaged_list_lets_nobody_in(tokens, text):
    token = tokens.add("a", ("read",), NOW)
    tokens.path.write_text(text)
    with pytest.raises(DataError, match="Remove it"):
        Tokens(tokens.path).holder(bearer(token))


@pytest.mark.slow
def test_a_stranger_is_not_told_where_a_damaged_list_lies(tmp_path):
    folders = testing.folders_in(tmp_path)
    token = testing.token_in(folders)
    (folders.state / "tokens.json").write_text("{")
    with TestClient(server.front(folders)) as client:
        answer = client.get("/runs", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 503
    assert str(tmp_path) not in answer.text


@pytest.mark.slow
def test_verbs_make_list_and_revoke(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CLOUDARB_HOME", str(tmp_path))
    assert cli.main(["tokens", "list"]) == 0
    assert "nobody has a token: cloudarb tokens add NAME" in capsys.readouterr().out
    assert cli.main(["tokens", "add", "team-a", "--scope", "read", "plan"]) == 0
    token = capsys.readouterr().out.strip()
    assert Tokens(tmp_path / "serve/tokens.json").holder(bearer(token)).scopes == ("read", "plan")
    assert cli.main(["tokens", "revoke", "team-a"]) == 0
    assert cli.main(["tokens", "list"]) == 0
    told = capsys.readouterr().out
    assert "team-a" in told
    assert "revoked 20" in told
    assert token not in told
    assert cli.main(["tokens", "revoke", "team-a"]) == 2


@pytest.mark.parametrize(
    ("host", "is_local"), [("127.0.0.1", True), ("::1", True), ("0.0.0.0", False)]
)
def test_an_address_that_others_reach_is_known(host, is_local):
    assert addresses.check_host(host) is is_local


def test_what_is_no_address_is_refused():
    with pytest.raises(ParameterError, match=r"127\.0\.0\.1"):
        addresses.check_host("localhost:80")


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_serve_says_when_others_can_reach_it(host, warned, monkeypatch, capsys, tmp_path):
    asked = {}
    monkeypatch.setenv("CLOUDARB_HOME", str(tmp_path))

    def start(_, *, on_start, **more):
        asked.update(more)
        on_start()

    monkeypatch.setattr(server, "serve", start)
    monkeypatch.setattr(addresses, "check_free", lambda *_: None)
    given = [] if host == "127.0.0.1" else ["--host", host]
    assert cli.main(["serve", *given, "--store", str(tmp_path)]) == 0
    told = capsys.readouterr().err
    assert asked["host"] == host
    assert ("unencrypted" in told) is warned
    assert "cloudarb tokens add" in told


def test_a_port_that_is_taken_is_told_before_anything_starts(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("CLOUDARB_HOME", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert cli.main(["serve", "--port", str(port), "--store", str(tmp_path)]) == 2
        told = capsys.readouterr().err
        assert f"port {port} of 127.0.0.1 cannot be listened at" in told
        assert "answers on" not in told
        assert cli.main(["gateway", "--port", str(port - 3)]) == 2  # its second server's
        assert "of 127.0.0.1 cannot be listened at" in capsys.readouterr().err


def test_an_address_of_six_stands_in_brackets():
    assert addresses.authority("::1", 8320) == "[::1]:8320"
    assert addresses.authority("127.0.0.1", 8320) == "127.0.0.1:8320"


def test_where_nothing_listens_nothing_answers():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert addresses.status_at(url, within_s=0.1) is None, "it listens, and says nothing"
    assert addresses.status_at(url) is None
