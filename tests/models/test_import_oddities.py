"""Importing networks of unusual shapes and layouts: what is converted, and the errors of the rest."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tensorflow as tf
from onnx import TensorProto, helper, numpy_helper

from common.errors import UserError
from common.keypoints.features import Features, features
from common.keypoints.landmarks import SLICES
from common.recognition.classifier import Classifier
from models.storage.importer import import_model
from tests.models.test_import_model import LABELS, LENGTH, NUMBERS, THEIRS, WINDOWS, as_keras_2, network, renamed, save
from tests.pipeline import ROOT

layers, ops = tf.keras.layers, tf.keras.ops
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:20d59d27\nsize 7330073\n"


def imported(file: Path, length: int | None = None, layout: tuple[Any, ...] = ()) -> Classifier:
    import_model(file, file.with_name("imported"), LABELS, [], None, length, layout)
    return Classifier(file.with_name("imported"))


def refusal(file: Path, **options: Any) -> str:
    """The error, one sentence that names the file; nothing is left behind."""
    before = set(file.parent.iterdir())
    with pytest.raises(UserError) as error:
        imported(file, **options)
    assert "\n" not in str(error.value) and str(file) in str(error.value)
    assert set(file.parent.iterdir()) == before
    return str(error.value)


def masked(frames: Any) -> Any:
    return layers.GRU(4)(layers.LSTM(4, return_sequences=True)(layers.Masking()(frames)))


def attending(frames: Any) -> Any:
    seen = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(layers.Masking()(frames))
    seen = layers.LayerNormalization()(layers.Add()([seen, layers.MultiHeadAttention(2, 4)(seen, seen)]))
    return layers.Concatenate()([layers.GlobalAveragePooling1D()(seen), layers.GlobalMaxPooling1D()(seen)])


def weighted(frames: Any) -> Any:
    """Attention as many write it, of layers that Keras has."""
    seen = layers.Bidirectional(layers.GRU(4, return_sequences=True))(layers.Masking()(frames))
    weights = layers.Activation("softmax")(layers.Permute((2, 1))(layers.Dense(1, activation="tanh")(seen)))
    return layers.Flatten()(layers.Dot(axes=(2, 1))([weights, seen]))


def arithmetic(frames: Any) -> Any:
    """With operations that have the names of layers, and a mask without a layer that makes it."""
    moved = (frames[:, 1:] - frames[:, :-1]) * 2.0 + ops.ones((LENGTH - 1, 1))
    return layers.LSTM(4)(moved, mask=ops.any(ops.not_equal(frames[:, 1:], 0), axis=-1)) + 0.5


def scored(frames: Any, make: Callable[..., Any], mask: bool = True) -> Any:
    seen = layers.GRU(4, return_sequences=True)(layers.Masking()(frames) if mask else frames)
    return layers.GlobalAveragePooling1D()(make()([seen, seen]))


def nested(frames: Any) -> Any:
    inner = tf.keras.Sequential([layers.Input((LENGTH, NUMBERS)), layers.Masking()])
    return layers.LSTM(4)(inner(frames))


SUPPORTED = [
    *(masked, attending, weighted, arithmetic, nested),
    lambda frames: scored(frames, layers.Attention),
    lambda frames: scored(frames, layers.Attention, mask=False),
    lambda frames: scored(frames, layers.AdditiveAttention),
]


@pytest.mark.filterwarnings("ignore:.*HDF5 file", "ignore:.*was passed an input with a mask")
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("body", SUPPORTED)
def test_functional_networks_with_masks_and_known_layers_are_imported(
    tmp_path: Path, body: Callable[[Any], Any], suffix: str
):
    frames = layers.Input((LENGTH, NUMBERS))
    model = tf.keras.Model(frames, layers.Dense(3, activation="softmax")(body(frames)))
    classify = imported(save(model, tmp_path / f"model{suffix}"))
    np.testing.assert_allclose(classify(WINDOWS), model(THEIRS), atol=1e-5)


@pytest.mark.parametrize(
    ("own", "named"),
    [
        ({"class_name": "AttentionLayer", "module": None, "registered_name": "AttentionLayer"}, "AttentionLayer 'lstm"),
        ({"class_name": "LSTM", "module": "os", "registered_name": "mine>LSTM"}, "LSTM 'lstm"),
        ({"class_name": "Map", "module": "keras.src.ops.core"}, "Map 'lstm"),
        ({"class_name": "np", "module": "keras.src.ops.numpy"}, "np 'lstm"),
        ({"class_name": "Operation", "module": "keras.src.ops.nn"}, "Operation 'lstm"),
    ],
)
def test_a_custom_layer_is_named_and_those_of_keras_are_not(tmp_path: Path, own: dict[str, Any], named: str):
    model = network(layers.Masking(), layers.LSTM(4))
    functional = tf.keras.Model(model.inputs, model.outputs)
    functional.compile("adam", "categorical_crossentropy")
    message = refusal(save(functional, tmp_path / "model.keras", renamed("LSTM", own)))
    assert f"model.keras contains {named}" in message
    assert " and " not in message.split(":")[0] and "NotEqual" not in message and "Adam" not in message


def ends_in(layer: Any, last: str = "softmax", inputs: int = 1, numbers: int = NUMBERS) -> Any:
    """A network with several ends: a windows' row for each of the layers."""
    frames = [layers.Input((LENGTH, numbers), name=f"part_{number}") for number in range(inputs)]
    seen = layer(frames[0] if inputs == 1 else layers.Concatenate()(frames))
    return tf.keras.Model(frames, seen)


def every_second(seen: Any) -> Any:
    return layers.Dense(3, activation="softmax")(layers.Conv1D(4, 2, strides=2)(seen))


def two(seen: Any) -> list[Any]:
    return [layers.Dense(3, name="sign")(layers.LSTM(4)(seen)), layers.Dense(2, name="verdict")(layers.LSTM(4)(seen))]


@pytest.mark.filterwarnings("ignore:.*HDF5 file")
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_network_trained_in_16_bits_is_imported_in_32(tmp_path: Path, suffix: str, policy: str):
    def as_keras_2(described: Any) -> Any:
        return json.loads(json.dumps(described).replace('"DTypePolicy"', '"Policy"'))

    frames = layers.Input((LENGTH, NUMBERS))
    seen = layers.LSTM(4, return_sequences=True, dtype=policy)(layers.Masking(dtype=policy)(frames))
    seen = layers.LSTM(4, dtype=policy)(layers.Dense(4, dtype=policy)(seen))
    model = tf.keras.Model(frames, layers.Dense(3, activation="softmax", dtype=policy)(seen))
    classify = imported(save(model, tmp_path / f"model{suffix}", as_keras_2 if suffix == ".h5" else lambda same: same))
    rows = classify(WINDOWS)
    assert rows.dtype == np.float32 and rows.sum(axis=1) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(rows, tf.cast(model(THEIRS), tf.float32), atol=0.02)


def test_a_network_that_does_not_run_is_refused_by_the_name_of_its_file(tmp_path: Path):
    write_onnx(tmp_path / "model.onnx", ["n", "frames", NUMBERS], {"sign": ["n", 3]})
    model = onnx.load(tmp_path / "model.onnx")
    fixed = helper.make_node("Reshape", ["in_0", "shape"], ["thirty"])
    model.graph.initializer.append(numpy_helper.from_array(np.array([-1, 30, NUMBERS]), "shape"))
    model.graph.node.insert(0, fixed)
    model.graph.node[1].input[0] = "thirty"
    onnx.save(model, tmp_path / "model.onnx")
    message = refusal(tmp_path / "model.onnx", length=LENGTH)
    assert "cannot be loaded: " in message and ".part" not in message


def single_rows() -> Any:
    return tf.keras.Sequential([layers.Input((42,)), layers.Dense(3, activation="softmax")])


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (
            lambda: network(layers.LSTM(4, return_sequences=True)),
            "labels every frame .*of 126 numbers.* of 6 frames",
        ),
        (
            lambda: network(layers.LSTM(4, return_sequences=True), length=None),
            "labels every frame .* of any length",
        ),
        (lambda: ends_in(every_second), "labels every frame .*of 126 numbers.* of 6 frames"),
        (lambda: ends_in(layers.LSTM(3), inputs=2), r"takes 2 arrays \(part_0 \(6, 126\), part_1 \(6, 126\)\): join"),
        (lambda: ends_in(two), r"returns 2 arrays \(.*\(3,\), .*\(2,\)\)"),
        (lambda: ends_in(layers.LSTM(1, activation="sigmoid")), r"returns \(1,\) numbers a window"),
        (single_rows, r"takes single rows of numbers \(None, 42\), not windows"),
    ],
)
def test_an_unusual_network_is_refused_with_its_reason(tmp_path: Path, made: Callable[[], Any], words: str):
    message = refusal(save(made(), tmp_path / "model.keras"))
    assert re.search(words, message), message


def test_a_network_that_cannot_run_says_why(tmp_path: Path):
    def change(described: Any) -> Any:
        described["config"]["layers"][-1]["config"]["activation"] = "of_mine"
        return described

    message = refusal(save(network(layers.LSTM(4)), tmp_path / "model.keras", change))
    assert "cannot be read as a network" in message and "of_mine" in message


def any_size(described: Any) -> Any:
    """Remove the window's shape, as Keras 2 saved networks that were built without one."""
    if isinstance(described, list):
        return [any_size(one) for one in described]
    if not isinstance(described, dict):
        return described
    return {key: [None] * 3 if key.startswith("batch") else any_size(value) for key, value in described.items()}


@pytest.mark.filterwarnings("ignore:.*HDF5 file")
def test_a_network_for_frames_of_any_size_needs_a_layout(tmp_path: Path):
    tagger = save(network(layers.LSTM(4, return_sequences=True)), tmp_path / "tagger.h5", as_keras_2)
    save(network(layers.LSTM(4, return_sequences=True)), tagger, lambda one: any_size(as_keras_2(one)))
    message = refusal(tagger)
    assert "labels every frame" in message and "frames of any size, in windows of any length" in message
    model = network(layers.LSTM(4))
    file = save(model, tmp_path / "model.h5", lambda one: any_size(as_keras_2(one)))
    assert "frames of any size: name their parts by --layout" in refusal(file, length=LENGTH)
    assert "any number of frames: give their number by --window-length" in refusal(file, layout=("hands",))
    assert "cannot be read as a network" in refusal(file, layout=("pose",), length=LENGTH)
    np.testing.assert_allclose(imported(file, LENGTH, ("hands",))(WINDOWS), model(THEIRS), atol=1e-5)


@pytest.mark.parametrize(
    "layout",
    [("right_hand", "left_hand"), ("left_hand", "right_hand"), ("hands", "pose"), ("right_hand",), ("pose", "face")],
)
def test_a_layout_names_the_parts_of_a_frame(tmp_path: Path, layout: tuple[Any, ...]):
    of_part = {"hands": ("left_hand", "right_hand")}
    parts = [one for part in layout for one in of_part.get(part, (part,))]
    theirs = np.concatenate([WINDOWS[..., SLICES[part]] for part in parts], axis=-1)
    model = network(layers.LSTM(4), numbers=theirs.shape[-1])
    classify = imported(save(model, tmp_path / "model.keras"), layout=layout)
    np.testing.assert_allclose(classify(WINDOWS), model(theirs), atol=1e-5)
    assert classify.card.features == Features(kind="raw", parts=layout)


def test_a_layout_of_other_numbers_than_the_network_takes_is_refused(tmp_path: Path):
    file = save(network(layers.LSTM(4), numbers=132), tmp_path / "model.keras")
    assert "takes frames of 132 numbers, but --layout names parts of 126" in refusal(file, layout=("hands",))
    file = save(network(layers.LSTM(4), numbers=63), tmp_path / "model.keras")
    assert "63 numbers; known are 1662, 258, 132, 126, and what --layout can name: pose (132)" in refusal(file)


def run_command(file: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    out = file.with_name("out")
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "models.import_model", file, "--labels", "a,b,c", "--out", out, *more]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_command_prints_the_parts_of_a_frame(tmp_path: Path):
    file = save(network(layers.LSTM(4), numbers=132), tmp_path / "model.keras")
    guessed, said = run_command(file), run_command(file, "--layout", "pose")
    assert (guessed.returncode, guessed.stderr, said.returncode, said.stderr) == (0, "", 0, "")
    one, other = guessed.stdout.splitlines()[1], said.stdout.splitlines()[1]
    assert one == "parts of a frame's vector: pose (132) (detected by size; use --layout if they are others)"
    assert other == "parts of a frame's vector: pose (132)"


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        ("pose,feet", "'feet' is none of pose, face, hands, left_hand, right_hand"),
        ("pose,pose", "pose,pose names the same numbers twice"),
        ("left_hand,hands", "left_hand,hands names the same numbers twice"),
    ],
)
def test_the_command_refuses_a_layout_that_cannot_be(tmp_path: Path, layout: str, words: str):
    strange = run_command(tmp_path / "model.keras", "--layout", layout)
    assert strange.returncode == 2 and words in strange.stderr


@pytest.mark.parametrize("suffix", [".h5", ".keras", ".onnx", ".tflite", ".pt"])
def test_a_pointer_in_place_of_a_model_is_recognised(tmp_path: Path, suffix: str):
    (tmp_path / f"model{suffix}").write_text(POINTER)
    assert "is a Git LFS pointer, not the file itself: run git lfs pull" in refusal(tmp_path / f"model{suffix}")


@pytest.mark.parametrize("suffix", [".keras", ".tflite", ".onnx", ".skops"])
def test_a_pointer_in_place_of_weights_is_recognised(tmp_path: Path, suffix: str):
    shutil.copy(ROOT / "pretrained/testcard/card.json", tmp_path)
    (tmp_path / f"model{suffix}").write_text(POINTER)
    with pytest.raises(UserError, match=rf"model\{suffix} is a Git LFS pointer"):
        Classifier(tmp_path)


def write_onnx(path: Path, window: list[Any], outputs: dict[str, list[Any]], inputs: int = 1) -> np.ndarray:
    """A network whose outputs are all the same Softmax of all frames, by the shapes they are declared with."""
    rows = len(next(iter(outputs.values()))) == 2
    kernel = np.random.default_rng(1).normal(size=(NUMBERS, 3)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["in_0", "kernel"], ["sums"])]
    nodes.append(helper.make_node("ReduceMax", ["sums"], ["row"], axes=[1], keepdims=0))
    for name, shape in outputs.items():
        nodes.append(helper.make_node("Softmax", ["row" if rows and len(shape) == 2 else "sums"], [name], axis=-1))
    sources = [helper.make_tensor_value_info(f"in_{one}", TensorProto.FLOAT, window) for one in range(inputs)]
    targets = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()]
    graph = helper.make_graph(nodes, "net", sources, targets, [numpy_helper.from_array(kernel, "kernel")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return kernel


def test_odd_onnx_files_are_described(tmp_path: Path):
    file, window = tmp_path / "model.onnx", ["n", LENGTH, NUMBERS]
    write_onnx(file, ["n", "frames", "numbers"], {"tags": ["n", "frames", 3]})
    assert "labels every frame" in (message := refusal(file)) and "any size, in windows of any length" in message
    write_onnx(file, window, {"row": ["n", 3]}, inputs=2)
    assert "takes 2 arrays (in_0 (6, 126), in_1 (6, 126))" in refusal(file)
    write_onnx(file, window, {"sign": ["n", 3], "verdict": ["n", 3]})
    assert "returns 2 arrays (sign (3,), verdict (3,))" in refusal(file)
    write_onnx(file, ["n", LENGTH, "numbers"], {"sign": ["n", 3]})
    assert "frames of any size: name their parts by --layout" in refusal(file)


def test_the_rows_of_an_onnx_file_are_found_among_its_states_and_sizes(tmp_path: Path):
    file = tmp_path / "model.onnx"
    kernel = write_onnx(file, ["n", LENGTH, "numbers"], {"sign": ["n", 3], "states": ["n", LENGTH, 3]})
    expected = tf.nn.softmax((THEIRS @ kernel).max(axis=1))
    np.testing.assert_allclose(imported(file, layout=("hands",))(WINDOWS), expected, atol=1e-5)


def test_models_that_others_have(shared: Path, tmp_path: Path):
    cases, out = shared / "cases", tmp_path / "out"
    for name, words in (
        ("masking_attention.keras", "contains AttentionLayer 'attention_layer': only"),
        ("frame_tagger.h5", "labels every frame"),
        ("frame_tagger.h5", "frames of any size, in windows of any length"),
        ("lfs_pointer.onnx", "is a Git LFS pointer"),
    ):
        with pytest.raises(UserError, match=words):
            import_model(cases / name, out, ["a", "b"], [], None, None)
    twenty = [f"sign {number}" for number in range(20)]
    with pytest.raises(UserError, match="132 numbers, but --layout names parts of 126"):
        import_model(cases / "hands_of_132.keras", out, twenty, [], None, None, ("hands",))
    assert import_model(cases / "hands_of_132.keras", out, twenty, [], None, None).features.parts == ("pose",)
    assert features(WINDOWS, Classifier(out).card.features).shape[-1] == 132
