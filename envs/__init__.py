"""Environments, registered with gymnasium under `agentrl/Name-vN`."""
