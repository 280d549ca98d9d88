"""Pictures, BGR uint8 (height, width, 3): turned and resized as a camera's settings say, to JPEG and back."""

import cv2
import numpy as np
from numpy.typing import NDArray

from common.bus.errors import BadMessage, log_malformed
from common.bus.messages import Frame
from common.config import Camera

Image = NDArray[np.uint8]

_ROTATIONS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def apply_camera_settings(picture: Image, options: Camera) -> Image:
    """Rotated, mirrored and resized; with only one of width and height set, the other keeps the proportions."""
    if options.rotate:
        picture = cv2.rotate(picture, _ROTATIONS[options.rotate])  # type: ignore[assignment]
    if options.mirror:
        picture = cv2.flip(picture, 1)  # type: ignore[assignment]
    height, width = picture.shape[:2]
    if options.width or options.height:
        wanted_width = options.width or round(width * (options.height or height) / height)
        wanted_height = options.height or round(height * wanted_width / width)
        if (wanted_width, wanted_height) != (width, height):
            picture = cv2.resize(picture, (wanted_width, wanted_height))  # type: ignore[assignment]
    return picture


def to_jpeg(picture: Image, quality: int) -> Image:
    """A JPEG file as uint8 (bytes,)."""
    return np.asarray(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], np.uint8)


def decode(header: Frame, values: Image) -> Image:
    """The picture of a frames message, whatever its encoding; raises BadMessage if it is none."""
    if header.encoding == "raw":
        return values
    try:
        picture = cv2.imdecode(values, cv2.IMREAD_COLOR) if values.size else None
    except cv2.error:
        picture = None
    if picture is None or picture.shape != (header.height, header.width, 3):
        raise BadMessage("frames: a JPEG that cannot be decoded, or of another size than its header says")
    return np.asarray(picture, np.uint8)


class Decoder:
    """Decodes for somebody who goes on without a picture that is none; counts those in `bad`, and names some."""

    def __init__(self) -> None:
        self.bad = 0

    def __call__(self, header: Frame, values: Image) -> Image | None:
        try:
            return decode(header, values)
        except BadMessage as reason:
            self.bad += 1
            log_malformed(self.bad, reason)
            return None
