"""Where pictures come from: cameras, video files, folders of images, addresses and the test card."""

import logging
import os
import re
import sys
import time
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from common.config import Camera
from common.errors import UserError
from common.lfs import refuse_pointer
from common.quiet import quiet
from common.testcard import TestCard

log = logging.getLogger(__name__)

IMAGES = {".bmp", ".jpeg", ".jpg", ".png", ".webp"}
DEFAULT_FPS = 25.0
TEST_CARD_SIZE = (640, 480)
MAX_CAMERAS = 10
LONGEST_NS = 10**16  # 115 days: what claims to be later is no time
ANSWER_MS = 5000  # a network camera that keeps silent for longer is lost


class Shot(NamedTuple):
    """One picture, BGR uint8 (height, width, 3), and its time on the source's own clock."""

    captured_ns: int
    picture: NDArray[np.uint8]


class SourceLost(Exception):
    """A camera or an address gives no more pictures; it may come back."""


class Source(Protocol):
    """What all sources have in common."""

    name: str
    fps: float  # nominal
    live: bool  # pictures that nobody takes in time are gone
    scripted: bool  # has a first picture worth waiting for

    def read(self) -> Shot | None:
        """The next picture, None when there are no more; raises SourceLost."""

    def close(self) -> None: ...


class TestCardSource:
    """The test card at its own pace, like a camera: what is not read in time is gone."""

    live = scripted = True

    def __init__(self, seed: int, width: int, height: int, fps: float) -> None:
        self.name, self.fps = "testcard", fps
        self._card = TestCard(seed, width, height)
        self._begun_s: float | None = None
        self._next = 0

    def read(self) -> Shot:
        now = time.monotonic()
        if self._begun_s is None:
            self._begun_s = now
        late = int((now - self._begun_s) * self.fps)
        number = max(self._next, late)
        time.sleep(max(0.0, self._begun_s + number / self.fps - now))
        self._next = number + 1
        captured_s = number / self.fps
        return Shot(round(captured_s * 1e9), self._card.frame(captured_s))

    def close(self) -> None:
        pass


class FileSource:
    """A video file, every frame of it; with live=True at its own pace, as a camera would show it."""

    scripted = True

    def __init__(self, path: Path, live: bool = False, loop: bool = False) -> None:
        self.name, self.live = str(path), live
        self._path, self._loop = path, loop
        self._capture = _open_video(path)
        self.fps = _fps(self._capture)
        self._offset_ns = self._last_ns = self._read = 0
        self._pace = Pace() if live else None

    def read(self) -> Shot | None:
        ok, picture = self._capture.read()
        if not ok:
            if self._loop and self._read:
                return self._again()
            self._check_end()
            return None
        self._read += 1
        captured_ns = self._offset_ns + round(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        if not 0 <= captured_ns < LONGEST_NS or (self._read > 1 and captured_ns <= self._last_ns):
            # Some files have no usable time stamps.
            captured_ns = self._last_ns + round(1e9 / self.fps) if self._read > 1 else self._offset_ns
        self._last_ns = captured_ns
        if self._pace:
            self._pace.wait_until(captured_ns)
        return Shot(captured_ns, np.asarray(picture, np.uint8))

    def _again(self) -> Shot | None:
        self._capture.release()
        self._capture = _open_video(self._path)
        self._offset_ns = self._last_ns + round(1e9 / self.fps)
        return self.read()

    def _check_end(self) -> None:
        declared = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if not self._read:
            raise UserError(f"{self.name} is a video without a single picture that can be decoded: is it damaged?")
        if self._read < declared:
            log.warning("%s declares %d frames, of which %d could be decoded", self.name, declared, self._read)

    def close(self) -> None:
        self._capture.release()


class FolderSource:
    """The images of a folder in the natural order of their names, as frames of one file."""

    scripted = True

    def __init__(self, path: Path, fps: float, live: bool = False, loop: bool = False) -> None:
        self.name, self.fps, self.live = str(path), fps, live
        self._files = sorted((f for f in path.iterdir() if f.suffix.lower() in IMAGES), key=_natural)
        if not self._files:
            raise UserError(f"The folder {path} holds no images ({', '.join(sorted(IMAGES))}).")
        self._loop, self._next = loop, 0
        self._pace = Pace() if live else None

    def read(self) -> Shot | None:
        if self._next >= len(self._files) and not self._loop:
            return None
        path = self._files[self._next % len(self._files)]
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            refuse_pointer(path)
            raise UserError(f"The image {path} cannot be decoded: take it out of the folder.")
        captured_ns = round(self._next / self.fps * 1e9)
        self._next += 1
        if self._pace:
            self._pace.wait_until(captured_ns)
        return Shot(captured_ns, np.asarray(picture, np.uint8))

    def close(self) -> None:
        pass


class CameraSource:
    """A camera by number, or an rtsp:// or http:// address."""

    live, scripted = True, False

    def __init__(self, address: int | str, width: int | None, height: int | None) -> None:
        self.name = f"camera {address}" if isinstance(address, int) else address
        with quiet():
            self._capture = _open_address(address) if "://" in str(address) else cv2.VideoCapture(address)
        if not self._capture.isOpened():
            raise SourceLost(f"{self.name} does not open")
        for key, value in ((cv2.CAP_PROP_FRAME_WIDTH, width), (cv2.CAP_PROP_FRAME_HEIGHT, height)):
            if value:
                self._capture.set(key, value)
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # an older picture is of no use
        self.fps = _fps(self._capture)

    def read(self) -> Shot:
        ok, picture = self._capture.read()
        if not ok:
            raise SourceLost(f"{self.name} gives no more pictures")
        return Shot(time.time_ns(), np.asarray(picture, np.uint8))

    def close(self) -> None:
        self._capture.release()


class Pace:
    """Shows times of a file as they would pass."""

    def __init__(self) -> None:
        self._origin_s: float | None = None

    def wait_until(self, captured_ns: int) -> None:
        now = time.monotonic()
        if self._origin_s is None:
            self._origin_s = now - captured_ns / 1e9
        time.sleep(max(0.0, self._origin_s + captured_ns / 1e9 - now))


def choose(options: Camera) -> Source:
    """The source that the settings name; raises UserError, or SourceLost for an address that does not answer."""
    source = options.source
    if source == "auto":
        available = cameras()
        source = available[0] if available else "testcard"
        if not available:
            log.info("no camera opens: the test card stands in for one")
    if isinstance(source, int) or source.isdecimal():
        return _camera(int(source), options)
    if source == "testcard":
        return _test_card(options)
    if "://" in source:
        return CameraSource(source, options.width, options.height)
    path = Path(source).expanduser()
    if path.is_char_device():  # such as /dev/video0
        return CameraSource(str(path), options.width, options.height)
    if path.is_dir():
        return FolderSource(path, options.fps or DEFAULT_FPS, bool(options.live), options.loop)
    if path.exists():
        return FileSource(path, bool(options.live), options.loop)
    raise UserError(f"There is no file, folder or camera {source!r} (camera.source).")


def _camera(number: int, options: Camera) -> Source:
    try:
        return CameraSource(number, options.width, options.height)
    except SourceLost as error:
        there = ", ".join(map(str, cameras())) or "none; SOURCE=testcard needs no camera"
        raise UserError(f"Camera {number} does not open; cameras that do: {there}.") from error


def _test_card(options: Camera) -> Source:
    width, height = options.width or TEST_CARD_SIZE[0], options.height or TEST_CARD_SIZE[1]
    try:
        return TestCardSource(options.seed, width, height, options.fps or DEFAULT_FPS)
    except (ValueError, ImportError, OSError) as error:
        raise UserError(f"The test card cannot be shown: {error}.") from error


def cameras() -> list[int]:
    """The numbers of the cameras that open."""
    found = []
    for number in range(MAX_CAMERAS):
        if sys.platform == "linux" and not os.path.exists(f"/dev/video{number}"):
            continue
        try:
            CameraSource(number, None, None).close()
        except SourceLost:
            continue
        found.append(number)
    return found


def _open_address(address: int | str) -> cv2.VideoCapture:
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, ANSWER_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, ANSWER_MS]
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


def _natural(path: Path) -> list[tuple[int, str]]:
    """frame2 before frame10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]
