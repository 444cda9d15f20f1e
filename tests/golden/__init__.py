"""Official numbers: each file holds one call of a method's released code, and what it returned.

`adapters*.py` say which of our functions computes the same; `python -m tests.golden` compares.
"""
