"""The camera process on frames that cannot be published."""

import subprocess
from pathlib import Path

import cv2
import numpy as np

from tests.pace import patience
from tests.pipeline import free_ports, python


def test_frames_too_large_for_the_bus_are_refused_in_one_sentence_with_the_largest_width(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "1.png"), np.zeros((4000, 6000, 3), np.uint8))
    settings = {
        "bus.port": free_ports(4),
        "camera.source": tmp_path / "images",
        "camera.wait_for": "[]",
        "camera.wait_s": 0,
    }
    sets = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    with python("-m", "services.camera", *sets, stderr=subprocess.PIPE, text=True) as camera:
        _, said = camera.communicate(timeout=patience(30))
    assert camera.returncode == 2
    last = said.splitlines()[-1]
    assert "6000 x 4000 pixels takes 69 MiB" in last
    assert "camera.width=5792 or less" in last
    assert "Traceback" not in said
