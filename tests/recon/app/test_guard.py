"""Too large bodies, foreign hosts and foreign pages never reach the window."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from recon.app.guard import Guard

Headers = dict[str, str]


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    """Reads the whole body and says how long it was."""
    n_bytes, more = 0, scope["type"] == "http"
    while more:
        message = await receive()
        n_bytes, more = n_bytes + len(message.get("body", b"")), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(n_bytes).encode()})


def ask(headers: Headers, chunks: list[bytes], host: str = "127.0.0.1", kind: str = "http") -> list[Any]:
    """What a guard that lets 10 bytes pass answers."""
    sent: list[Any] = []
    left = [{"type": "http.request", "body": c, "more_body": k + 1 < len(chunks)} for k, c in enumerate(chunks)]

    async def receive() -> Any:
        return left.pop(0) if left else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": kind, "headers": [(k.encode(), v.encode()) for k, v in headers.items()]}
    asyncio.run(Guard(_echo, 10, host)(scope, receive, send))
    return sent


@pytest.mark.parametrize("name", ["127.0.0.1:8080", "localhost", "[::1]:8080"])
def test_own_requests_pass(name: str) -> None:
    start, body = ask({"Host": name, "Origin": f"http://{name}"}, [b"12345", b"67890"])
    assert start["status"] == 200 and body["body"] == b"10"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example:8080"}, 421),
        ({"host": "["}, 421),
        ({}, 421),
        ({"host": "localhost:8080", "origin": "http://evil.example"}, 403),
        ({"host": "localhost:8080", "origin": "null"}, 403),
        ({"host": "localhost:8080", "origin": "http://localhost:9999"}, 403),
        ({"host": "localhost", "content-length": "11"}, 413),
        ({"host": "localhost", "content-length": "many"}, 400),
    ],
)
def test_others_are_turned_away(headers: Headers, status: int) -> None:
    assert ask(headers, [b""])[0]["status"] == status


def test_bodies_that_grow_beyond_what_they_said_are_cut() -> None:
    assert ask({"host": "localhost"}, [b"12345", b"67890", b"1"])[0]["status"] == 413


def test_other_addresses_have_any_name_but_foreign_pages_stay_out() -> None:
    assert ask({"host": "studio.lan"}, [b""], host="0.0.0.0")[0]["status"] == 200
    assert ask({"host": "studio.lan", "origin": "http://evil.example"}, [b""], host="0.0.0.0")[0]["status"] == 403


def test_sockets_of_foreign_pages_are_closed() -> None:
    (closed,) = ask({"host": "localhost", "origin": "http://evil.example"}, [b""], kind="websocket")
    assert closed["type"] == "websocket.close"


def test_a_tab_that_is_closed_while_it_sends_is_no_fault_of_the_server() -> None:
    async def interrupted(scope: Any, receive: Any, send: Any) -> None:
        raise ClientDisconnect

    async def never(*_: Any) -> Any:
        raise AssertionError("nobody is there")

    asyncio.run(
        Guard(interrupted, 10, "127.0.0.1")({"type": "http", "headers": [(b"host", b"localhost")]}, never, never)
    )
