"""Export a model to a runtime without TensorFlow.

    python -m models.export pretrained/testcard --to tflite

Writes pretrained/testcard-tflite, after comparing the predictions of both for windows of --data, else of the test card.
--float16 stores weights in 16 bits. 8 bits are too few for raw keypoints, which move by hundredths of the frame: they
gave another label for 66 % of the test card's windows.
"""

import argparse
import io
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from common.errors import UserError, command
from common.quiet import quiet
from common.recognition.classifier import WEIGHTS, Classifier, WindowSpec, read_card
from common.recording.sequence import KeypointSequence
from data import dataset
from data.extraction.testcard import record
from models.simulation import pipeline
from models.storage.folder import new_model_folder, write_card

STRIDE: Final = 3  # frames between two windows that are compared
OPSET: Final = 17  # of ONNX: known to runtimes since 2022
MIN_AGREEMENT: Final = 0.98  # of labels: where confidence is low, the exported network may differ
SEED, SECONDS = 1, 8.0  # of the test card: idleness and two movements


class Comparison(NamedTuple):
    """The predictions of an exported model against the original's."""

    windows: int
    difference: float  # the largest, of two probabilities
    agreement: float  # ratio of windows with the same label


def export(source: Path, target: Path, kind: str, float16: bool, data: Path | None) -> Comparison:
    """Write the model folder `target`; raises UserError, also where the predictions of both differ."""
    card = read_card(source)
    if not (source / WEIGHTS).is_file():
        raise UserError(f"{source} has no {WEIGHTS}: only these weights can be exported.")
    windows = cut(dataset.read(data) if data else record(SEED, SECONDS), card.window)
    original = Classifier(source)(windows)
    with new_model_folder(target) as draft:
        try:
            with quiet(), redirect_stdout(io.StringIO()):  # whatever is wrong is raised
                WRITERS[kind](source / WEIGHTS, draft / f"model.{kind}", float16)
        except ModuleNotFoundError as error:
            raise UserError(f"Exporting to {kind} needs the package {error.name}: install it.") from error
        except Exception as error:  # converters raise whatever they like
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(f"{source} cannot be exported to {kind}: {reason}") from error
        write_card(draft, msgspec.structs.replace(card, data=card.data | {"exported_from": source.name}))
        comparison = compare(original, Classifier(draft)(windows))
        if comparison.agreement < MIN_AGREEMENT:
            raise UserError(
                f"{source} as {kind} predicts another label for {1 - comparison.agreement:.0%} of the windows: use "
                "another format."
            )
    return comparison


def cut(sequences: list[KeypointSequence], shape: WindowSpec) -> NDArray[np.float32]:
    """Cut all windows (n, length, 1662), as the live windows stage does; raises UserError if there are none."""
    windows = [window for sequence in sequences for window in pipeline.live_windows(sequence, shape, STRIDE)]
    if not windows:
        raise UserError(f"No sequence has the {shape.length} frames of a window: choose other --data to compare on.")
    return np.stack(windows)


def compare(original: NDArray[np.float32], exported: NDArray[np.float32]) -> Comparison:
    """Compare probabilities (n, labels) of the same windows."""
    same = original.argmax(axis=1) == exported.argmax(axis=1)
    return Comparison(len(original), float(np.abs(original - exported).max()), float(same.mean()))


def _to_tflite(weights: Path, target: Path, float16: bool) -> None:
    """Convert to LiteRT; recurrent layers are unrolled, to run several windows at once: 0.3 ms each instead of 0.9."""
    import tensorflow as tf

    from common.recognition.fast_lstm import accelerated

    model = accelerated(tf.keras.models.load_model(weights, compile=False), unroll=True)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if float16:
        converter.optimizations, converter.target_spec.supported_types = [tf.lite.Optimize.DEFAULT], [tf.float16]
    target.write_bytes(converter.convert())


def _to_onnx(weights: Path, target: Path, float16: bool) -> None:
    """Convert to ONNX, from Keras' own layers, which become LSTM and GRU of ONNX."""
    import tensorflow as tf
    import tf2onnx

    model = tf.keras.models.load_model(weights, compile=False)
    function = tf.function(lambda windows: model(windows, training=False))
    signature = (tf.TensorSpec((None, *model.input_shape[1:]), name="windows"),)
    exported, _ = tf2onnx.convert.from_function(function, signature, opset=OPSET)
    if float16:
        _to_float16(exported.graph)
    target.write_bytes(exported.SerializeToString())


def _to_float16(graph: Any) -> None:
    """Store the weights of an ONNX graph in 16 bits; a runtime converts them to 32 when it loads them."""
    from onnx import TensorProto, helper, numpy_helper

    for weights in [one for one in graph.initializer if one.data_type == TensorProto.FLOAT and len(one.dims) > 1]:
        name, stored = weights.name, numpy_helper.to_array(weights).astype(np.float16)
        weights.CopyFrom(numpy_helper.from_array(stored, f"{name}_16"))
        graph.node.insert(0, helper.make_node("Cast", [weights.name], [name], to=TensorProto.FLOAT))


WRITERS: Final[dict[str, Any]] = {"tflite": _to_tflite, "onnx": _to_onnx}


def main() -> None:
    """Parse the command line and run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m models.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model folder with .keras weights")
    parser.add_argument("--to", required=True, choices=WRITERS, help="tflite (LiteRT) or onnx (onnxruntime)")
    parser.add_argument("--float16", action="store_true", help="store weights in 16 bits: half the size")
    parser.add_argument("--out", type=Path, help="the model folder to write (MODEL-tflite, MODEL-onnx)")
    parser.add_argument("--data", type=Path, help="data set to compare on (the test card)")
    args = parser.parse_args()
    target = args.out or args.model.with_name(f"{args.model.name}-{args.to}")
    with command("Interrupted: nothing was written."):
        comparison = export(args.model, target, args.to, args.float16, args.data)
    print(
        f"{target}: on {comparison.windows} windows probabilities differ by at most {comparison.difference:.2g}, "
        f"labels agree on {comparison.agreement:.1%}."
    )


if __name__ == "__main__":
    main()
