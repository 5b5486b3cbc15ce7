"""One log format for every command: time, module, message, on standard error."""

import logging
import sys


def get_logger(name: str) -> logging.Logger:
    """The logger of a module; the first call configures the logger "asrlib"."""
    root = logging.getLogger("asrlib")
    if not root.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s (%(name)s) %(levelname)s: %(message)s", "%Y-%m-%d %H:%M:%S"))
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        root.propagate = False
    return root if name in ("asrlib", "__main__") else root.getChild(name.removeprefix("asrlib."))
