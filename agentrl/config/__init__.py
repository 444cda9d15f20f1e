"""One typed, validated configuration tree, read from YAML and dotted overrides."""

from agentrl.config.load import load_config, parse_overrides, save_config
from agentrl.config.schema import (
    AlgorithmConfig,
    CheckpointConfig,
    EngineConfig,
    EnvironmentConfig,
    EvaluationConfig,
    ModelConfig,
    RolloutConfig,
    RunConfig,
    WarmupConfig,
)

__all__ = [
    "AlgorithmConfig",
    "CheckpointConfig",
    "EngineConfig",
    "EnvironmentConfig",
    "EvaluationConfig",
    "ModelConfig",
    "RolloutConfig",
    "RunConfig",
    "WarmupConfig",
    "load_config",
    "parse_overrides",
    "save_config",
]
