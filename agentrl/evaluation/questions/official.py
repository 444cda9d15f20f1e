"""Which scorers belong to which question set."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agentrl.errors import ConfigError, unknown_name
from agentrl.evaluation.judge import Judge
from agentrl.evaluation.judge_forms import JUDGE_FORMS, JudgeForm
from agentrl.evaluation.questions.scorer import JudgeScorer, MathsMarker, RuleScorer, Scorer
from agentrl.scoring.gaia import normalise_text, question_scorer
from agentrl.scoring.maths import MathsScorer
from agentrl.scoring.normalise import normalise_triviaqa
from agentrl.scoring.qa import (
    cover_match,
    exact_match,
    musique_f1,
    token_f1,
    triviaqa_exact_match,
    triviaqa_f1,
)

MakeJudge = Callable[[JudgeForm], Judge]
"""Makes the judge of a form."""


def _gaia(prediction: str, golds: tuple[str, ...]) -> float:
    return float(any(question_scorer(prediction, gold) for gold in golds))


GAIA = RuleScorer(name="gaia", rule=_gaia, silence_reads="None", normalised=normalise_text)
EXACT = RuleScorer(name="exact_match", rule=exact_match)
F1 = RuleScorer(name="token_f1", rule=token_f1, binary=False)
COVER = RuleScorer(name="cover_match", rule=cover_match)
MUSIQUE_F1 = RuleScorer(name="musique_f1", rule=musique_f1, binary=False)
TRIVIAQA = RuleScorer(
    name="triviaqa_exact_match",
    rule=triviaqa_exact_match,
    normalised=normalise_triviaqa,
)
TRIVIAQA_F1 = RuleScorer(name="triviaqa_f1", rule=triviaqa_f1, binary=False)

RULES: Mapping[str, tuple[RuleScorer, ...]] = {
    "gaia": (GAIA,),
    "qa": (EXACT, F1, COVER),
    "musique": (EXACT, MUSIQUE_F1, COVER),
    "triviaqa": (TRIVIAQA, TRIVIAQA_F1, COVER),
}
"""By `QuestionForm.scorer`; the first is the set's own headline number."""


def official_scorers(
    name: str,
    *,
    maths: MathsScorer | None = None,
    judge: MakeJudge | None = None,
    also_judge: str = "",
) -> tuple[Scorer, ...]:
    """Return the scorers of a set, its headline first.

    Args:
        name: `QuestionForm.scorer`.
        maths: for sets of mathematics, a scorer with the reading `whole`; the caller closes it.
        judge: makes judges, for sets that are judged.
        also_judge: form of a judge whose verdicts are shown beside a rule's, as a number of its
            own: `arpo`, for example.

    Raises:
        ConfigError: the set needs what is not given.
        UnknownNameError: nothing of that name is known.
    """
    if name in RULES:
        scorers: tuple[Scorer, ...] = RULES[name]
    elif name == "maths":
        if maths is None:
            raise ConfigError("Mathematics needs `maths`, a MathsScorer with the reading `whole`.")
        scorers = (MathsMarker(scorer=maths),)
    elif name in JUDGE_FORMS:
        scorers = (_judged(name, judge),)
    else:
        raise unknown_name("scorer", name, [*RULES, "maths", *JUDGE_FORMS])
    return (*scorers, _judged(also_judge, judge)) if also_judge else scorers


def _judged(form: str, judge: MakeJudge | None) -> JudgeScorer:
    if form not in JUDGE_FORMS:
        raise unknown_name("judge form", form, JUDGE_FORMS)
    if judge is None:
        raise ConfigError(
            f"The scorer {form!r} is a judge: name the OpenAI-compatible server and the model that "
            "judge, or the folder of verdicts that were given before."
        )
    return JudgeScorer(judge=judge(JUDGE_FORMS[form]))
