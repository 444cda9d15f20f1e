"""Short names and `key=value` options on the command line."""

from __future__ import annotations

import gymnasium

from agentrl import envs
from agentrl.errors import ConfigError


def environment_id(text: str) -> str:
    """Return the environment that a name means: `WebShop` is `agentrl/WebShop-v0`.

    Namespace and version may be left out, and case does not matter, where only one environment
    fits; of several versions the newest is meant.  What fits nothing is returned as it is, for the
    registry to say what is nearest.

    Raises:
        ConfigError: environments of several namespaces fit.
    """
    if ":" in text or text in gymnasium.registry:
        return text
    found: dict[str, tuple[int, str]] = {}
    for env_id, _ in envs.listing():
        namespace, name, version = gymnasium.envs.registration.parse_env_id(env_id)
        short = {name, f"{name}-v{version}", f"{namespace}/{name}"}
        if text.lower() in {form.lower() for form in short}:
            family = f"{namespace}/{name}"
            found[family] = max(found.get(family, (-1, "")), (version or 0, env_id))
    if len(found) > 1:
        names = ", ".join(env_id for _, env_id in sorted(found.values()))
        raise ConfigError(f"{text!r} may mean {names}; write one of these.")
    return next(iter(found.values()))[1] if found else text
