"""ROC, AUC, F1, Youden's J and the true positive rate at a fixed false positive rate."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.analysis.detection import detection_quality, roc
from agentrl.errors import ConfigError


def test_four_scores_by_hand():
    # Descending: 1, 0, 1, 0.  Three of the four pairs are in the right order.
    found = detection_quality([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1])
    assert found.auc == 0.75
    assert found.best_f1 == pytest.approx(0.8, abs=1e-5)  # at 0.7: precision 2/3, recall 1
    assert found.threshold_f1 == 0.7
    assert found.accuracy_f1 == 0.75
    assert found.youden == 0.5  # at 0.9: 1/2 - 0, and at 0.7: 1 - 1/2
    assert found.threshold_youden == 0.9
    assert found.tpr_at_fpr == 0.5


def test_perfect_and_reversed_scores():
    labels = [1] * 3 + [0] * 3
    right = detection_quality(labels, [6, 5, 4, 3, 2, 1])
    assert (right.auc, right.youden, right.tpr_at_fpr) == (1, 1, 1)
    assert detection_quality(labels, [1, 2, 3, 4, 5, 6]).auc == 0


scored = st.lists(
    st.tuples(st.sampled_from([0, 1]), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])),
    min_size=2,
    max_size=30,
).filter(lambda rows: len({label for label, _ in rows}) == 2)


@given(scored)
def test_the_area_is_the_share_of_pairs_in_order_and_ties_count_half(rows):
    high = [score for label, score in rows if label]
    low = [score for label, score in rows if not label]
    pairs = [(a > b) + 0.5 * (a == b) for a in high for b in low]
    found = detection_quality(*zip(*rows, strict=True))
    assert found.auc == pytest.approx(np.mean(pairs))


@given(scored)
def test_thresholds_reach_what_is_reported(rows):
    labels, scores = (np.array(column) for column in zip(*rows, strict=True))
    found = detection_quality(labels, scores)
    chosen = scores >= found.threshold_youden
    gain = chosen[labels == 1].mean() - chosen[labels == 0].mean()
    assert gain == pytest.approx(found.youden)
    assert found.accuracy_f1 == np.mean((scores >= found.threshold_f1) == labels)


def test_scores_that_are_not_finite_are_left_out():
    clean = detection_quality([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1])
    dirty = detection_quality([1, 0, 0, 1, 0, 1], [0.9, math.nan, 0.8, 0.7, 0.1, math.inf])
    assert clean == dirty


def test_one_class_has_no_quality_and_no_curve():
    found = detection_quality([1, 1, 0], [0.5, 0.7, math.nan])
    assert math.isnan(found.auc) and math.isnan(found.tpr_at_fpr)
    with pytest.raises(ConfigError, match="both classes"):
        roc([1, 1], [0.5, 0.7])


@pytest.mark.parametrize(("labels", "scores"), [([1, 2], [0.1, 0.2]), ([1], [0.1, 0.2])])
def test_wrong_labels_are_refused(labels, scores):
    with pytest.raises(ConfigError, match="0 or 1"):
        detection_quality(labels, scores)


def test_a_rate_of_exactly_five_per_cent_counts_unless_as_released():
    # Twenty negatives: the best one stands above two of four positives.
    scores = [10.0, 9.0, 7.0, 6.0, 8.0, *np.linspace(1, 0, 19)]
    labels = [1] * 4 + [0] * 20
    assert detection_quality(labels, scores).tpr_at_fpr == 1.0
    assert detection_quality(labels, scores, variant="released").tpr_at_fpr == 0.5
    # The best negative ties with the second of two positives.
    scores, labels = [10.0, 8.0, 8.0, *np.linspace(1, 0, 19)], [1] * 2 + [0] * 20
    assert detection_quality(labels, scores).tpr_at_fpr == 1.0
    assert detection_quality(labels, scores, variant="released").tpr_at_fpr == 0.5


def test_the_curve_starts_and_ends_in_the_corners():
    curve = roc([1, 0, 1], [0.3, 0.3, 0.1])
    assert curve.fpr.tolist() == [0, 1, 1]
    assert curve.tpr.tolist() == [0, 0.5, 1]
    assert curve.thresholds.tolist() == [math.inf, 0.3, 0.1]


def test_of_equal_f1_values_the_lowest_threshold_is_named():
    # F1 is 2/3 at 4 (precision 1, recall 1/2) and at 1 (precision 1/2, recall 1).
    found = detection_quality([1, 0, 0, 1], [4, 3, 2, 1])
    assert found.best_f1 == pytest.approx(2 / 3, abs=1e-5)
    assert found.threshold_f1 == 1
