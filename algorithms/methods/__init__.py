"""Named algorithms, one small file per family; `agentrl.algorithms.registry` finds them."""
