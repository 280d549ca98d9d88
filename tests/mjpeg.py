"""A network camera for tests, which serves images as Motion JPEG."""

import http.server
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from common.video.image import to_jpeg


@contextmanager
def network_camera(images: Iterable[NDArray[np.uint8]], port: int = 0, fps: float = 0.0) -> Iterator[str]:
    """Serve the images (at full speed without fps), then disconnect; yields its address, and closes at the end."""
    closed = threading.Event()

    class Camera(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            due_s = time.monotonic()
            for image in images:
                jpeg = to_jpeg(image, 90).tobytes()
                self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg))
                self.wfile.write(jpeg + b"\r\n")
                due_s += 1 / fps if fps else 0.0
                if closed.wait(max(0.0, due_s - time.monotonic())):
                    break

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Camera) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/video.mjpg"
        finally:
            closed.set()
            server.shutdown()
