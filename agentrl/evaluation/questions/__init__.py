"""Question sets put to an agent: running, marking and reporting."""

from agentrl.evaluation.questions.chat_agent import ChatAgent
from agentrl.evaluation.questions.instructions import INSTRUCTIONS
from agentrl.evaluation.questions.official import official_scorers
from agentrl.evaluation.questions.prediction import Prediction
from agentrl.evaluation.questions.prediction_file import (
    PredictionWriter,
    RunHeader,
    read_predictions,
)
from agentrl.evaluation.questions.report import QuestionReport
from agentrl.evaluation.questions.rescore import score_file
from agentrl.evaluation.questions.runner import RunSettings, answer_questions

__all__ = [
    "INSTRUCTIONS",
    "ChatAgent",
    "Prediction",
    "PredictionWriter",
    "QuestionReport",
    "RunHeader",
    "RunSettings",
    "answer_questions",
    "official_scorers",
    "read_predictions",
    "score_file",
]
