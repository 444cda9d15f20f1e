"""One module per tool of `agentrl analyse`; each has `Options` and `analyse(run, options)`."""

__all__: list[str] = []
