"""Speech recipes from MindSpore to ESPnet: the package that every recipe calls.

In Python: `asrlib.load(PATH)` is a recogniser, `asrlib.load_upstream(PATH)` a pretrained model (asrlib.api). They import what they need when they are
called.
"""

from typing import TYPE_CHECKING

from asrlib.utils.errors import UserError as UserError

if TYPE_CHECKING:
    from asrlib.api.load import load as load
    from asrlib.api.upstream import load_upstream as load_upstream

__version__ = "0.1.0"
__all__ = ["UserError", "load", "load_upstream"]


def __getattr__(name: str):
    if name == "load":
        from asrlib.api.load import load

        return load
    if name == "load_upstream":
        from asrlib.api.upstream import load_upstream

        return load_upstream
    raise AttributeError(f"module 'asrlib' has no attribute {name!r}")
