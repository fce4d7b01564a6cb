"""The server of the window."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import warnings

import uvicorn
from fastapi import FastAPI, Response
from nicegui import Client, ui
from starlette.formparsers import MultiPartParser

from recon.app.drawn_data import cached_model_parts
from recon.app.examples import N_EXAMPLES, example_photos
from recon.app.guard import AsgiApp, Guard
from recon.app.limits import Limits
from recon.app.methods import HeadMaker
from recon.app.page import BLOB_ROUTE, EXAMPLES_PATH, Services, Window
from recon.app.session import BlobStore
from recon.app.sources import PhotoSource, TrackVideo
from recon.app.work_queue import WorkQueue

_MODEL_PATH = "/face-model"
_FORM_BYTES = 100_000
"""What a form adds to a file."""


@dataclasses.dataclass(frozen=True)
class Address:
    """Where the server listens.

    Attributes:
        host: 127.0.0.1 is reached from this machine only.
        port: 0 to 65535.
    """

    host: str = "127.0.0.1"
    port: int = 8080


def make_app(
    maker: HeadMaker, address: Address, limits: Limits | None = None, track: TrackVideo | None = None
) -> AsgiApp:
    """The application; one a process, because NiceGUI knows only one.

    Args:
        maker: makes heads of photos.
        address: where it will listen.
        limits: of each window.
        track: makes heads of videos; None where there is no tracker, and then the window says so.
    """
    bounds = limits or Limits()
    blobs = BlobStore()
    services = Services(maker, WorkQueue(), WorkQueue(), blobs, bounds, _MODEL_PATH, track)
    largest = bounds.video_bytes if track is not None else bounds.photo_bytes
    # Uploads stay in memory while they are received. Only a video lies on the disk, in a temporary folder, while it is tracked.
    MultiPartParser.spool_max_size = largest + _FORM_BYTES
    app = FastAPI(openapi_url=None)
    _add_fetches(app, services)
    services.queue.submit(functools.partial(_warm_up, maker))
    ui.run_with(
        app,
        root=functools.partial(_page, services),
        title="facerecon",
        favicon="\N{BUST IN SILHOUETTE}",
        show_welcome_message=False,
        gzip_middleware_factory=None,
        reconnect_timeout=5.0,
    )
    return Guard(app, largest + _FORM_BYTES, address.host)


def serve(maker: HeadMaker, address: Address, limits: Limits | None = None, track: TrackVideo | None = None) -> None:
    """Run the window until it is interrupted; arguments as those of :func:`make_app`."""
    # NiceGUI looks at all objects of the process once, and torch warns when some of its own are looked at.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"nicegui\.")
    app = make_app(maker, address, limits, track)
    uvicorn.run(app, host=address.host, port=address.port, log_level="warning")


def _add_fetches(app: FastAPI, services: Services) -> None:
    @app.get(_MODEL_PATH)
    def face_model() -> Response:
        return Response(cached_model_parts(services.maker.model), media_type="application/octet-stream")

    @app.get(BLOB_ROUTE)
    async def blobs(key: str) -> Response:
        found = services.blobs.get(key)
        if found is None:
            return Response("no longer there", status_code=404)
        data, media_type = found
        return Response(
            data, media_type=media_type, headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        )

    @app.get(EXAMPLES_PATH + "/{number}")
    async def drawn_face(number: int) -> Response:
        if not 0 <= number < N_EXAMPLES:
            return Response("no such face", status_code=404)
        photos = await asyncio.wrap_future(services.queue.submit(example_photos))
        return Response(photos[number], media_type="image/png", headers={"Cache-Control": "max-age=3600"})


def _warm_up(maker: HeadMaker) -> None:
    """Draw the examples and make one head, so that compiled code and networks are there when the first photo comes."""
    head = PhotoSource.read("warm-up.png", example_photos()[0], maker).head(0, PhotoSource.methods[0])
    head.texture(64)
    cached_model_parts(maker.model)


def _page(services: Services) -> None:
    window = Window(services)
    window.build()
    client: Client = ui.context.client
    client.on_delete(window.close)
