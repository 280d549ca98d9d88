"""Whether a model can be evaluated on data, and the warnings of leakage and other limits."""

import pytest

from common.errors import UserError
from common.keypoints.landmarks import SLICES
from models.evaluation.provenance import check_labels, digest, fingerprint, warnings
from tests.models.people import card, sequence

SEQUENCES = [sequence("wave", seed=1), sequence("nod", seed=2, subject="bert")]


def expect_warnings(*words: str, **data: object) -> None:
    said = warnings(card(data=data), SEQUENCES)
    assert len(said) == len(words), said
    assert all(word in sentence for word, sentence in zip(words, said, strict=True))


def test_new_subjects_need_no_warning():
    expect_warnings(subjects=["carl"], sha256="", fingerprints=["0" * 12])
    expect_warnings()  # a card that says nothing of its data


def test_shared_subjects_and_sequences_are_warned_of():
    expect_warnings("trained on recordings of anna, of 2 subjects", subjects=["anna", "carl"])
    expect_warnings(
        "best epoch was chosen by recordings of bert", subjects=["carl", "bert"], validation_subjects=["bert"]
    )
    expect_warnings("1 of the 2 sequences", fingerprints=[fingerprint(SEQUENCES[1])])
    expect_warnings(
        "Data leakage: the model was trained on this data set",
        sha256=digest(SEQUENCES),
        fingerprints=[fingerprint(one) for one in SEQUENCES],
    )


def test_a_sequence_is_recognised_under_another_label():
    assert fingerprint(SEQUENCES[0]._replace(label="nod", subject="x", fps=30.0)) == fingerprint(SEQUENCES[0])
    assert fingerprint(SEQUENCES[0]) != fingerprint(SEQUENCES[1])


def test_the_digest_depends_on_labels_numbers_times_and_order():
    first, second = SEQUENCES
    others = [
        first._replace(label="nod"),
        first._replace(keypoints=first.keypoints + 1),
        first._replace(captured_ns=first.captured_ns + 1),
    ]
    digests = [digest([one, second]) for one in (first, *others)] + [digest([second, first])]
    assert len(set(digests)) == 5 and digests[0] == digest(iter(SEQUENCES))


def test_limits_of_the_data_are_warned_of():
    unknown = [one._replace(subject="unknown", label="wave") for one in SEQUENCES]
    said = " ".join(warnings(card(idle=[]), unknown))
    assert "does not name its subjects" in said and "one label, 'wave'" in said and "no idle label" in said
    poses = [one._replace(keypoints=one.keypoints.copy()) for one in SEQUENCES]
    for one in poses:
        one.keypoints[:, SLICES["pose"].stop :] = 0
    said = warnings(card(data={"parts": ["pose", "left_hand"]}), poses)
    assert "trained with left hand, which no frame" in said[0] and "has pose only" in said[1]


@pytest.mark.parametrize("data", [{"subjects": 5}, {"fingerprints": [1]}, {"sha256": None}])
def test_a_card_with_invalid_data_is_refused(data: dict[str, object]):
    with pytest.raises(UserError, match="`data` of the model's card cannot be read: Expected"):
        warnings(card(data=data), SEQUENCES)


@pytest.mark.parametrize(
    ("data", "model", "words"),
    [
        (["Wave"], ["nod", "wave"], "The data says 'Wave' where the model says 'wave'"),
        (["über"], ["nod", "u\u0308ber"], "agree to the letter"),
        (["wave "], ["nod", "wave"], "agree to the letter"),
        (["jump", "wave"], ["nod", "wave"], "does not know, 'jump'; it knows 'nod', 'wave'"),
        ([f"l{number}" for number in range(9)], ["a", "b"], "'l5' and 3 more; it knows 'a', 'b'"),
    ],
)
def test_labels_unknown_to_the_model_are_refused_naming_both(data: list[str], model: list[str], words: str):
    with pytest.raises(UserError) as refused:
        check_labels(data, model)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_fewer_labels_than_the_model_has_are_accepted():
    check_labels(["nod"], ["nod", "wave"])
