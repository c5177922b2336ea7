"""The outside world: one library or protocol to a module."""
