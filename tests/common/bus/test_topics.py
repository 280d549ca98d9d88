"""The table of topics: complete, consistent, and no stream matches another."""

from unittest import mock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.bus import messages
from common.bus.errors import BusError
from common.bus.messages import Action, Header
from common.bus.topics import TOPIC_OF, TOPICS, Topic, add_topic, topic_prefix
from common.keypoints.landmarks import SIZE

ROWS = list(TOPICS.values())
NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", fullmatch=True)


def header(kind: type[Header], stream: str) -> Header:
    return kind(stream=stream, seq=0, captured_ns=0, ingested_ns=0)


def test_every_header_type_has_one_topic_and_every_topic_a_header_type() -> None:
    kinds = {kind for kind in vars(messages).values() if isinstance(kind, type) and issubclass(kind, Header)}
    assert {row.header for row in ROWS} == kinds - {Header}
    assert len(TOPIC_OF) == len(TOPICS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_is_complete(row: Topic) -> None:
    assert row.publisher and row.hwm > 0
    assert row.shape is None or row.shape[-1] in (3, SIZE)
    assert row.dtype in ("<f4", "u1")
    assert header(row.header, "cam").protocol == 1
    assert all(not f.required for f in msgspec.structs.fields(row.header)[4:])  # older writers are still read


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_cam1_does_not_match_cam10(row: Topic) -> None:
    one, ten = topic_prefix(header(row.header, "cam1")), topic_prefix(header(row.header, "cam10"))
    assert one == f"{row.name}/cam1/".encode()
    assert not ten.startswith(one)


@given(st.sampled_from(ROWS), st.sampled_from(ROWS), NAMES, NAMES)
def test_no_prefix_begins_with_another(row: Topic, other: Topic, stream: str, other_stream: str) -> None:
    first, second = topic_prefix(header(row.header, stream)), topic_prefix(header(other.header, other_stream))
    assert second.startswith(first) == (first == second) == ((row, stream) == (other, other_stream))


class Lamp(Header, kw_only=True, frozen=True):
    """What a consumer publishes."""


def test_a_topic_can_be_added_and_added_again() -> None:
    with mock.patch.dict(TOPICS), mock.patch.dict(TOPIC_OF):
        for _ in range(2):
            add_topic("lamp", Lamp)
        assert TOPICS["lamp"] is TOPIC_OF[Lamp]
        assert topic_prefix(header(Lamp, "cam")) == b"lamp/cam/"
        with pytest.raises(BusError, match="lamp cannot carry Action"):
            add_topic("lamp", Action)
        with pytest.raises(BusError, match="lights cannot carry Lamp"):
            add_topic("lights", Lamp)


@pytest.mark.parametrize("name", ["action", "", "a/b", ".a", "a b"])
def test_a_topic_of_another_or_of_no_name_is_refused(name: str) -> None:
    with pytest.raises(BusError, match="cannot"):
        add_topic(name, Lamp)
    assert Lamp not in TOPIC_OF
