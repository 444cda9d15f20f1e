"""Analysis tools: entropy law, policy cliff, contamination detectors."""

from __future__ import annotations

from agentrl.analysis.detection import detection_quality
from agentrl.analysis.entropy_law import early_and_full
from agentrl.analysis.policy_cliff import bandit_diagnostic
from agentrl.analysis.self_critique import edit_distance, self_critique_score, topk_statistics
from tests.golden.case import Adapter, Case, Result


def entropy_law(case: Case) -> Result:
    """R = -a exp(H) + b on the early window and on everything."""
    fraction = float(case.config.get("fit_fraction", 0.15))
    fit = early_and_full(case.inputs["entropy"], case.inputs["performance"], fraction)
    return Result(
        {
            "a_early": fit.early.a,
            "b_early": fit.early.b,
            "a_full": fit.full.a,
            "b_full": fit.full.b,
            "ceiling_early": fit.early.ceiling,
            "rmse_future": fit.rmse_future,
        }
    )


def policy_cliff(case: Case) -> Result:
    """Greedy and Boltzmann policies of two reward vectors."""
    found = bandit_diagnostic(
        case.inputs["r1"],
        case.inputs["r2"],
        alpha=float(case.config.get("alpha", 0.1)),
        gamma=float(case.config.get("gamma", 0.0)),
    )
    return Result(
        {
            "gap": found.gap,
            "n_optimal": found.optimal,
            "tv_hard": found.tv_hard,
            "tv_soft": found.tv_soft,
            "soft_bound": found.soft_bound,
        }
    )


def score(case: Case) -> Result:
    """Cosine of two entropy lists."""
    lists = (case.inputs["entropy_first"], case.inputs["entropy_second"])
    return Result({"score": self_critique_score(*lists)})


def topk(case: Case) -> Result:
    """Entropies and moments from top-k log-probs; JSON turns token ids into text."""
    found = topk_statistics(
        case.inputs["top_logprobs"],
        [str(token) for token in case.inputs["token_ids"]],
        k=case.config.get("K"),
        renormalise=bool(case.config.get("renormalise", False)),
    )
    return Result(
        {
            "entropies": found.entropies,
            "mus": found.means,
            "sigmas": found.deviations,
            "logprobs": found.logprobs,
        }
    )


def quality(case: Case) -> Result:
    """AUC and the numbers beside it; a low score means contaminated where the file says so."""
    scores = [float("nan") if one is None else float(one) for one in case.inputs["scores"]]
    if str(case.config.get("direction", "higher")).startswith(("lower", "-")):
        scores = [-one for one in scores]
    found = detection_quality(case.inputs["labels"], scores, variant="released")
    return Result(
        {
            "roc_auc": found.auc,
            "best_f1_score": found.best_f1,
            "accuracy_at_best_f1": found.accuracy_f1,
            "optimal_threshold_f1": found.threshold_f1,
            "youden_j_score": found.youden,
            "optimal_threshold_youden": found.threshold_youden,
            "f1_at_youden_threshold": found.f1_youden,
            "accuracy_at_youden_threshold": found.accuracy_youden,
            "tpr_at_fpr_5": found.tpr_at_fpr,
        },
        not_ours={"error": "a message; our numbers are NaN then"},
    )


def distance(case: Case) -> Result:
    """Edit distance of two token lists."""
    limit = int(case.config.get("max_tokens", 100))
    return Result({"distance": edit_distance(case.inputs["a"], case.inputs["b"], limit)})


ADAPTERS: dict[tuple[str, str], Adapter] = {
    ("entropy_law", "fit"): entropy_law,
    ("policy_cliff", "bandit_diagnostic"): policy_cliff,
    ("selfcritique", "score"): score,
    ("selfcritique", "topk_stats"): topk,
    ("selfcritique", "eval_metrics"): quality,
    ("selfcritique", "cdd_edit_distance"): distance,
}
