"""Games made here go to a folder that the whole session shares."""

from tests.envs.conftest import game_cache

__all__ = ["game_cache"]
