"""What a model told of data it has not learnt in; how to make its confidence mean what it says, and act on it, out."""

from collections.abc import Collection
from collections.abc import Sequence as Row
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.recognition.classifier import tempered
from common.recognition.decision import Parameters
from models.evaluation import event_metrics, metrics
from models.simulation.pipeline import SimulatedStream, detect_actions

TEMPERATURES: Final = np.geomspace(0.1, 10, 101)
GRID: Final = {  # what is tried
    "enter": (0.5, 0.6, 0.7, 0.8, 0.9),
    "leave": (0.6, 0.75, 0.9, 1.0),  # of `enter`
    "smoothing_s": (0.1, 0.2, 0.3),
    "min_duration_s": (0.15, 0.3, 0.45),
}
FALSE_COST: Final = 0.02  # of event F1, for a false action a minute


def temperature(probabilities: NDArray[np.float32], targets: NDArray[np.intp], wrong: float) -> float:
    """The one of TEMPERATURES with the lowest loss on rows (n, labels) (Guo et al. 2017).

    wrong: the share that is taken to be wrong beside what is seen. Where all are right, nothing else would keep it from
    being sure of everything.
    """
    shares = np.where(probabilities > 0, wrong / (probabilities.shape[1] - 1), 0)
    shares[np.arange(len(targets)), targets] = 1 - wrong
    losses = [-(shares * np.log(np.maximum(tempered(probabilities, one), metrics.LEAST))).sum() for one in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def unseen_wrong(windows: int, recorders: int | None) -> float:
    """The share to take as wrong: half a recorder of so many unseen ones, or one of so many windows of those known."""
    return 1 / (2 * recorders + 1) if recorders else 1 / (windows + 1)


def decision(streams: Row[SimulatedStream], idle: Collection[str]) -> Parameters:
    """Those of GRID that find the actions best, with the fewest false ones; of equals the middle ones."""
    tried = [
        Parameters(enter=enter, leave=enter * leave, smoothing_s=smoothing_s, min_duration_s=min_duration_s)
        for enter, leave, smoothing_s, min_duration_s in product(*GRID.values())
    ]
    shape = [len(values) for values in GRID.values()]
    worths = _smoothed(np.reshape([worth(*quality(streams, idle, parameters)) for parameters in tried], shape))
    best = np.argwhere(worths >= worths.max() - 1e-9)
    middle = best[np.abs(best - (np.array(shape) - 1) / 2).sum(axis=1).argmin()]
    return tried[int(np.ravel_multi_index(tuple(middle), shape))]


def worth(f1: float, false_per_minute: float) -> float:
    return f1 - FALSE_COST * false_per_minute


def quality(streams: Row[SimulatedStream], idle: Collection[str], parameters: Parameters) -> tuple[float, float]:
    """Event F1 at the widest overlap, and false actions a minute; means over streams."""
    scores = [
        event_metrics.judge(detect_actions(moments, parameters, idle), true, moments[-1].captured_s)
        for true, moments in streams
    ]
    f1s, falses = zip(*((one.f1[str(event_metrics.OVERLAPS[-1])], one.false_per_minute) for one in scores), strict=True)
    return float(np.mean(f1s)), float(np.mean(falses))


def _smoothed(worths: NDArray[np.floating]) -> NDArray[np.floating]:
    """The mean of each with its neighbours: the best of so many trials is luck, the best neighbourhood is not."""
    for axis in range(worths.ndim):
        padded = np.concatenate([worths.take([0], axis), worths, worths.take([-1], axis)], axis)
        ahead, here, behind = (padded.take(range(first, first + worths.shape[axis]), axis) for first in range(3))
        worths = (ahead + here + behind) / 3
    return worths
