"""Fit temperature and decision parameters to a model's predictions for data it was not trained on."""

from collections.abc import Collection, Sequence
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.recognition.classifier import temperature_scale
from common.recognition.decision import Parameters
from models.evaluation import event_metrics, metrics
from models.simulation.pipeline import SimulatedStream, detect_actions

TEMPERATURES: Final = np.geomspace(0.1, 10, 101)
GRID: Final = {
    "start_threshold": (0.5, 0.6, 0.7, 0.8, 0.9),
    "end_threshold": (0.6, 0.75, 0.9, 1.0),  # of `start_threshold`
    "smoothing_s": (0.1, 0.2, 0.3),
    "min_duration_s": (0.15, 0.3, 0.45),
}
FALSE_POSITIVE_COST: Final = 0.02  # of segmental F1, for one false positive per minute


def fit_temperature(probabilities: NDArray[np.float32], targets: NDArray[np.intp], prior: float) -> float:
    """Return the one of TEMPERATURES with the lowest loss on rows (n, labels) (Guo et al. 2017).

    prior: the ratio of predictions that is taken to be wrong beside what the rows show. Without it, a model that makes
    no error on them would become certain of everything.
    """
    weights = np.where(probabilities > 0, prior / (probabilities.shape[1] - 1), 0)
    weights[np.arange(len(targets)), targets] = 1 - prior
    losses = [
        -(weights * np.log(np.maximum(temperature_scale(probabilities, one), metrics.EPS))).sum()
        for one in TEMPERATURES
    ]
    return float(TEMPERATURES[int(np.argmin(losses))])


def error_prior(windows: int, subjects: int | None) -> float:
    """Return the prior of an error: half a subject of so many new ones, or (None) one of so many windows."""
    return 1 / (2 * subjects + 1) if subjects else 1 / (windows + 1)


def fit_decision(streams: Sequence[SimulatedStream], idle: Collection[str]) -> Parameters:
    """Return the parameters of GRID with the best objective, its neighbours included; of equals the middle ones."""
    grid = [
        Parameters(
            start_threshold=start, end_threshold=start * end, smoothing_s=smoothing_s, min_duration_s=min_duration_s
        )
        for start, end, smoothing_s, min_duration_s in product(*GRID.values())
    ]
    shape = [len(values) for values in GRID.values()]
    objectives = [objective(*stream_metrics(streams, idle, parameters)) for parameters in grid]
    smooth = _smoothed(np.reshape(objectives, shape))
    best = np.argwhere(smooth >= smooth.max() - 1e-9)
    middle = best[np.abs(best - (np.array(shape) - 1) / 2).sum(axis=1).argmin()]
    return grid[int(np.ravel_multi_index(tuple(middle), shape))]


def objective(f1: float, false_positives_per_minute: float) -> float:
    """Return what decision parameters are to maximise: segmental F1, less the cost of false positives."""
    return f1 - FALSE_POSITIVE_COST * false_positives_per_minute


def stream_metrics(
    streams: Sequence[SimulatedStream], idle: Collection[str], parameters: Parameters
) -> tuple[float, float]:
    """Return segmental F1@0.5 IoU and false positives per minute, averaged over streams."""
    scores = [
        event_metrics.score_events(
            detect_actions(predictions, parameters, idle), ground_truth, predictions[-1].captured_s
        )
        for ground_truth, predictions in streams
    ]
    strictest = str(event_metrics.IOU_THRESHOLDS[-1])
    f1s, false_positives = zip(*((one.f1[strictest], one.false_positives_per_minute) for one in scores), strict=True)
    return float(np.mean(f1s)), float(np.mean(false_positives))


def _smoothed(objectives: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the mean of each with its neighbours: the best of so many is luck, the best neighbourhood is not."""
    for axis in range(objectives.ndim):
        padded = np.concatenate([objectives.take([0], axis), objectives, objectives.take([-1], axis)], axis)
        ahead, here, behind = (padded.take(range(first, first + objectives.shape[axis]), axis) for first in range(3))
        objectives = (ahead + here + behind) / 3
    return objectives
