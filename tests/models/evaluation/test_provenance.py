"""Whether a model can be judged by some data, and what one is told to bear in mind."""

import pytest

from common.errors import UserError
from common.keypoints.landmarks import SLICES
from models.evaluation.provenance import cautions, check_labels, digest, fingerprint
from tests.models.people import card, sequence

SEQUENCES = [sequence("wave", seed=1), sequence("nod", seed=2, subject="bert")]


def about(*words: str, **data: object) -> None:
    said = cautions(card(data=data), SEQUENCES)
    assert len(said) == len(words), said
    assert all(word in sentence for word, sentence in zip(words, said, strict=True))


def test_strangers_need_no_caution():
    about(recorders=["carl"], sha256="", fingerprints=["0" * 12])
    about()  # a card that says nothing of its data


def test_shared_recorders_and_sequences_are_told():
    about("trained on anna, of 2 recorders", recorders=["anna", "carl"])
    about("best epoch was chosen by bert", recorders=["carl", "bert"], recorders_held_out=["bert"])
    about("1 of the 2 sequences", fingerprints=[fingerprint(SEQUENCES[1])])
    about("this very data set", sha256=digest(SEQUENCES), fingerprints=[fingerprint(one) for one in SEQUENCES])


def test_a_sequence_is_known_under_another_label():
    assert fingerprint(SEQUENCES[0]._replace(label="nod", subject="x", fps=30.0)) == fingerprint(SEQUENCES[0])
    assert fingerprint(SEQUENCES[0]) != fingerprint(SEQUENCES[1])


def test_the_digest_knows_labels_numbers_times_and_order():
    first, second = SEQUENCES
    others = [
        first._replace(label="nod"),
        first._replace(keypoints=first.keypoints + 1),
        first._replace(captured_ns=first.captured_ns + 1),
    ]
    digests = [digest([one, second]) for one in (first, *others)] + [digest([second, first])]
    assert len(set(digests)) == 5 and digests[0] == digest(iter(SEQUENCES))


def test_what_limits_the_judgement_is_told():
    unknown = [one._replace(subject="unknown", label="wave") for one in SEQUENCES]
    said = " ".join(cautions(card(idle=[]), unknown))
    assert "does not say who" in said and "one label, 'wave'" in said and "no idle label" in said
    poses = [one._replace(keypoints=one.keypoints.copy()) for one in SEQUENCES]
    for one in poses:
        one.keypoints[:, SLICES["pose"].stop :] = 0
    said = cautions(card(data={"parts": ["pose", "left_hand"]}), poses)
    assert "trained with left hand, which no frame" in said[0] and "has pose alone" in said[1]


@pytest.mark.parametrize("data", [{"recorders": 5}, {"fingerprints": [1]}, {"sha256": None}])
def test_a_card_that_was_edited_badly_is_told(data: dict[str, object]):
    with pytest.raises(UserError, match="card says of its data cannot be read: Expected"):
        cautions(card(data=data), SEQUENCES)


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
def test_labels_that_the_model_does_not_know_are_refused_naming_both(data: list[str], model: list[str], words: str):
    with pytest.raises(UserError) as refused:
        check_labels(data, model)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_fewer_labels_than_the_model_knows_will_do():
    check_labels(["nod"], ["nod", "wave"])
