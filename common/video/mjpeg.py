"""Serve a page at 127.0.0.1 that shows each stream live as MJPEG, from a thread of its own."""

import asyncio
import contextlib
import html
import socket
import threading
from collections.abc import AsyncIterator

import numpy as np
import uvicorn
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from common.errors import UserError
from common.video.image import to_jpeg

HOST = "127.0.0.1"
QUALITY = 80
BOUNDARY = "frame"
STYLE = "body{background:#111;color:#ddd;font:16px sans-serif;text-align:center}img{max-width:100%;max-height:92vh}"


class MjpegServer:
    """Sends the newest image of each stream to all viewers of the page."""

    def __init__(self, port: int) -> None:
        try:
            self._listener = socket.create_server((HOST, port))
        except OSError as error:
            raise UserError(
                f"The page cannot open port {port} on {HOST} ({error.strerror}): stop what uses it, choose another "
                f"with overlay.page_port, or do without with overlay.page=false."
            ) from error
        self.url = f"http://{HOST}:{port}"
        self._streams: set[str] = set()
        self._viewers: set[tuple[str, asyncio.Queue[bytes]]] = set()
        app = Starlette(
            routes=[Route("/", self._index), Route("/stream/{name}", self._stream)],
            # Another site must not read the camera by DNS rebinding, that is by pointing its own name here.
            middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])],
        )
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
        self._loop: asyncio.AbstractEventLoop
        self._running = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        self._running.wait()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._running.set()
        await self._server.serve(sockets=[self._listener])

    def has_viewers(self, stream: str) -> bool:
        """Return whether the stream has viewers, so that it need not be drawn without any; also adds it to the page."""
        self._streams.add(stream)
        return any(name == stream for name, _ in tuple(self._viewers))

    def publish(self, stream: str, image: NDArray[np.uint8]) -> None:
        """Send a BGR image to all viewers of the stream; a slow viewer skips images."""
        self._loop.call_soon_threadsafe(self._send, stream, to_jpeg(image, QUALITY).tobytes())

    def close(self) -> None:
        """End all connections and the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._send, None, b"")
        self._server.should_exit = True
        self._thread.join(timeout=3)
        self._listener.close()

    def _send(self, stream: str | None, jpeg: bytes) -> None:
        """Send to the viewers of a stream, or of all streams; an empty image ends the connection."""
        for name, queue in self._viewers:
            if stream in (name, None):
                with contextlib.suppress(asyncio.QueueEmpty):
                    queue.get_nowait()
                queue.put_nowait(jpeg)

    async def _index(self, request: Request) -> Response:
        names = sorted(self._streams)
        shown = "".join(f'<p>{html.escape(n)}</p><img src="/stream/{html.escape(n)}" alt="{n}">' for n in names)
        waiting = '<p>No stream yet.</p><meta http-equiv="refresh" content="1">'
        return HTMLResponse(f"<!doctype html><title>actionstream</title><style>{STYLE}</style>{shown or waiting}")

    async def _stream(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._streams:
            return Response("There is no such stream.", status_code=404)
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return Response("Another site may not show the stream.", status_code=403)
        return StreamingResponse(self._images(name), media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}")

    async def _images(self, name: str) -> AsyncIterator[bytes]:
        viewer = (name, asyncio.Queue[bytes](maxsize=1))
        self._viewers.add(viewer)
        try:
            while jpeg := await viewer[1].get():
                yield f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
                yield jpeg + b"\r\n"
        finally:
            self._viewers.discard(viewer)
