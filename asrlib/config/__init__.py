"""Configurations: typed YAML, and the keys of every model family."""
