"""The WebShop environment, `agentrl/WebShop-v0`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from agentrl.envs.base import Info, Placement, Prompt, TextEnv
from agentrl.envs.webshop.expert import expert_action, short_query
from agentrl.envs.webshop.goals import Goal, GoalSet
from agentrl.envs.webshop.nouns import NounTagger, likely_nouns
from agentrl.envs.webshop.options import Options
from agentrl.envs.webshop.pages import Session, Shop
from agentrl.envs.webshop.panels import checked_goal, webshop_panel
from agentrl.envs.webshop.prompts import PROMPTS
from agentrl.envs.webshop.render import pieces, rich_text, simple_text
from agentrl.envs.webshop.reward import Judgement, judge
from agentrl.errors import ConfigError
from agentrl.types import TaskPanel


@dataclass(frozen=True, slots=True)
class _Visit:
    """All that an episode consists of; what changes with a step is replaced."""

    options: Options
    shop: Shop
    goals: GoalSet
    goal: Goal
    target: int
    session: Session
    judgement: Judgement | None = None
    step: int = 0
    valid: bool = True


class WebShopEnv(TextEnv):
    """A visit to the shop, in which one product is to be bought.

    `search[words]` works on every page, `click[x]` for everything in `info["clickables"]`.  The
    score is that of the purchase, in [0, 1]; `terminated` with the purchase, `truncated` after
    `max_steps` steps.

    Args:
        noun_tagger: finds the nouns of a title, for example with spaCy; see `nouns`.
        defaults: defaults for `reset(options=...)`, the fields of `Options`.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (declared so by gymnasium)
    prompt: ClassVar[Prompt] = PROMPTS["step"]
    prompts: ClassVar[Mapping[str, Prompt]] = PROMPTS
    preload: ClassVar[tuple[str, ...]] = ("agentrl.envs.webshop.env",)
    placement: ClassVar[Placement] = Placement(memory_mib=16, start_seconds=0.1)

    def __init__(self, noun_tagger: NounTagger = likely_nouns, **defaults: Any) -> None:
        self._noun_tagger = noun_tagger
        self._defaults = defaults
        Options.read(defaults)
        self._visit: _Visit | None = None

    @classmethod
    def panel(cls, split: str, **options: Any) -> TaskPanel:
        """Return a task panel; see `agentrl.envs.webshop.panels.webshop_panel`."""
        return webshop_panel(split, **options)

    @classmethod
    def prepare(cls, panel: TaskPanel) -> None:
        """Prepare the catalogues and goals of a panel, so that worker processes only map them."""
        seen = set()
        for task in panel:
            options = Options.read(task.options)
            if (wanted := replace(options, goal=None, digest=None)) not in seen:
                seen.add(wanted)
                options.goals(options.open_catalogue())

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[str, Info]:
        """Enter the shop with the goal that the options name, or with one drawn by weight."""
        super().reset(seed=seed)
        self._visit = None
        chosen = Options.read({**self._defaults, **(options or {})})
        catalogue = chosen.open_catalogue()
        goals = chosen.goals(catalogue)
        index = self._draw(goals) if chosen.goal is None else chosen.goal
        goal = checked_goal(chosen, catalogue, goals, index)
        shop = Shop(catalogue, chosen.show_attrs, chosen.results_per_page)
        self._visit = _Visit(chosen, shop, goals, goal, goals.product_number(index), Session())
        return self._observation(self._visit), self._info(self._visit)

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        """Search or click; anything else changes nothing and costs a step."""
        visit = self._visit
        if visit is None:
            raise ConfigError("`step` was called before `reset`.")
        was_done = visit.session.page == "done"
        session = visit.shop.act(visit.session, action.strip())
        visit = replace(
            visit,
            session=session or visit.session,
            step=visit.step + 1,
            valid=session is not None,
        )
        done = visit.session.page == "done"
        reward = 0.0
        if done and not was_done:
            judgement = self._judge(visit)
            visit = replace(visit, judgement=judgement)
            reward = _reward(judgement, visit.options)
        self._visit = visit
        truncated = not done and visit.step >= visit.options.max_steps
        return self._observation(visit), reward, done, truncated, self._info(visit)

    def fork(self) -> WebShopEnv:
        """Return an independent environment in the same state; it shares all but the position."""
        if self._visit is None:
            raise ConfigError("`fork` was called before `reset`.")
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin._np_random = None
        return twin

    def _draw(self, goals: GoalSet) -> int:
        return goals.draw(float(self.np_random.random()))

    def _judge(self, visit: _Visit) -> Judgement:
        item = visit.session.item
        assert item is not None
        return judge(
            visit.shop.catalogue.product(item),
            visit.goal,
            visit.goals.actual_price(item),
            dict(visit.session.options),
            visit.shop.catalogue.colors,
            self._noun_tagger,
            visit.options.r_type_mode,
        )

    def _observation(self, visit: _Visit) -> str:
        score = 0.0 if visit.judgement is None else visit.judgement.reward
        page = pieces(visit.session, visit.shop, visit.goal.instruction_text, score)
        if visit.options.observation == "text":
            return simple_text(page)
        return rich_text(page, visit.session, visit.shop)

    def _info(self, visit: _Visit) -> Info:
        session, shop, judgement = visit.session, visit.shop, visit.judgement
        score = 0.0 if judgement is None else judgement.reward
        home = session.page == "home"
        search = [f"search[{short_query(visit.goal)}]"] if home else []
        info: Info = {
            "task": visit.goal.instruction_text.strip(),
            "admissible_actions": sorted({*search, *shop.acceptable(session)}),
            "has_search_bar": home,
            "clickables": shop.clickables(session),
            "page": session.page,
            "won": score == 1.0,
            "score": score,
            "raw_score": score,
            "action_valid": visit.valid,
            "step": visit.step,
            "task_type": visit.goal.category,
            "anchor": session.anchor(),
            "final_answer": None,
            **_parts(judgement, visit.options),
        }
        if visit.options.expert:
            info["expert_action"] = expert_action(shop, session, visit.goal, visit.target)
        return info


def _reward(judgement: Judgement, options: Options) -> float:
    if options.reward == "score":
        return judgement.reward
    return float(options.win_reward) if judgement.reward == 1.0 else 0.0


def _parts(judgement: Judgement | None, options: Options) -> Info:
    """Return the parts of the score; None before the purchase."""
    return {
        "r_type": None if judgement is None else judgement.r_type,
        "r_att": None if judgement is None else judgement.r_att,
        "r_option": None if judgement is None else judgement.r_option,
        "r_price": None if judgement is None else judgement.r_price,
        "r_type_mode": options.r_type_mode,
    }
