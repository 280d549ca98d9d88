"""Guide a person through a recording session, and cut the sequences out of the stream of keypoints.

For each label in turn: countdown, capture, saved, until there are as many sequences as planned. Times are capture
times, so a session stands still while no frames come. Nothing is written to disk here.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.config import Recorder
from common.errors import UserError
from common.keypoints.landmarks import (
    LEFT_HIP,
    LEFT_SHOULDER,
    LEFT_WRIST,
    MIN_VISIBILITY,
    PARTS,
    RIGHT_HIP,
    RIGHT_SHOULDER,
    RIGHT_WRIST,
    split,
)
from common.keypoints.window import CONFIRMING, MIN_PERSON_RATIO, legs_detected, parts_detected
from common.labels import checked_label, checked_name

MAX_RETAKES: Final = 2  # of a bad sequence, in a row; the next is kept, with its issues in the manifest
MAX_BAD_FRACTION: Final = 0.1  # of the frames: more that are missed, uneven or without a person make a sequence bad
MAX_SEQUENCE_S: Final = 10.0  # where it lasts until the hands are down
MIN_FRAMES: Final = 8
HANDS_DOWN_S: Final = 0.3  # a hand that is lowered for less counts as up
HAND_HEIGHT: Final = 0.8  # of the distance from shoulders to hips: a wrist above it is up

State = Literal["countdown", "ready", "capturing", "paused", "finished"]


class CapturePlan(NamedTuple):
    """What to record."""

    labels: tuple[str, ...]
    sequences: int  # of each label
    frames: int | None  # of a sequence; None: from hands up to hands down
    countdown_s: float


def check_plan(settings: Recorder) -> tuple[str, ...]:
    """The labels, each once; raises UserError for labels or a subject that are no valid file names."""
    if not settings.labels:
        raise UserError("No label to record: name the actions, such as wave clap.")
    checked_name(settings.subject)
    return tuple(dict.fromkeys(checked_label(label) for label in settings.labels))


class CapturedSequence(NamedTuple):
    """A complete sequence, not yet written."""

    label: str
    seqs: tuple[int, ...]  # frame numbers
    captured_ns: NDArray[np.int64]  # (T,)
    keypoints: NDArray[np.float32]  # (T, 1662)
    issues: tuple[str, ...]


class CaptureSession:
    """The state of a session; the caller writes each sequence that `frame` returns, then calls `saved` or `pause`."""

    def __init__(self, plan: CapturePlan, existing: Mapping[str, int]) -> None:
        """Start with the first label of which fewer sequences exist than planned."""
        self.plan = plan
        self.progress = Counter({label: existing.get(label, 0) for label in plan.labels})
        self.detail = ""
        self.countdown_s = plan.countdown_s
        self._skipped: set[str] = set()
        self._bad = 0  # sequences in a row
        self._last: str | None = None  # the label that was saved last and can be deleted
        self.state: State = "countdown"
        self._begin()

    @property
    def label(self) -> str:
        """The label to perform now; empty when all is done."""
        open_labels = (
            label
            for label in self.plan.labels
            if self.progress[label] < self.plan.sequences and label not in self._skipped
        )
        return next(open_labels, "")

    @property
    def frames(self) -> int:
        """How many frames of the current sequence are captured."""
        return len(self._seqs)

    def _begin(self) -> None:
        """Count down to the next sequence."""
        self._seqs: list[int] = []
        self._times: list[int] = []
        self._vectors: list[NDArray[np.float32]] = []
        self._since_ns: int | None = None
        self._last_up_ns = 0
        self.countdown_s = self.plan.countdown_s
        self.state = "countdown" if self.label else "finished"

    # --- frames -----------------------------------------------------------------------------------

    def frame(self, seq: int, captured_ns: int, vector: NDArray[np.float32]) -> CapturedSequence | None:
        """Process the keypoints of a frame, float32 (1662,); returns the sequence that it completes, if any."""
        if self._times and (captured_ns <= self._times[-1] or seq <= self._seqs[-1]):
            self.detail = "the stream restarted; retake"
            self._begin()
        if self.state == "countdown":
            self._count_down(captured_ns)
        if self.state == "ready" and hands_up(vector):
            self.state = "capturing"
        if self.state != "capturing":
            return None
        self._seqs.append(seq)
        self._times.append(captured_ns)
        self._vectors.append(vector)
        if hands_up(vector):
            self._last_up_ns = captured_ns
        return self._complete() if self._is_complete() else None

    def _count_down(self, captured_ns: int) -> None:
        if self._since_ns is None or captured_ns < self._since_ns:
            self._since_ns = captured_ns
        self.countdown_s = max(0.0, self.plan.countdown_s - (captured_ns - self._since_ns) / 1e9)
        if not self.countdown_s:
            self.state = "capturing" if self.plan.frames else "ready"

    def _is_complete(self) -> bool:
        if self.plan.frames:
            return len(self._seqs) == self.plan.frames
        now_ns = self._times[-1]
        return now_ns - self._last_up_ns >= HANDS_DOWN_S * 1e9 or now_ns - self._times[0] >= MAX_SEQUENCE_S * 1e9

    def _complete(self) -> CapturedSequence | None:
        times, vectors = np.array(self._times, np.int64), np.stack(self._vectors)
        found = capture_issues(times, vectors, self._seqs[-1] - self._seqs[0] + 1)
        self._bad = self._bad + 1 if any(found.values()) else 0
        if 0 < self._bad <= MAX_RETAKES:
            self.detail = f"retake: {'; '.join(found)}"
            self._begin()
            return None
        self._bad = 0
        return CapturedSequence(self.label, tuple(self._seqs), times, vectors, tuple(found))

    def saved(self, sequence: CapturedSequence) -> None:
        """Go on to the next sequence, as this one is on the disk."""
        self.progress[sequence.label] += 1
        self._last = sequence.label
        self.detail = f"saved, though {'; '.join(sequence.issues)}" if sequence.issues else "saved"
        self._begin()

    # --- commands ---------------------------------------------------------------------------------

    def pause(self, why: str = "") -> None:
        """Pause or resume; a sequence that is being captured starts over."""
        was_paused = self.state == "paused"
        self.detail = why
        self._begin()
        if not was_paused and self.label:
            self.state = "paused"

    def retake(self) -> bool:
        """Repeat this sequence or, between sequences, the last one; True if the caller must delete that one."""
        delete = self.state != "capturing" and self._last is not None
        if delete and self._last is not None:
            self.progress[self._last] -= 1
            self._skipped.discard(self._last)
            self._last = None
        self.detail = "retake"
        self._begin()
        return delete

    def skip(self) -> None:
        """Go on to the next label."""
        self.detail = f"{self.label} skipped"
        self._skipped.add(self.label)
        self._begin()

    def stop(self) -> None:
        """End the session; another one resumes it."""
        self.detail = "stopped"
        self.state = "finished"


def hands_up(vector: NDArray[np.float32]) -> bool:
    """Whether, in keypoints (1662,), a wrist is visible and well above the hips."""
    pose = split(vector)["pose"]
    shoulder_y, hip_y = pose[[LEFT_SHOULDER, RIGHT_SHOULDER], 1].mean(), pose[[LEFT_HIP, RIGHT_HIP], 1].mean()
    wrists = pose[[LEFT_WRIST, RIGHT_WRIST]]
    high = wrists[:, 1] < shoulder_y + HAND_HEIGHT * (hip_y - shoulder_y)
    return bool((high & (wrists[:, 3] >= MIN_VISIBILITY)).any())


def capture_issues(captured_ns: NDArray[np.int64], keypoints: NDArray[np.float32], sent: int = 0) -> dict[str, bool]:
    """Find reasons not to train on a sequence.

    Args:
        captured_ns: (T,).
        keypoints: (T, 1662).
        sent: how many frames the camera sent meanwhile. A camera faster than the extractor is no reason for a retake.

    Returns:
        Whether the reason calls for a retake, by reason.
    """
    total = len(captured_ns)
    if total < MIN_FRAMES:
        return {f"only {total} frames": True}
    found = {}
    intervals = np.diff(captured_ns) / np.median(np.diff(captured_ns))
    gaps = int((np.round(intervals) - 1).clip(0).sum())
    if missed := max(gaps, sent - total):
        found[f"{missed} of {total + missed} frames missed"] = gaps > MAX_BAD_FRACTION * total
    if not gaps and (abs(intervals - 1) > 0.5).mean() > MAX_BAD_FRACTION:
        found["frames came unevenly"] = True
    seen = parts_detected(keypoints)
    lost = int((~seen[:, PARTS.index("pose")]).sum())
    if lost:
        found[f"nobody in view in {lost} of {total} frames"] = lost > MAX_BAD_FRACTION * total
    if lost < total and not (seen[:, CONFIRMING].any() or legs_detected(keypoints).mean() >= MIN_PERSON_RATIO):
        found["neither face, hand nor leg in view"] = True  # see docs/decisions/0008
    return found
