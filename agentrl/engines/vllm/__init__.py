"""vLLM: continuous batching on GPUs, with weights that follow the learner's."""

from agentrl.engines.vllm.engine import VLLMEngine
from agentrl.engines.vllm.settings import VLLMSettings
from agentrl.engines.vllm.start import start

__all__ = ["VLLMEngine", "VLLMSettings", "start"]
