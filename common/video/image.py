"""Rotate, mirror and resize images, BGR uint8 (height, width, 3), and encode and decode JPEG."""

import cv2
import numpy as np
from numpy.typing import NDArray

from common.bus.errors import BadMessage, log_malformed
from common.bus.messages import Frame
from common.config import Camera

Image = NDArray[np.uint8]

_ROTATIONS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def apply_camera_settings(image: Image, options: Camera) -> Image:
    """Rotate, mirror and resize an image; with only one of width and height set, the aspect ratio is kept."""
    if options.rotate:
        image = cv2.rotate(image, _ROTATIONS[options.rotate])  # type: ignore[assignment]
    if options.mirror:
        image = cv2.flip(image, 1)  # type: ignore[assignment]
    height, width = image.shape[:2]
    if options.width or options.height:
        wanted_width = options.width or round(width * (options.height or height) / height)
        wanted_height = options.height or round(height * wanted_width / width)
        if (wanted_width, wanted_height) != (width, height):
            image = cv2.resize(image, (wanted_width, wanted_height))  # type: ignore[assignment]
    return image


def to_jpeg(image: Image, quality: int) -> Image:
    """Encode an image as a JPEG file, uint8 (bytes,)."""
    return np.asarray(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], np.uint8)


def decode(header: Frame, values: Image) -> Image:
    """Decode the image of a message of the topic frames, raw or JPEG; raises BadMessage if it is malformed."""
    if header.encoding == "raw":
        return values
    try:
        image = cv2.imdecode(values, cv2.IMREAD_COLOR) if values.size else None
    except cv2.error:
        image = None
    if image is None or image.shape != (header.height, header.width, 3):
        raise BadMessage("frames: a JPEG that cannot be decoded, or of another size than its header says")
    return np.asarray(image, np.uint8)


class Decoder:
    """Decodes images; malformed ones are counted in `malformed` and some of them logged."""

    def __init__(self) -> None:
        self.malformed = 0

    def __call__(self, header: Frame, values: Image) -> Image | None:
        """Decode an image; returns None if it is malformed."""
        try:
            return decode(header, values)
        except BadMessage as reason:
            self.malformed += 1
            log_malformed(self.malformed, reason)
            return None
