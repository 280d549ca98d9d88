"""Check the page with requests like those of a browser."""

import http.client
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

import cv2
import numpy as np
import pytest

from common.errors import UserError
from common.video.mjpeg import MjpegServer
from tests.pace import patience, until
from tests.pipeline import free_ports


@pytest.fixture
def page():
    shown = MjpegServer(free_ports(1))
    yield shown
    shown.close()


@contextmanager
def get(page: MjpegServer, path: str, host: str | None = None, **headers: str) -> Iterator[http.client.HTTPResponse]:
    address = page.url.removeprefix("http://")
    with closing(http.client.HTTPConnection(address, timeout=patience(10))) as connection:
        connection.request("GET", path, headers={"Host": host or address, **headers})
        with connection.getresponse() as response:
            yield response


def test_a_viewer_receives_the_published_images(page: MjpegServer):
    assert not page.has_viewers("cam")
    with get(page, "/stream/cam") as response:
        until(lambda: page.has_viewers("cam"), 10)
        page.publish("cam", np.full((48, 64, 3), 200, np.uint8))
        assert response.readline() == b"--frame\r\n"
        assert response.readline() == b"Content-Type: image/jpeg\r\n"
        length = int(response.readline().removeprefix(b"Content-Length: "))
        assert response.readline() == b"\r\n"
        image = cv2.imdecode(np.frombuffer(response.read(length), np.uint8), cv2.IMREAD_COLOR)
        page.close()
        assert response.read() == b"\r\n"  # a page that closes ends its streams
    assert image.shape == (48, 64, 3)
    assert abs(int(image.mean()) - 200) < 5


def test_the_index_names_the_streams(page: MjpegServer):
    with get(page, "/") as response:
        assert b"No stream yet" in response.read()
    page.has_viewers("cam")
    with get(page, "/") as response:
        assert b'src="/stream/cam"' in response.read()


def test_an_unknown_stream_is_not_found(page: MjpegServer):
    with get(page, "/stream/none") as response:
        assert response.status == 404


def test_a_foreign_name_for_this_address_is_refused(page: MjpegServer):
    with get(page, "/", host="evil.example") as response:
        assert response.status == 400


@pytest.mark.parametrize(
    ("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)]
)
def test_another_sites_page_cannot_show_the_stream(page: MjpegServer, site: str, status: int):
    page.has_viewers("cam")
    with get(page, "/stream/cam", **{"Sec-Fetch-Site": site}) as response:
        assert response.status == status


def test_a_port_in_use_is_reported():
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = occupied.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port}"):
            MjpegServer(port)
