"""Question sets with known answers, from local files, in one form."""

from agentrl.envs.questions.catalogue import FORMS
from agentrl.envs.questions.load import load_questions
from agentrl.envs.questions.question import Question, QuestionSet
from agentrl.envs.questions.subset import Selection

__all__ = ["FORMS", "Question", "QuestionSet", "Selection", "load_questions"]
