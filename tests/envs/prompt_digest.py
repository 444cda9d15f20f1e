"""A digest of all that a prompt shows and reads, on made-up episodes of every kind.

`python -m tests.envs.prompt_digest ENV_ID` prints those of an environment, to be written down in
`test_prompt_versions.py`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

from agentrl.envs import PastStep, Prompt, env_class
from agentrl.envs.prompts import is_step_prompt, prompt_id

_PAGE = "Instruction: [SEP] buy a mug [SEP] Page 1 [SEP] B01 [SEP] Red mug"
_INFO: dict[str, Any] = {
    "task": "buy a mug",
    "admissible_actions": ["buy it", "help", "look"],
    "won": False,
    "score": 0.0,
    "raw_score": 0,
    "action_valid": True,
    "task_id": "t",
    "split": "train",
    "task_type": "mugs",
    "anchor": "",
    "final_answer": None,
    "has_search_bar": True,
    "clickables": ["search", "b01"],
    "action_templates": ["look around", "open OBJ"],
    "objects": ["door", "stove"],
}
_UNKNOWN: dict[str, Any] = {**_INFO, "admissible_actions": None, "clickables": [], "objects": []}
_PAST = [PastStep(_PAGE, "search[mug]"), PastStep("A room.", "look"), PastStep("Dark.", "wait")]
_ANSWERS = (
    "look\nnow",
    "<think>a</think><action>Look</action>",
    "<think>a</think><action>'look'",
    "<action>look</action>",
    "<think>茶</think><action>look</action>",
    "I would like to look around once more",
    "",
)


def digest(prompt: Prompt) -> str:
    """Return twelve hexadecimal digits that change with what is shown or how answers are read."""
    shown: list[Any] = [prompt.stop_strings]
    for number, info in enumerate((_INFO, _UNKNOWN)):
        info = {**info, "step": number}
        shown += [prompt.system(info), prompt.observe(_PAGE, info), prompt.observe("Dark.", info)]
        if is_step_prompt(prompt):
            shown += [
                prompt.message(text, info, _PAST[:n]) for text in (_PAGE, "Hi") for n in (0, 1, 3)
            ]
        read = [prompt.parse(answer, info) for answer in _ANSWERS]
        shown += [(parsed.action, parsed.valid, parsed.reason) for parsed in read]
    return hashlib.sha256(json.dumps(shown).encode()).hexdigest()[:12]


def digests(env_id: str) -> dict[str, str]:
    """Return the digest of each prompt of an environment, by name and version."""
    cls = env_class(env_id)
    return {prompt_id(cls, name): digest(prompt) for name, prompt in cls.prompts.items()}


if __name__ == "__main__":
    print(json.dumps({env_id: digests(env_id) for env_id in sys.argv[1:]}, indent=4))
