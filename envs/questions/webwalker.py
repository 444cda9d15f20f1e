"""WebWalkerQA (Wu et al., WebWalker: Benchmarking LLMs in Web Traversal; Alibaba-NLP/WebAgent).

Two spellings are about: `Question, Answer, Root_Url, Info {Hop, Domain, Language, ...}` and
`question, answer, root_url, info {type, domain, lang, ...}`, the latter also without `info`.
"""

from __future__ import annotations

from agentrl.envs.questions.form import QuestionForm
from agentrl.envs.questions.question import Question
from agentrl.envs.questions.row import Row, fold, texts_of


def read(row: Row) -> Question:
    """Read a row of either spelling; the category is `single_source` or `multi_source`."""
    question = row.need_text("question")
    info = row.inner("info")
    return Question(
        id=row.id_or_hash(question),
        question=question,
        answers=(row.need_text("answer"),),
        level=info.text("difficulty_level").lower(),
        category=fold(info.text("type", "hop")),
        metadata={
            "root_url": row.text("root_url"),
            "domain": info.text("domain").lower(),
            "language": info.text("lang", "language").lower(),
            "source_website": list(texts_of(info.get("source_website"))),
            "golden_path": list(texts_of(info.get("golden_path"))),
        },
    )


WEBWALKERQA = QuestionForm(
    name="webwalkerqa",
    title="WebWalkerQA",
    source="https://huggingface.co/datasets/callanwu/WebWalkerQA",
    files={
        "main": ("main", "data/main-*", "test", "webwalkerqa*"),
        "silver": ("silver", "data/silver-*"),
    },
    read=read,
    scorer="webwalker",
    sizes={
        "main": {
            "all": 680,
            "single_source": 340,
            "multi_source": 340,
            "easy": 160,
            "medium": 280,
            "hard": 240,
        },
        "the 200 of ARPO": {"all": 200},
    },
)
