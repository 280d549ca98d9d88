"""Keypoints and pictures of one stream in, each on a way of its own; pairs of what belongs together out, in order."""

import time
from collections import OrderedDict, deque
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common import picture
from common.messages import BadMessage, Frame, Keypoints, Message
from common.picture import complain

MOST_BYTES: Final = 500_000_000  # of pictures that wait: 20 of 4K, 80 of 1080p
LATE_S: Final = 1.0  # a picture that comes so long after its keypoints was lost


class Pair(NamedTuple):
    """What was found in a frame, and the frame; None if it was lost or cannot be decoded."""

    keypoints: Message
    frame: Frame | None
    picture: NDArray[np.uint8] | None


class Pairing:
    """Holds pictures until their keypoints come, and keypoints until it is clear what became of their picture."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes, self._bytes = most_bytes, 0
        self._frames: OrderedDict[int, Message] = OrderedDict()
        self._keypoints: deque[tuple[float, Message]] = deque()
