"""Turn an overlay video into the animated image of the README.

python -m docs.tools.animation overlay.mp4 overlay.webp
"""

import sys
from itertools import pairwise

import av
from PIL import Image

FROM_S, TO_S = 2.0, 12.8  # of the test card: an idle moment, a nod, a shake
WIDTH, QUALITY = 400, 45  # under 1 MB


def animate(video: str, animation: str) -> None:
    """Write a part of the video, made smaller, as a loop."""
    with av.open(video) as file:
        chosen = [frame for frame in file.decode(video=0) if FROM_S <= frame.time < TO_S]
    size = WIDTH, WIDTH * chosen[0].height // chosen[0].width
    images = [frame.to_image().resize(size, Image.Resampling.LANCZOS) for frame in chosen]
    times_ms = [round(1000 * frame.time) for frame in chosen]
    durations_ms = [after - before for before, after in pairwise(times_ms)]
    images[0].save(
        animation,
        save_all=True,
        append_images=images[1:],
        duration=[*durations_ms, 1000],  # the last one stays for a moment
        loop=0,
        quality=QUALITY,
        method=6,
    )


if __name__ == "__main__":
    animate(*sys.argv[1:])
