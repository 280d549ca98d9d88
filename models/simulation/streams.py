"""Recorded sequences in, one long stream with rests between them, and what is performed in it, out.

Sequences of a recorder whose frames overlap are cuts of one recording, such as the test card's: they are put together
again, and a label holds from the middle of one overlap to the middle of the next. A recorder's only such recording
stands as it is. All others are joined by rests: a sequence of an idle label where the recorder has one, else one of
the recorder's most restful frames, held.

Not the first or last frame of a sequence: it shows the sign itself, with the hands up in 96 % of the recordings that
are about. Nor a slow passage from one to the next, which nobody performs.
"""

from collections.abc import Collection, Iterable, Iterator
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.keypoints.landmarks import LEFT_SHOULDER, LEFT_WRIST, PARTS, RIGHT_SHOULDER, RIGHT_WRIST, split
from common.keypoints.window import resample, seen_parts
from common.recording.sequence import KeypointSequence
from models.simulation.spans import Span

REST_S: Final = (1.5, 2.5)  # shortest, longest
MOVE_S: Final = 0.4  # from an action to a rest, and back
RESTFUL: Final = 0.1  # of a recorder's frames without hands in view may be held, so that rests differ a little
JITTER: Final = 0.003  # of a picture: standard deviation of the test card's landmarks at rest
NARROW: Final = 0.05  # of a picture: shoulders seen from the side must not make a small distance a large one
AWAY_S: Final = 1.0  # between two recorders no frame comes, so that windows start over
PERIODS_NS: Final = (1e6, 1e9)  # between frames; what lies outside is no camera's
LONGEST_NS: Final = 2**60  # 36 years; times of 64 bits end soon after


class Piece(NamedTuple):
    """A stretch of a stream."""

    captured_ns: NDArray[np.int64]  # (T,), rising
    keypoints: NDArray[np.float32]  # (T, 1662)
    spans: list[Span]  # the actions in it


def stream(sequences: Iterable[KeypointSequence], idle: Collection[str], seed: int = 0) -> Iterator[Piece]:
    """Everybody's performances in random order, one recorder after the other, from time 0; idle labels are no actions.

    It comes in pieces, since a long one would fill the memory. Raises UserError where it would last for decades.
    """
    groups: dict[str, list[KeypointSequence]] = {}
    for sequence in sequences:
        groups.setdefault(sequence.subject, []).append(sequence)
    rng, now_ns = np.random.default_rng(seed), 0
    for recorder, group in groups.items():
        period_ns = _period_ns(group)
        for piece in _performed(group, idle, period_ns, rng):
            spans = [Span(label, start + now_ns / 1e9, end + now_ns / 1e9) for label, start, end in piece.spans]
            yield Piece(piece.captured_ns + now_ns, piece.keypoints, spans)
            now_ns += int(piece.captured_ns[-1]) + period_ns
            if now_ns > LONGEST_NS:
                raise UserError(f"The sequences of {recorder!r} last for decades: their capture times must be wrong.")
        now_ns += round(AWAY_S * 1e9)


def _performed(
    group: list[KeypointSequence], idle: Collection[str], period_ns: int, rng: np.random.Generator
) -> Iterator[Piece]:
    """The stream of one recorder; each piece begins at time 0."""
    runs = recordings(group)
    actions = [run for run in runs if any(cut.label not in idle for cut in run)]
    if len(actions) == 1 < len(actions[0]):  # a session, with rests of its own
        yield put_together(actions[0], idle)
        return
    idling = [cut.keypoints for run in runs if all(cut.label in idle for cut in run) for cut in run]
    rests = _played(idling, period_ns, rng) if idling else _held(restful(group), period_ns, rng)
    before = next(rests)
    yield _even(before, period_ns)
    for number in rng.permutation(len(actions)):
        piece, after = put_together(actions[number], idle), next(rests)
        yield _even(_move(before[-1], piece.keypoints[0], period_ns), period_ns)
        yield piece
        yield _even(_move(piece.keypoints[-1], after[0], period_ns), period_ns)
        yield _even(after, period_ns)
        before = after


def recordings(sequences: Iterable[KeypointSequence]) -> list[list[KeypointSequence]]:
    """The cuts of each recording in order; most often there is one."""
    runs: list[list[KeypointSequence]] = []
    for sequence in sorted(sequences, key=lambda sequence: int(sequence.captured_ns[0])):
        run = next((run for run in runs if _shared(run[-1], sequence)), None)
        if run is None:
            runs.append([sequence])
        else:
            run.append(sequence)
    return runs


def _shared(one: KeypointSequence, other: KeypointSequence) -> int:
    """How many frames at the end of one are those at the beginning of the other."""
    if not one.captured_ns[0] < other.captured_ns[0] <= one.captured_ns[-1] <= other.captured_ns[-1]:
        return 0
    first = int(np.searchsorted(one.captured_ns, other.captured_ns[0]))
    frames = len(one.captured_ns) - first
    same_times = np.array_equal(one.captured_ns[first:], other.captured_ns[:frames])
    return frames if same_times and np.array_equal(one.keypoints[first:], other.keypoints[:frames]) else 0


def put_together(run: list[KeypointSequence], idle: Collection[str]) -> Piece:
    """A recording from its cuts, beginning at time 0."""
    skipped = [0, *(_shared(one, other) for one, other in pairwise(run))]
    times = np.concatenate([cut.captured_ns[skip:] for cut, skip in zip(run, skipped, strict=True)])
    keypoints = np.concatenate([cut.keypoints[skip:] for cut, skip in zip(run, skipped, strict=True)])
    starts, ends = [int(cut.captured_ns[0]) for cut in run], [int(cut.captured_ns[-1]) for cut in run]
    changes = [(end + start) // 2 for end, start in zip(ends, starts[1:], strict=False)]
    edges_s = [(edge - starts[0]) / 1e9 for edge in (starts[0], *changes, ends[-1] + _period_ns(run))]
    spans = [Span(cut.label, *edges) for cut, edges in zip(run, pairwise(edges_s), strict=True)]
    return Piece(times - times[0], keypoints, [span for span in spans if span.label not in idle])


def _played(
    idling: list[NDArray[np.float32]], period_ns: int, rng: np.random.Generator
) -> Iterator[NDArray[np.float32]]:
    """Rests (n, 1662), of recorded ones."""
    while True:
        yield idling[rng.integers(len(idling))][: _frames(REST_S[1], period_ns)]


def _held(vectors: NDArray[np.float32], period_ns: int, rng: np.random.Generator) -> Iterator[NDArray[np.float32]]:
    """Rests (n, 1662), each one of the vectors that trembles a little."""
    while True:
        frames = _frames(rng.uniform(*REST_S), period_ns)
        yield tremble(np.repeat(vectors[rng.integers(len(vectors)), None], frames, axis=0), rng)


def tremble(held: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Vectors (..., 1662) as somebody who rests trembles."""
    rest = held.copy()
    for points in split(rest).values():  # views: this moves the rest, all but the parts that are absent
        noise = rng.normal(0, JITTER, points[..., :3].shape).astype(np.float32)
        points[..., :3] += noise * points.any(axis=(-2, -1), keepdims=True)
    return rest


def restful(group: Iterable[KeypointSequence]) -> NDArray[np.float32]:
    """The frames (n, 1662) that show somebody at rest, or with the lowest wrists; one of zeros if there is no pose."""
    frames = np.concatenate([sequence.keypoints for sequence in group])
    posed, hands = _in_view(frames)
    among = posed & ~hands if (posed & ~hands).any() else posed
    return frames[_lowest(frames, among)] if among.any() else np.zeros_like(frames[:1])


def at_rest(frames: NDArray[np.float32]) -> NDArray[np.intp]:
    """Which of the frames (n, 1662) show somebody at rest: no hand is seen, and the wrists hang lowest."""
    posed, hands = _in_view(frames)
    return _lowest(frames, posed & ~hands)


def _in_view(frames: NDArray[np.float32]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where there is a pose, and where there is a hand."""
    pose, _, left, right = (seen_parts(frames)[:, place] for place in range(len(PARTS)))
    return pose, left | right


def _lowest(frames: NDArray[np.float32], among: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The share RESTFUL of `among` with the lowest wrists, against the shoulders and in their widths."""
    pose = split(frames)["pose"]
    y = pose[..., 1]  # grows downwards
    hang = y[:, [LEFT_WRIST, RIGHT_WRIST]].min(axis=1) - y[:, [LEFT_SHOULDER, RIGHT_SHOULDER]].mean(axis=1)
    width = np.abs(pose[:, LEFT_SHOULDER, 0] - pose[:, RIGHT_SHOULDER, 0]).clip(min=NARROW)
    order = np.lexsort((-hang / width, ~among))
    return order[: max(1, round(RESTFUL * among.sum())) if among.any() else 0]


def _move(one: NDArray[np.float32], other: NDArray[np.float32], period_ns: int) -> NDArray[np.float32]:
    """The frames between two."""
    frames = _frames(MOVE_S, period_ns)
    return resample(np.stack([one, other]), np.array([0, frames + 1]), np.arange(1.0, frames + 1))


def _frames(seconds: float, period_ns: int) -> int:
    return max(1, round(seconds * 1e9 / period_ns))


def _even(keypoints: NDArray[np.float32], period_ns: int) -> Piece:
    return Piece(np.arange(len(keypoints)) * period_ns, keypoints, [])


def _period_ns(group: Iterable[KeypointSequence]) -> int:
    """The usual time between two frames; of single frames, by their nominal rate."""
    steps = np.concatenate([np.diff(sequence.captured_ns) for sequence in group])
    return round(float(np.clip(np.median(steps) if len(steps) else 4e7, *PERIODS_NS)))
