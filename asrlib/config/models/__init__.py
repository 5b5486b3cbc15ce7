"""The families of models, one module each: `Config`, the schema of its training YAML, with its network's configuration as `model_conf`."""
