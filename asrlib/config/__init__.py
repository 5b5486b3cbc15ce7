"""What a configuration may say: typed YAML, and the keys of every model family."""
