"""How well a score tells two classes apart: ROC, AUC, best F1, Youden's J, TPR at a fixed FPR.

Source of the numbers that are reported together: yongding-tao/RL-Data-Contamination:
evaluate_all_methods.py.  Scores that are not finite are left out there, and here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from agentrl.analysis.source import Numbers
from agentrl.errors import ConfigError

EPSILON = 1e-6
"""Added to denominators of F1, as in the released code."""


@dataclass(frozen=True, slots=True)
class ROC:
    """Points of the curve, from (0, 0) to (1, 1).

    Attributes:
        fpr: share of the negatives with a score at or above the threshold.
        tpr: share of the positives.
        thresholds: descending; the first is infinite.
    """

    fpr: Numbers
    tpr: Numbers
    thresholds: Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionQuality:
    """All numbers are NaN where only one class has finite scores.

    Attributes:
        auc: area under the ROC curve.
        best_f1: highest F1 over all thresholds.
        accuracy_f1: accuracy at that threshold.
        threshold_f1: the lowest threshold with it.
        youden: highest TPR - FPR.
        threshold_youden: the highest threshold with it.
        f1_youden: F1 at that threshold.
        accuracy_youden: accuracy there.
        tpr_at_fpr: true positive rate at a false positive rate of 5 %.
    """

    auc: float = math.nan
    best_f1: float = math.nan
    accuracy_f1: float = math.nan
    threshold_f1: float = math.nan
    youden: float = math.nan
    threshold_youden: float = math.nan
    f1_youden: float = math.nan
    accuracy_youden: float = math.nan
    tpr_at_fpr: float = math.nan


def roc(labels: ArrayLike, scores: ArrayLike) -> ROC:
    """Return the ROC curve with a point for every different finite score.

    Args:
        labels: 1 for the class that should score high, else 0 [N].
        scores: any numbers [N]; those not finite are left out.

    Raises:
        ConfigError: lengths differ, a label is neither 0 nor 1, or a class is missing.
    """
    truth, values = _finite(labels, scores)
    if len(set(truth.tolist())) < 2:
        raise ConfigError("A ROC curve needs finite scores of both classes, labels 0 and 1.")
    order = np.argsort(-values, kind="stable")
    truth, values = truth[order], values[order]
    ends = np.append(np.nonzero(np.diff(values))[0], len(values) - 1)
    positive = np.cumsum(truth)[ends]
    negative = 1 + ends - positive
    return ROC(
        np.append(0.0, negative / negative[-1]),
        np.append(0.0, positive / positive[-1]),
        np.append(math.inf, values[ends]),
    )


def detection_quality(
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    fpr: float = 0.05,
    variant: Literal["exact", "released"] = "exact",
) -> DetectionQuality:
    """Return how well scores separate label 1 from label 0.

    Args:
        labels: 1 where a high score is right, else 0 [N].
        scores: any numbers [N]; those not finite are left out.
        fpr: false positive rate at which the true positive rate is read.
        variant: `exact` reads the highest true positive rate whose false positive rate is at most
            `fpr`.  `released` reads the last corner of the curve strictly before `fpr`, as the
            released code does.
    """
    truth, values = _finite(labels, scores)
    if len(set(truth.tolist())) < 2:
        return DetectionQuality()
    curve = roc(truth, values)
    thresholds = curve.thresholds[:0:-1]
    f1 = np.array([_f1(truth, values >= threshold, 0.0) for threshold in thresholds])
    at_f1 = float(thresholds[int(np.argmax(f1))])
    gain = curve.tpr - curve.fpr
    at_youden = float(curve.thresholds[int(np.argmax(gain))])
    return DetectionQuality(
        auc=float(np.trapezoid(curve.tpr, curve.fpr)),
        best_f1=float(f1.max()),
        accuracy_f1=_accuracy(truth, values >= at_f1),
        threshold_f1=at_f1,
        youden=float(gain.max()),
        threshold_youden=at_youden,
        f1_youden=_f1(truth, values >= at_youden),
        accuracy_youden=_accuracy(truth, values >= at_youden),
        tpr_at_fpr=_tpr_at(curve, fpr, variant),
    )


def _finite(labels: ArrayLike, scores: ArrayLike) -> tuple[Numbers, Numbers]:
    truth, values = np.asarray(labels, dtype=float), np.asarray(scores, dtype=float)
    if truth.shape != values.shape or truth.ndim != 1 or not set(truth.tolist()) <= {0.0, 1.0}:
        raise ConfigError(
            f"Labels {truth.shape} and scores {values.shape} must be lists of equal length, and "
            "labels 0 or 1."
        )
    kept = np.isfinite(values)
    return truth[kept], values[kept]


def _f1(
    truth: Numbers,
    chosen: np.ndarray[tuple[int], np.dtype[np.bool_]],
    epsilon: float = EPSILON,
) -> float:
    """Return F1; `epsilon` is added to what precision and recall are divided by."""
    hits = float(truth[chosen].sum())
    precision, recall = hits / (chosen.sum() + epsilon), hits / (truth.sum() + epsilon)
    return float(2 * precision * recall / (precision + recall + EPSILON))


def _accuracy(truth: Numbers, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
    return float((truth == chosen).mean())


def _tpr_at(curve: ROC, level: float, variant: str) -> float:
    if variant == "exact":
        return float(curve.tpr[curve.fpr <= level].max())
    fpr, tpr = curve.fpr, curve.tpr
    inner = np.concatenate([[True], _corners(fpr[1:], tpr[1:])])
    fpr, tpr = fpr[inner], tpr[inner]
    reached = np.nonzero(fpr >= level)[0]
    return float(tpr[max(int(reached[0]) - 1, 0)] if len(reached) else tpr[-1])


def _corners(fpr: Numbers, tpr: Numbers) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which points are ends, or turn the curve, bool [N]; the origin is not looked at."""
    if len(fpr) < 3:
        return np.ones(len(fpr), dtype=bool)
    bends = (np.abs(np.diff(fpr, 2)) > 1e-12) | (np.abs(np.diff(tpr, 2)) > 1e-12)
    return np.concatenate([[True], bends, [True]])
