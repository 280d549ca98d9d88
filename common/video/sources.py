"""Read frames from cameras, video files, folders of images, network addresses and the test card."""

import logging
import math
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from common.clock import now_ns
from common.config import Camera
from common.errors import UserError
from common.files import natural_sort_key
from common.lfs import refuse_pointer
from common.quiet import quiet
from common.video.file_clock import FileClock, rate, stated_frames
from common.video.testcard import TestCard

log = logging.getLogger(__name__)

IMAGES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
DEFAULT_FPS = 25.0
TEST_CARD_SIZE = (640, 480)
DEVICES = Path("/dev")  # where Linux lists its cameras, as video0, video1, ...
MAX_CAMERAS = 10  # tried on systems where cameras cannot be listed
RESPONSE_TIMEOUT_MS = 5000  # a network camera that does not respond for longer is lost


class CapturedFrame(NamedTuple):
    """One image, BGR uint8 (height, width, 3), and its time on the source's own clock."""

    captured_ns: int
    image: NDArray[np.uint8]


class SourceLost(Exception):
    """A camera or an address returns no more frames; it may come back."""


class Source(Protocol):
    """The interface of all sources."""

    name: str
    fps: float  # nominal
    live: bool  # frames that are not read in time are lost
    waits_for_readers: bool  # whether it starts only when the readers of its first frame run

    def read(self) -> CapturedFrame | None:
        """Return the next frame, or None at the end; raises SourceLost."""

    def close(self) -> None:
        """Close the source."""


class TestCardSource:
    """The test card in real time, like a camera: frames that are not read in time are lost."""

    live = waits_for_readers = True

    def __init__(self, seed: int, width: int, height: int, fps: float) -> None:
        self.name, self.fps = "testcard", fps
        self._card = TestCard(seed, width, height)
        self._begun_s: float | None = None
        self._next = 0

    def read(self) -> CapturedFrame:
        """Return the next frame when its time has come."""
        now = time.monotonic()
        if self._begun_s is None:
            self._begun_s = now
        late = int((now - self._begun_s) * self.fps)
        number = max(self._next, late)
        time.sleep(max(0.0, self._begun_s + number / self.fps - now))
        self._next = number + 1
        captured_s = number / self.fps
        return CapturedFrame(round(captured_s * 1e9), self._card.frame(captured_s))

    def close(self) -> None:
        """Do nothing."""


class FileSource:
    """All frames of a video file; with live=True in real time, like a camera."""

    waits_for_readers = True

    def __init__(self, path: Path, live: bool = False, loop: bool = False) -> None:
        self.name, self.live = str(path), live
        self._path, self._loop = path, loop
        self._capture = _open_video(path)
        nominal = _fps(self._capture)
        stamped = rate(path, nominal)
        self.fps, self._has_stamps = stamped or nominal, stamped is not None
        self._clock = FileClock(self.fps)
        self._read = 0
        self._next: _Decoded | None = None  # the frame after the one that was read last
        self._pacer = RealTimePacer() if live else None

    def read(self) -> CapturedFrame | None:
        """Return the next frame; raises UserError if none can be decoded."""
        decoded = self._next or self._decode()
        if decoded is None and self._loop and self._read:
            self._capture.release()
            self._capture = _open_video(self._path)
            self._clock.begin_again()
            decoded = self._decode()
        if decoded is None:
            self._check_end()
            return None
        self._next = self._decode()
        captured_ns = self._clock.time(decoded.stamp_ns, self._next and self._next.stamp_ns)
        if self._pacer:
            self._pacer.wait_until(captured_ns)
        return CapturedFrame(captured_ns, decoded.image)

    def _decode(self) -> "_Decoded | None":
        ok, image = self._capture.read()
        if not ok:
            return None
        self._read += 1
        stamp_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC)
        stamp_ns = round(stamp_ms * 1e6) if self._has_stamps and math.isfinite(stamp_ms) else None
        return _Decoded(stamp_ns, np.asarray(image, np.uint8))

    def _check_end(self) -> None:
        if not self._read:
            raise UserError(f"{self.name} is a video without a single frame that can be decoded: is it damaged?")
        # OpenCV estimates what a container does not state; asking the container itself reads the whole file.
        seems_cut = self._read < self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        if seems_cut and self._read < (declared := stated_frames(self._path)):
            log.warning("%s declares %d frames, of which %d could be decoded", self.name, declared, self._read)

    def close(self) -> None:
        """Release the capture."""
        self._capture.release()


class _Decoded(NamedTuple):
    stamp_ns: int | None  # from the container
    image: NDArray[np.uint8]


class FolderSource:
    """The images of a folder in natural order of their names, as the frames of a file."""

    waits_for_readers = True

    def __init__(self, path: Path, fps: float, live: bool = False, loop: bool = False) -> None:
        self.name, self.fps, self.live = str(path), fps, live
        self._files = images(path)
        if not self._files:
            raise UserError(f"The folder {path} holds no images ({', '.join(sorted(IMAGES))}).")
        self._loop, self._next, self._read = loop, 0, 0
        self._pacer = RealTimePacer() if live else None

    def read(self) -> CapturedFrame | None:
        """Return the next image that can be decoded; raises UserError if none can."""
        while self._next < len(self._files) or self._loop:
            path, captured_ns = self._files[self._next % len(self._files)], round(self._next / self.fps * 1e9)
            self._next += 1
            with quiet():
                image = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if image is None:
                self._skip(path)
                continue
            self._read += 1
            if self._pacer:
                self._pacer.wait_until(captured_ns)
            return CapturedFrame(captured_ns, np.asarray(image, np.uint8))
        return None

    def _skip(self, path: Path) -> None:
        """Skip an image that cannot be decoded; its time passes, as in a damaged video."""
        refuse_pointer(path)
        if not self._read and self._next >= len(self._files):
            raise UserError(f"The image {path} cannot be decoded, nor any other of its folder: are they damaged?")
        if self._next <= len(self._files):  # not in every loop
            log.warning("the image %s cannot be decoded and is skipped", path)

    def close(self) -> None:
        """Do nothing."""


class CameraSource:
    """A camera by number or device, or an rtsp:// or http:// address; it counts as open after its first frame."""

    live, waits_for_readers = True, False

    def __init__(self, address: int | str, width: int | None, height: int | None) -> None:
        self.name = f"camera {address}" if isinstance(address, int) else address
        with quiet():
            self._capture = _open_address(address) if "://" in str(address) else _open_device(address)
            if not self._capture.isOpened():
                raise SourceLost(f"{self.name} does not open")
            for key, value in ((cv2.CAP_PROP_FRAME_WIDTH, width), (cv2.CAP_PROP_FRAME_HEIGHT, height)):
                if value:
                    self._capture.set(key, value)
            self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # older frames are of no use
            self.fps = _fps(self._capture)
            self._first: CapturedFrame | None = self._grab("opens, but returns no frame")

    def read(self) -> CapturedFrame:
        """Return the next frame; raises SourceLost."""
        frame, self._first = self._first, None
        return frame or self._grab("returns no more frames")

    def _grab(self, failure: str) -> CapturedFrame:
        ok, image = self._capture.read()
        if not ok:
            self.close()
            raise SourceLost(f"{self.name} {failure}")
        return CapturedFrame(now_ns(), np.asarray(image, np.uint8))

    def close(self) -> None:
        """Release the capture."""
        self._capture.release()


class RealTimePacer:
    """Waits so that the frames of a file are read in real time."""

    def __init__(self) -> None:
        self._origin_s: float | None = None

    def wait_until(self, captured_ns: int) -> None:
        """Sleep until this time of the file; the first call sets the origin."""
        now = time.monotonic()
        if self._origin_s is None:
            self._origin_s = now - captured_ns / 1e9
        time.sleep(max(0.0, self._origin_s + captured_ns / 1e9 - now))


def open_source(options: Camera, again: bool = False) -> Source:
    """Open the source that the settings name.

    Args:
        options: the settings.
        again: whether the run has begun already, so that a camera that is missing now was there before.

    Raises:
        UserError: if the source does not exist or cannot be read.
        SourceLost: if an address does not respond or, with `again`, a camera is missing: it may come back.
    """
    source = options.source
    if source == "auto":
        return _first_camera(options, again)
    if isinstance(source, int) or source.isdecimal():
        return _camera(int(source), options, again)
    if source == "testcard":
        return _test_card(options)
    if "://" in source:
        return CameraSource(source, options.width, options.height)
    path = Path(source).expanduser()
    if path.is_char_device() or (again and not path.exists() and path.resolve().is_relative_to(DEVICES)):
        return _camera(str(path), options, again)  # such as /dev/video0
    if path.is_dir():
        return FolderSource(path, options.fps or DEFAULT_FPS, bool(options.live), options.loop)
    if path.exists():
        return FileSource(path, bool(options.live), options.loop)
    raise UserError(f"There is no file, folder or camera {source!r} (camera.source).")


def _first_camera(options: Camera, again: bool) -> Source:
    """Open the first camera that returns a frame; without one the test card, but not in place of a lost camera."""
    for number in _numbers():
        with suppress(SourceLost):
            return CameraSource(number, options.width, options.height)
    if again:
        raise SourceLost("no camera returns a frame")
    log.info("no camera returns a frame: the test card is used instead")
    return _test_card(options)


def _camera(address: int | str, options: Camera, again: bool) -> Source:
    try:
        return CameraSource(address, options.width, options.height)
    except SourceLost as lost:
        if again:
            raise
        working = ", ".join(map(str, cameras())) or "none; SOURCE=testcard needs no camera"
        raise UserError(f"{str(lost)[0].upper()}{str(lost)[1:]}; cameras that do: {working}.") from lost


def _test_card(options: Camera) -> Source:
    width, height = options.width or TEST_CARD_SIZE[0], options.height or TEST_CARD_SIZE[1]
    try:
        return TestCardSource(options.seed, width, height, options.fps or DEFAULT_FPS)
    except (ValueError, ImportError, OSError) as error:
        raise UserError(f"The test card cannot be shown: {error}.") from error


def images(folder: Path) -> list[Path]:
    """Return the images in a folder, in natural order of their names, without hidden ones as of macOS in archives."""
    found = (file for file in folder.iterdir() if file.suffix.lower() in IMAGES and not file.name.startswith("."))
    return sorted(found, key=natural_sort_key)


def cameras() -> list[int]:
    """Return the numbers of the cameras that return a frame."""
    found = []
    for number in _numbers():
        with suppress(SourceLost):
            CameraSource(number, None, None).close()
            found.append(number)
    return found


def _numbers() -> list[int]:
    """Return the numbers of devices that may be cameras."""
    if sys.platform != "linux":
        return list(range(MAX_CAMERAS))
    names = (path.name.removeprefix("video") for path in DEVICES.glob("video*"))
    return sorted(int(name) for name in names if name.isdecimal())


def _open_device(address: int | str) -> cv2.VideoCapture:
    return cv2.VideoCapture(address)


def _open_address(address: int | str) -> cv2.VideoCapture:
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, RESPONSE_TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, RESPONSE_TIMEOUT_MS]
    return cv2.VideoCapture(str(address), cv2.CAP_FFMPEG, limits)


def _open_video(path: Path) -> cv2.VideoCapture:
    if not path.stat().st_size:
        raise UserError(f"{path} is empty (0 bytes): it is no video.")
    refuse_pointer(path)
    with quiet():
        capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise UserError(f"{path} is not a video that can be decoded: is it damaged, or another kind of file?")
    return capture


def _fps(capture: cv2.VideoCapture) -> float:
    fps = capture.get(cv2.CAP_PROP_FPS)
    return float(fps) if 0 < fps <= 1000 else DEFAULT_FPS
