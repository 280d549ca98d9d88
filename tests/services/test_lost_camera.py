"""A camera process that comes back without its camera waits for it; a run that begins without one is a mistake."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import EXIT_USER_ERROR
from common.runtime.watchdog import RESTARTED
from tests.pace import patience
from tests.pipeline import ROOT, free_ports, pipeline

NOT_THERE = 97  # a camera's number
CAMERAS = pytest.mark.skipif(any(Path("/dev").glob("video*")), reason="there is a camera")


def camera(source: object, **environment: str) -> "subprocess.Popen[str]":
    """The service by itself: a hub is no part of this."""
    command = [sys.executable, "-m", "services.camera", "--set", f"camera.source={source}"]
    return subprocess.Popen(
        [*command, "--set", f"bus.port={free_ports(4)}"],
        cwd=ROOT,
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("source", [NOT_THERE, f"/dev/video{NOT_THERE}", pytest.param("auto", marks=CAMERAS)])
def test_a_camera_that_is_gone_after_a_crash_is_waited_for(source: object):
    with camera(source, **{RESTARTED: "1"}) as process:
        try:
            assert process.stderr is not None
            said = [process.stderr.readline() for _ in range(2)]
            process.send_signal(signal.SIGTERM)
            assert process.wait(patience(10)) == 0
        finally:
            process.kill()
    assert [line.rpartition(";")[2] for line in said] == [" trying again in 0.5 s\n", " trying again in 1.0 s\n"]


@pytest.mark.parametrize("source", [NOT_THERE, f"/dev/video{NOT_THERE}", os.devnull])
def test_a_run_that_begins_without_its_camera_is_a_mistake(source: object):
    with camera(source) as process:
        try:
            _, said = process.communicate(timeout=patience(30))
        finally:
            process.kill()
    assert process.returncode == EXIT_USER_ERROR
    assert said.count("\n") == 1
    assert str(source) in said


@CAMERAS
def test_auto_that_became_the_test_card_is_that_again_after_a_crash(tmp_path: Path):
    others = ("windows", "inference", "overlay", "logger")
    with pipeline(tmp_path, keypoints=0, without=others, camera__source="auto") as running:
        for times in (1, 2):
            shown = lambda n=times: running.log.count("cam shows testcard") == n  # noqa: E731
            running.wait_for("the test card", shown, 20)
            if times == 1:
                os.kill(running.pids_now("camera")[0], signal.SIGKILL)
