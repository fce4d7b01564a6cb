"""What stands before the window's server: too large bodies, foreign hosts and foreign pages are turned away.

A page of any site can make a browser send requests to 127.0.0.1, and a name of its own can be pointed there. So requests must
name a host that this server is known by, and those that a page sends must come from a page of this server.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOCAL = ("127.0.0.1", "localhost", "::1")


class _BodyTooLarge(Exception):
    """More came than was said."""


class Guard:
    """An ASGI application around another.

    Args:
        inner: the application.
        body_bytes: of the largest body of a request.
        host: that the server listens on. On an address of this machine only its own names are taken; on others any, because
            nobody can know by which names a machine is reached.
    """

    def __init__(self, inner: AsgiApp, body_bytes: int, host: str) -> None:
        self._inner, self._body_bytes = inner, body_bytes
        self._hosts = frozenset((*_LOCAL, host)) if host in _LOCAL else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._inner(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(headers)
        if refusal is not None:
            await _refuse(scope, receive, send, *refusal)
            return
        if scope["type"] == "websocket":
            await self._inner(scope, receive, send)
            return
        started = False
        n_bytes = 0

        async def counted() -> Message:
            nonlocal n_bytes
            message = await receive()
            n_bytes += len(message.get("body", b""))
            if n_bytes > self._body_bytes:
                raise _BodyTooLarge
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._inner(scope, counted, watched)
        except _BodyTooLarge:
            if not started:
                await _refuse(scope, receive, send, 413, "the file is too large")
        except ClientDisconnect:
            pass  # a tab was closed while it sent something: nobody waits for an answer

    def _refusal(self, headers: dict[bytes, str]) -> tuple[int, str] | None:
        """Status and reason, or None for a request that may pass."""
        host = headers.get(b"host", "")
        if self._hosts is not None and _name(f"//{host}") not in self._hosts:
            return 421, "this server is not known by that name"
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, "requests of other sites' pages are not answered"
        length = headers.get(b"content-length", "0")
        if not length.isdecimal():
            return 400, "Content-Length is no number"
        if int(length) > self._body_bytes:
            return 413, "the file is too large"
        return None


def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:  # "[" without "]"
        return None


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, reason: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": reason})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": reason.encode()})
