import torch

from agentrl.algorithms.metrics import Metric, report


def test_a_mean_over_nothing_is_left_out_and_a_sum_is_kept():
    values = torch.ones(2, 3)
    every, nothing = values.bool(), torch.zeros(2, 3, dtype=torch.bool)
    numbers = report(
        {
            "entropy": Metric.mean(values, nothing),
            "ratio": Metric.mean(values, every),
            "loss": Metric.sum(torch.zeros(())),
        }
    )
    assert numbers.keys() == {"ratio", "loss"}
