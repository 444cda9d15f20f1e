"""Every question set that can be loaded."""

from __future__ import annotations

from collections.abc import Mapping

from agentrl.envs.questions import maths, open_qa
from agentrl.envs.questions.form import QuestionForm
from agentrl.envs.questions.gaia import GAIA
from agentrl.envs.questions.judged import BROWSECOMP, HLE, SIMPLEQA, XBENCH
from agentrl.envs.questions.webwalker import WEBWALKERQA

FORMS: Mapping[str, QuestionForm] = {
    form.name: form
    for form in (
        GAIA,
        WEBWALKERQA,
        HLE,
        BROWSECOMP,
        XBENCH,
        SIMPLEQA,
        *open_qa.FORMS,
        *maths.FORMS,
    )
}
"""By name."""
