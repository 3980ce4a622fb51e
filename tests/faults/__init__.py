"""The fault wall: upstreams that fail by script, a real gateway before them, and what must hold whatever happens."""
