"""Tools an agent can call: search, browse, python.  Nothing is registered yet."""
