"""Load networks of four formats to run on the CPU: Keras, LiteRT, ONNX and skops."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.lfs import refuse_pointer
from common.quiet import quiet, quiet_tensorflow

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]

BATCH: Final = 8  # windows run at once if several wait: 0.34 ms each instead of 0.75
XLA_BATCH: Final = 32  # also for .keras: 64 windows take 22 ms in two of these, 29 ms in eight of BATCH
SKOPS_BATCH: Final = 64  # in a forest one window takes nearly as long as all of these
SKOPS_TRUSTED: Final = (  # types of scikit-learn that skops does not trust by default; none of them runs code
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
)


class Network(NamedTuple):
    """A network that is ready to run, on one thread, since Holistic needs the cores."""

    input_shape: tuple[int, ...]  # (length, size) of a window
    batches: tuple[int, ...]  # the batch sizes of `run`, rising
    run: Run
    names: tuple[str, ...] = ()  # of the labels, if the weights hold them

    def __call__(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities (n, labels) of windows (n, length, size), n >= 1; batches are padded with zeros."""
        rows, largest = [], self.batches[-1]
        for first in range(0, len(windows), largest):
            batch = windows[first : first + largest]
            padding = next(size for size in self.batches if size >= len(batch)) - len(batch)
            if padding:
                batch = np.concatenate([batch, np.zeros((padding, *self.input_shape), np.float32)])
            rows.append(self.run(batch)[: len(batch) - padding])
        return np.concatenate(rows)


def load(path: Path, shape: tuple[int, int], labels: list[str]) -> Network:
    """Load a network from a file with a suffix of LOADERS, and run it once, since some compile only then.

    Args:
        path: file of weights.
        shape: (length, size) of the windows it must take.
        labels: the labels whose probabilities it must return.

    Raises:
        UserError: if the file is damaged, unsafe or a Git LFS pointer, if it is for windows of another shape or for
            other labels, or if the package that runs it is not installed.
    """
    refuse_pointer(path)
    try:
        with quiet():  # errors are raised
            network = LOADERS[path.suffix](path, shape)
            _check(path, network, shape, labels)
    except UserError:
        raise
    except ModuleNotFoundError as error:
        raise UserError(f"{path} needs the package {error.name}: install it, or export the model.") from error
    except Exception as error:  # four libraries, each with exceptions of its own
        raise UserError(f"The weights {path} cannot be loaded: {reason(error)}") from error
    return network


def reason(error: Exception) -> str:
    """Return the line of an error that says what is wrong: Keras and TensorFlow add a stack and escape codes."""
    innermost = (getattr(error, "strerror", None) or str(error)).split("Exception encountered: ")[-1]
    innermost = re.sub(r"^in user code:.* File .*?\n\n", "", innermost, flags=re.DOTALL)
    lines = [line.strip().removeprefix("\x1b[1m").removesuffix("\x1b[0m") for line in innermost.splitlines()]
    return next((line for line in lines if line and "Exception encountered" not in line), type(error).__name__)


def _check(path: Path, network: Network, shape: tuple[int, int], labels: list[str]) -> None:
    def compare(what: str, weights: object, card: object) -> None:
        if weights != card:
            raise UserError(f"{path} {what} {weights}, but its card says {card}: they do not belong together.")

    compare("takes windows of", network.input_shape, shape)
    for size in network.batches:
        returned = network.run(np.zeros((size, *shape), np.float32)).shape
        compare("returns probabilities of shape (windows, labels)", returned, (size, len(labels)))
    compare("knows the labels", list(network.names) or labels, labels)


def _keras(path: Path, shape: tuple[int, int]) -> Network:
    """Load a Keras model and compile it for each batch size: under 1 ms a window, against 50 ms of model.predict."""
    quiet_tensorflow()
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):  # read when tensorflow is imported
        os.environ.setdefault(name, "1")
    import tensorflow as tf

    from common.recognition.fast_lstm import accelerated

    model = tf.keras.models.load_model(path, compile=False)  # safe_mode, the default, refuses code in the file
    input_shape, batches = _input_spec(model.input_shape, shape, (1, BATCH, XLA_BATCH))
    fast = accelerated(model)
    function = tf.function(lambda windows: fast(windows, training=False), jit_compile=True)
    compiled = {size: function.get_concrete_function(tf.TensorSpec((size, *input_shape))) for size in batches}
    return Network(input_shape, batches, lambda windows: np.asarray(compiled[len(windows)](tf.constant(windows))))


def _litert(path: Path, shape: tuple[int, int]) -> Network:
    """Load a LiteRT model, without tensorflow: ready in 0.5 s. One interpreter per batch size, as resizing is slow."""
    from ai_edge_litert.interpreter import Interpreter

    def prepared(size: int | None = None) -> Any:
        interpreter = Interpreter(str(path), num_threads=1)
        if size:
            interpreter.resize_tensor_input(source["index"], (size, *input_shape))
        interpreter.allocate_tensors()
        return interpreter

    def run(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        interpreter = interpreters[len(windows)]
        interpreter.set_tensor(source["index"], windows)
        interpreter.invoke()
        return interpreter.get_tensor(target["index"])

    first = prepared()
    source, target = first.get_input_details()[0], first.get_output_details()[0]
    input_shape, batches = _input_spec([int(one) if one > 0 else None for one in source["shape_signature"]], shape)
    interpreters = {size: prepared(size) for size in batches}
    return Network(input_shape, batches, run)


def _onnx(path: Path, shape: tuple[int, int]) -> Network:
    """Load an ONNX model, without tensorflow."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (source,), (target, *_) = session.get_inputs(), session.get_outputs()
    input_shape, batches = _input_spec([one if isinstance(one, int) else None for one in source.shape], shape)
    return Network(input_shape, batches, lambda windows: session.run([target.name], {source.name: windows})[0])


def _skops(path: Path, shape: tuple[int, int]) -> Network:
    """Load a scikit-learn pipeline for windows, or for frames, whose probabilities are averaged over the window."""
    import skops.io
    import threadpoolctl

    threadpoolctl.threadpool_limits(1)  # with more, gradient boosting waits for threads: 220 ms a window instead of 2
    model = skops.io.load(path, trusted=list(SKOPS_TRUSTED))
    length, size = shape
    whole = model.n_features_in_ == length * size

    def run(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = windows.reshape(len(windows) if whole else -1, model.n_features_in_)
        return model.predict_proba(rows).reshape(len(windows), -1, len(model.classes_)).mean(axis=1).astype(np.float32)

    names = tuple(map(str, model.classes_)) if model.classes_.dtype.kind in "UO" else ()
    return Network(shape if whole else (length, model.n_features_in_), (1, SKOPS_BATCH), run, names)


def _input_spec(
    declared: Any, shape: tuple[int, int], batches: tuple[int, ...] = (1, BATCH)
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the window shape and batch sizes of an input; dimensions that it leaves open (None) are chosen here."""
    if len(declared) != 3:
        raise ValueError(f"it takes {tuple(declared)}, not windows of (any number, length, size)")
    batch, length, size = declared
    return (length or shape[0], size or shape[1]), (batch,) if batch else batches


LOADERS: Final[dict[str, Callable[[Path, tuple[int, int]], Network]]] = {
    ".keras": _keras,
    ".tflite": _litert,
    ".onnx": _onnx,
    ".skops": _skops,
}
