"""The public names of each package; a change here is a change for users."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest

PUBLIC = {
    "agentrl": "Episode Forest Node StopReason Task TaskPanel Tree Writer __version__",
    "agentrl.algorithms": (
        "Algorithm Batch Loss Metric Normaliser Stat combine estimate_advantages get listing names "
        "policy_loss prepare register report settings"
    ),
    "agentrl.algorithms.memory.cases": (
        "Case CaseBank Embedder Found HashingEmbedder Pair Retriever RetrieverSettings render train"
    ),
    "agentrl.algorithms.strategies": (
        "Branching Cure Drpo Ettrl FixedBranching Fork ForkStrategy HapoSampler Need "
        "RolloutStrategy SizedStrategy for_budget"
    ),
    "agentrl.analysis": "Analysis Run Table Tool names tool",
    "agentrl.config": (
        "AlgorithmConfig CheckpointConfig EngineConfig EnvironmentConfig EvaluationConfig "
        "ModelConfig RolloutConfig RunConfig WarmupConfig load_config parse_overrides save_config"
    ),
    "agentrl.engines": (
        "Completion Engine EngineStats SamplingParams TemperatureRule check_sampling"
    ),
    "agentrl.engines.embedded": "EmbeddedEngine",
    "agentrl.envs": (
        "INFO_KEYS Info ParsedAction PastStep Placement Prompt StepPrompt TextEnv TextSpace "
        "env_class episode_metrics listing make register"
    ),
    "agentrl.envs.alfworld": (
        "ALFWorldEnv Options SPLITS TASK_TYPES alfworld_panel generated_game prepare_panel"
    ),
    "agentrl.envs.conformance": (
        "CHECKS Check FULL Limits NotApplicable QUICK Report Result Subject Violation "
        "check_environment"
    ),
    "agentrl.envs.prompts": (
        "ADMISSIBLE LENIENT STRICT Admissible ChatProfile ListActions PlainPrompt Projection "
        "SearchAndClicks Show StepProfile as_it_is choose is_step_prompt pieces_after_goal "
        "profiles prompt_id quoted templates_and_objects verl_agent_profile written_answer"
    ),
    "agentrl.envs.scienceworld": (
        "Options PROMPTS SIMPLIFICATIONS SPLIT_SCHEMES ScienceTask ScienceWorldEnv TASKS find_task "
        "scienceworld_panel"
    ),
    "agentrl.envs.textworld": (
        "KINDS PROMPTS ChatPrompt CompactPrompt Options TextWorldEnv cache_directory "
        "expert_actions prepare_panel textworld_panel"
    ),
    "agentrl.envs.webshop": "Options PROMPTS WebShopEnv webshop_panel",
    "agentrl.evaluation": "PanelScore score_forest wilson_interval",
    "agentrl.learner": "Learner LearnerSettings",
    "agentrl.rollout": (
        "EnvHandle EnvPool EpisodeKey EpisodeSettings ExpertPolicy ModelPolicy Policy "
        "RolloutScheduler"
    ),
    "agentrl.tokens": (
        "Bridge ContextMode Conversation Extension ModelTurn Refusal RefusalReason Renderer"
    ),
    "agentrl.training": "Trainer train",
}


@pytest.mark.parametrize("package", PUBLIC)
def test_a_package_exports_exactly_its_public_names(package):
    module = importlib.import_module(package)
    assert sorted(module.__all__) == sorted(PUBLIC[package].split())
    assert all(hasattr(module, name) for name in module.__all__)


@pytest.mark.parametrize("package", PUBLIC)
def test_public_names_and_packages_say_what_they_are(package):
    module = importlib.import_module(package)
    assert len(module.__doc__ or "") > 10
    for item in (getattr(module, name) for name in module.__all__):
        if inspect.isclass(item) or inspect.isfunction(item):
            assert len(item.__doc__ or "") > 10, item


def test_data_types_and_environments_come_without_torch():
    code = (
        "import sys, agentrl, agentrl.storage, agentrl.envs, agentrl.envs.textworld, agentrl.tools;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'textworld')))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
