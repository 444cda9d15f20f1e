from tests.training.fixtures import finished_run, game_cache, quiet_console, run_agentrl

__all__ = ["finished_run", "game_cache", "quiet_console", "run_agentrl"]
