"""Check rotating, mirroring and resizing of images, and JPEG."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from common.bus.errors import BadMessage
from common.bus.messages import Frame
from common.config import Camera, load
from common.video.image import apply_camera_settings, decode, to_jpeg

sizes = st.tuples(st.integers(16, 90), st.integers(16, 90))


def options(**values: object) -> Camera:
    return load(sets=[f"camera.{key}={'null' if value is None else value}" for key, value in values.items()]).camera


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def header(width: int, height: int, encoding: str = "jpeg") -> Frame:
    return Frame(
        stream="cam",
        seq=0,
        captured_ns=0,
        ingested_ns=0,
        width=width,
        height=height,
        encoding=encoding,  # type: ignore[arg-type]
    )


def test_without_settings_an_image_is_unchanged() -> None:
    image = noise(3, 5)
    assert apply_camera_settings(image, options()) is image


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("mirror", [False, True])
def test_it_turns_clockwise_and_then_mirrors(rotate: int, mirror: bool) -> None:
    image = noise(4, 6)
    expected = np.rot90(image, -rotate // 90)
    applied = apply_camera_settings(image, options(rotate=rotate, mirror=mirror))
    np.testing.assert_array_equal(applied, expected[:, ::-1] if mirror else expected)
    assert applied.flags.c_contiguous


@given(sizes, st.none() | st.integers(16, 99), st.none() | st.integers(16, 99), st.sampled_from([0, 90]))
def test_one_of_width_and_height_keeps_the_proportions(
    size: tuple[int, int], width: int | None, height: int | None, rotate: int
) -> None:
    had_width, had_height = size if rotate == 0 else size[::-1]
    got_height, got_width = apply_camera_settings(
        noise(size[1], size[0]), options(width=width, height=height, rotate=rotate)
    ).shape[:2]
    assert (width or got_width, height or got_height) == (got_width, got_height)
    if width is None or height is None:
        assert got_height == pytest.approx(got_width * had_height / had_width, abs=0.5 + 0.5 * had_height / had_width)


def test_jpeg_and_back_is_nearly_the_same_image() -> None:
    image = cv2.GaussianBlur(noise(60, 80), (0, 0), 5)
    jpeg = to_jpeg(image, 95)
    assert jpeg.ndim == 1 and jpeg.dtype == np.uint8 and len(jpeg) < image.size / 3
    assert np.abs(decode(header(80, 60), jpeg).astype(int) - image).mean() < 3
    assert len(to_jpeg(image, 20)) < len(jpeg)


def test_raw_pixels_pass_unchanged() -> None:
    image = noise(4, 6)
    assert decode(header(6, 4, "raw"), image) is image


@pytest.mark.parametrize("damage", ["empty", "text", "half header", "other size", "huge size"])
def test_a_malformed_jpeg_is_a_bad_message_and_is_counted(damage: str) -> None:
    jpeg = to_jpeg(noise(60, 80), 90)
    if damage == "huge size":  # what the file says of itself: 65535 x 65535
        jpeg = jpeg.copy()
        start = bytes(jpeg).index(b"\xff\xc0") + 5
        jpeg[start : start + 4] = 255
    values = {
        "empty": jpeg[:0],
        "text": np.frombuffer(b"not an image", np.uint8),
        "half header": jpeg[:20],
        "other size": jpeg,
        "huge size": jpeg,
    }[damage]
    with pytest.raises(BadMessage):
        decode(header(81, 60), values)
