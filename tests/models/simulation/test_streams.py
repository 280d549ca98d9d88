"""Sequences joined to a continuous stream, and the actions that the live windows and decision detect in it."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from common import config
from common.bus.messages import Action, Keypoints, Message
from common.errors import UserError
from common.keypoints.features import Features, Part
from common.keypoints.landmarks import LEFT_ANKLE, LEFT_WRIST, SIZE, SLICES, split
from common.recognition.classifier import CARD
from common.recording.sequence import KeypointSequence
from data import dataset
from models.evaluation.event_metrics import f1, score_events
from models.simulation import pipeline, streams
from models.simulation.pipeline import simulate_stream
from models.simulation.spans import Detection, Span
from models.simulation.streams import StreamChunk, idle_frames, recordings, stream
from services.inference import Inference
from services.windows import Windows
from tests.models.people import LABELS, PERIOD_NS, card, person, read_number, sequence
from tests.services.test_stages import play


@dataclass
class Session:
    """A recording, and cuts of it with half a window around each segment, as data.testcard makes them."""

    labels: list[str]
    lengths: list[int]
    margin: int = 8

    def __post_init__(self) -> None:
        frames = [label for label, n in zip(self.labels, self.lengths, strict=True) for _ in range(n)]
        self.keypoints, self.edges = person(frames), np.cumsum([0, *self.lengths]).tolist()
        self.times = 7 * 10**15 + np.arange(len(frames), dtype=np.int64) * PERIOD_NS

    def cuts(self) -> list[KeypointSequence]:
        places = [slice(max(0, start - self.margin), end + self.margin) for start, end in pairwise(self.edges)]
        return [
            KeypointSequence(label, self.keypoints[place], self.times[place], "anna", "cam", 25.0)
            for label, place in zip(self.labels, places, strict=True)
        ]


def whole(sequences: list[KeypointSequence], idle: "list[str] | None" = None, seed: int = 0) -> StreamChunk:
    chunks = list(stream(sequences, LABELS[:1] if idle is None else idle, seed))
    spans = [span for chunk in chunks for span in chunk.spans]
    times, keypoints, _ = zip(*chunks, strict=True)
    return StreamChunk(np.concatenate(times), np.concatenate(keypoints), spans)


def detected_in(chunk: StreamChunk) -> list[Detection]:
    model = card()
    offline = pipeline.OfflinePipeline(read_number, LABELS, model.window)
    return pipeline.detect_actions(offline(chunk), model.decision, model.idle)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from(LABELS), st.integers(17, 40)), min_size=2, max_size=6), st.randoms())
def test_cuts_of_a_session_are_stitched(parts: list[tuple[str, int]], random):
    assume(any(label != LABELS[0] for label, _ in parts))
    session = Session([label for label, _ in parts], [length for _, length in parts])
    cuts = session.cuts()
    random.shuffle(cuts)
    chunk = whole(cuts)
    assert np.array_equal(chunk.keypoints, session.keypoints)
    assert np.array_equal(chunk.captured_ns, session.times - session.times[0])
    spans = [(label, *edges) for label, edges in zip(session.labels, pairwise(session.edges), strict=True)]
    expected = [span for span in spans if span[0] != LABELS[0]]
    assert [span.label for span in chunk.spans] == [label for label, _, _ in expected]
    for span, (_, start, end) in zip(chunk.spans, expected, strict=True):
        assert (span.start_s, span.end_s) == (
            pytest.approx(start * 0.04, abs=0.03),
            pytest.approx(end * 0.04, abs=0.03),
        )


def test_sequences_that_begin_alike_are_no_cuts_of_one_recording():
    """Other people's sets know no times, so that every sequence begins at 0."""
    assert len(recordings([sequence("wave", seed=1), sequence("wave", seed=2), sequence("nod", seed=1)])) == 3


def test_between_sequences_hands_are_down():
    idle = sequence("nod", frames=60)._replace(keypoints=person(["idle"] * 60))  # somewhere, hands hang
    chunk = whole([sequence("wave", seed=1), sequence("clap", seed=2), idle])
    assert len(chunk.spans) == 3 and (np.diff(chunk.captured_ns) == PERIOD_NS).all()
    inside = np.zeros(len(chunk.captured_ns), bool)
    times_s = chunk.captured_ns / 1e9
    for span in chunk.spans:
        start_s, end_s = span.start_s - streams.TRANSITION_S, span.end_s + streams.TRANSITION_S
        inside |= (times_s >= start_s - 0.02) & (times_s < end_s)
    pose, right = (split(chunk.keypoints[~inside])[part] for part in ("pose", "right_hand"))
    assert inside.mean() < 0.6
    assert pose[:, LEFT_WRIST, 1] == pytest.approx(0.95, abs=6 * streams.JITTER) and not right.any()


def test_recorded_idleness_is_used_between_actions():
    chunk = whole([sequence("wave", seed=1), sequence("idle", frames=200, seed=5)])
    assert [span.label for span in chunk.spans] == ["wave"]
    recorded = sequence("idle", frames=200, seed=5).keypoints[:62]
    assert np.array_equal(chunk.keypoints[:62], recorded) and np.array_equal(chunk.keypoints[-62:], recorded)


def test_another_subject_comes_after_a_gap():
    chunk = whole([sequence("wave"), sequence("wave", subject="bert")])
    gaps = np.diff(chunk.captured_ns)
    assert sorted(set(gaps.tolist())) == [PERIOD_NS, PERIOD_NS + 10**9]
    assert len(chunk.spans) == 2


def test_the_same_seed_gives_the_same_stream():
    group = [sequence(label, seed=number) for number, label in enumerate(LABELS[1:] * 3)]
    one, same, other = (whole(group, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(one.keypoints, same.keypoints) and one.spans == same.spans
    assert [span.label for span in one.spans] != [span.label for span in other.spans]


def test_hands_without_a_pose_are_idle_out_of_view():
    alone = sequence("wave")
    alone.keypoints[:, SLICES["pose"]] = 0
    assert np.array_equal(idle_frames([alone]), np.zeros((1, SIZE)))


def test_a_session_among_single_sequences_is_joined_to_them():
    session = Session(["wave", "idle", "nod"], [30, 30, 30])
    chunk = whole([*session.cuts(), sequence("clap", seed=5)])
    assert sorted(span.label for span in chunk.spans) == ["clap", "nod", "wave"]
    assert len(chunk.keypoints) > 90 + 30 + 3 * 37


@pytest.mark.parametrize("step_ns", [1, 10**15])
def test_times_that_no_camera_has_fill_no_memory(step_ns: int):
    odd = sequence("wave")._replace(captured_ns=np.arange(30, dtype=np.int64) * step_ns)
    assert len(whole([odd, sequence("nod", frames=1)]).keypoints) < 20_000


def test_a_stream_of_decades_is_refused():
    odd = sequence("wave")._replace(captured_ns=np.arange(30, dtype=np.int64) * 3 * 10**17)
    with pytest.raises(UserError, match="'anna' last for decades"):
        whole([odd, odd])


def test_a_perfect_model_detects_every_action():
    group = [sequence(label, frames=40, seed=number) for number, label in enumerate(LABELS[1:] * 4)]
    idle = sequence("idle", frames=60)
    chunk = whole([*group, idle])
    scores = score_events(detected_in(chunk), chunk.spans, chunk.captured_ns[-1] / 1e9)
    assert scores.f1["0.5"] == 1.0 and scores.edit_score == 1.0 and scores.false_positives_per_minute == 0
    assert scores.start_latency is not None and 0.3 < scores.start_latency.p50 < 1.0


def test_it_detects_what_the_live_services_report(recording: list[Message]):
    live = [Windows(config.load()), Inference(config.load())]
    messages = recording
    for service in live:
        service.setup()
        messages = play(service, messages)
    actions = [m.header for m in messages if isinstance(m.header, Action) and m.header.event == "ended"]
    classifier = live[1]._classifier
    frames = [message for message in recording if message.array is not None]
    chunk = StreamChunk(np.array([m.header.captured_ns for m in frames]), np.stack([m.array for m in frames]), [])
    offline = pipeline.OfflinePipeline(classifier, classifier.card.labels, classifier.card.window)
    detections = pipeline.detect_actions(offline(chunk), classifier.card.decision, classifier.card.idle)
    assert detections
    assert [tuple(one.span) for one in detections] == [
        (action.label, pytest.approx(action.start_s), pytest.approx(action.end_s)) for action in actions
    ]
    started = [
        m.header
        for m in messages
        if isinstance(m.header, Action) and m.header.event == "started" and not m.header.end_of_stream
    ]
    assert [one.reported_s for one in detections] == [pytest.approx(action.captured_ns / 1e9) for action in started]


def test_a_pose_alone_counts_where_the_data_has_nothing_else():
    poses = sequence("wave", frames=40)
    poses.keypoints[:, SLICES["pose"].stop :] = 0
    parts = pipeline.parts_present([poses])
    assert (
        parts == ["pose"]
        and not pipeline.can_confirm_person(parts)
        and pipeline.can_confirm_person(pipeline.parts_present([sequence("wave")]))
    )
    predicted = {}
    for confirmed in (True, False):
        offline = pipeline.OfflinePipeline(read_number, LABELS, card().window, confirmed=confirmed)
        predicted[confirmed] = offline(whole([poses]))
    assert not any(prediction.probabilities for prediction in predicted[True])
    assert len(pipeline.detect_actions(predicted[False], card().decision, [])) == 1


def far_away() -> KeypointSequence:
    """Somebody whose legs are in view, and of whom neither face nor hands are found."""
    far = sequence("wave", frames=40)
    far.keypoints[:, SLICES["pose"].stop :] = 0
    split(far.keypoints)["pose"][:, LEFT_ANKLE, 3] = 0.9
    return far


@pytest.mark.parametrize(("parts", "is_seen"), [(("pose", "joint_angles"), True), (("pose", "hands"), False)])
def test_somebody_far_away_is_there_live_for_a_model_of_the_body(tmp_path: Path, parts: tuple[Part], is_seen: bool):
    far, model = far_away(), card(features=Features(kind="body", parts=parts))
    (tmp_path / CARD).write_bytes(msgspec.json.encode(model))
    stage = Windows(config.load(sets=[f"inference.model={tmp_path}"]))
    stage.setup()
    frames = enumerate(zip(far.captured_ns.tolist(), far.keypoints, strict=True))
    sent = [
        Message(Keypoints(stream="cam", seq=n, captured_ns=ns, ingested_ns=0), vector) for n, (ns, vector) in frames
    ]
    present = [header.person_ratio for header, _ in play(stage, sent) if header.filled == header.length]
    assert present == [float(is_seen)] * 31


def test_somebody_far_away_is_there_on_a_stream_for_a_model_of_the_body():
    near = sequence("nod", frames=40, subject="bea")  # whose hands the data have
    labels = {}
    for body in (True, False):
        ground_truth, predictions = simulate_stream(
            read_number, LABELS, LABELS[:1], card().window, [far_away(), near], whole_body=body, stride=1, seed=0
        )
        labels[body] = [one.span.label for one in pipeline.detect_actions(predictions, card().decision, LABELS[:1])]
        assert [span.label for span in ground_truth] == ["wave", "nod"]
    assert labels == {True: ["wave", "nod"], False: ["nod"]}


def test_a_gap_ends_an_action():
    one, other = sequence("wave", frames=40), sequence("wave", frames=40, start_ns=10**10)
    both = StreamChunk(
        np.concatenate([one.captured_ns, other.captured_ns]), np.concatenate([one.keypoints, other.keypoints]), []
    )
    assert [one.span.label for one in detected_in(both)] == ["wave", "wave"]
    assert pipeline.detect_actions([], card().decision, []) == []


def test_a_detection_has_the_final_full_label():
    labels = ["idle", "clap", "push up/right", "push up/wrong"]
    seen = [("push up/right", 20), ("push up/wrong", 60), ("idle", 40), ("push up/right", 40), ("idle", 40)]
    predicted = [{label: float(label == now) for label in labels} for now, frames in seen for _ in range(frames)]
    predictions = [pipeline.FramePrediction(0.04 * n + 0.2, 0.04 * n, row) for n, row in enumerate(predicted)]
    detections = pipeline.detect_actions(predictions, card().decision, ["idle"])
    assert [one.span.label for one in detections] == ["push up/wrong", "push up/right"]


def test_a_perfect_model_of_labels_with_verdicts_detects_every_action():
    levels = dict(zip(LABELS, ["idle", "clap", "push up/right", "push up/wrong"], strict=True))
    group = [sequence(label, frames=40, seed=number) for number, label in enumerate(LABELS[1:] * 3)]
    chunk = whole([one._replace(label=levels[one.label]) for one in [*group, sequence("idle", frames=60)]])
    offline = pipeline.OfflinePipeline(read_number, list(levels.values()), card().window)
    detections = pipeline.detect_actions(offline(chunk), card().decision, ["idle"])
    assert score_events(detections, chunk.spans, chunk.captured_ns[-1] / 1e9).f1["0.5"] == 1.0
    assert {one.span.label for one in detections} == {"clap", "push up/right", "push up/wrong"}


def test_a_stride_leaves_windows_out():
    offline = pipeline.OfflinePipeline(read_number, LABELS, card().window, stride=5)
    predictions = [one for one in offline(whole([sequence("wave")])) if one.probabilities is not None]
    assert np.diff([prediction.captured_s for prediction in predictions]) == pytest.approx(0.2)


def test_test_card_sessions_are_found_in_a_data_set(recording: list[Message], tmp_path: Path):
    """As data.testcard cuts them, written and read again."""
    from common.recording.dataset_writer import DatasetWriter
    from common.video.testcard import schedule
    from data.extraction.testcard import MARGIN_S

    frames = [message for message in recording if message.array is not None]
    times = np.array([message.header.captured_ns for message in frames])
    keypoints, segments = np.stack([message.array for message in frames]), schedule(0, 12.0)
    with DatasetWriter(tmp_path / "cards") as collection:
        for number, (label, start_s, end_s) in enumerate(segments):
            inside = (times >= (start_s - MARGIN_S) * 1e9) & (times < (end_s + MARGIN_S) * 1e9)
            cut = KeypointSequence(label, keypoints[inside], times[inside], "card-0", "testcard", 25.0)
            collection.add(f"{number:03d}", cut)
    chunk = whole(dataset.read(tmp_path / "cards"), ["rest"])
    expected = [Span(*segment) for segment in segments if segment.label != "rest"]
    assert np.array_equal(chunk.captured_ns, times)
    assert f1(chunk.spans, expected, 0.95)[0] == 1.0
