"""How vLLM is run and reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agentrl.errors import ConfigError

Placement = Literal["process", "inline", "server"]
Transfer = Literal["auto", "file", "broadcast"]


@dataclass(frozen=True, kw_only=True)
class VLLMSettings:
    """Settings of `engine.kind=vllm`.

    Attributes:
        placement: `process` runs vLLM beside the learner, in processes of its own; `inline` inside
            the learner's process (small machines, tests); `server` uses one that runs already, for
            example on another machine (`agentrl serve-vllm`).
        url: of the server, for example `http://10.0.0.5:8000`; the network between must be private.
        transfer: how new weights get there: through a `file` in memory or on a disk that both
            sides see, or `broadcast` by a process group; `auto` takes the file where both see it.
        host: name or address under which a server's machine reaches this one, for `broadcast`.
        tensor_parallel: GPUs that one copy of the model is spread over.
        gpu_memory: share of a GPU's memory that vLLM takes, with `engine.cache_gib=0`.
        entropy: `exact` over the whole vocabulary, from a look at the logits; or `bound`, from
            below by the 20 most probable tokens (marked as such), which no method that needs
            entropies should be trained with.
        timeout: seconds after which a completion, an update or a start is given up.
        options: further engine arguments of vLLM by name, for example `{max_num_seqs: 512}`.
    """

    placement: Placement = "process"
    url: str | None = None
    transfer: Transfer = "auto"
    host: str = "127.0.0.1"
    tensor_parallel: int = 1
    gpu_memory: float = 0.9
    entropy: Literal["exact", "bound"] = "exact"
    timeout: float = 600.0
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checks: list[tuple[bool, str, object, str]] = [
            (self.tensor_parallel >= 1, "tensor_parallel", self.tensor_parallel, "an integer >= 1"),
            (0 < self.gpu_memory <= 1, "gpu_memory", self.gpu_memory, "a number in (0, 1]"),
            (self.timeout > 0, "timeout", self.timeout, "a number of seconds > 0"),
        ]
        for ok, name, value, accepted in checks:
            if not ok:
                raise ConfigError(f"`engine.vllm.{name}` is {value!r}; it must be {accepted}.")
        if (self.placement == "server") != (self.url is not None):
            raise ConfigError(
                f"`engine.vllm.placement` is {self.placement!r} and `engine.vllm.url` is "
                f"{self.url!r}; a server needs its url, and nothing else takes one."
            )
        if self.placement == "server" and self.entropy != "exact":
            raise ConfigError(
                "`engine.vllm.entropy` is 'bound'; a server started by `agentrl serve-vllm` gives "
                "exact entropies."
            )
