"""Checks that the dataclasses of configurations share."""


def require_at_least(config, least: float, *names: str) -> None:
    """ValueError unless the values of these names are at least `least`."""
    for name in names:
        if not getattr(config, name) >= least:
            raise ValueError(f"{name} must be at least {least:g}")
