"""Delays imports of other libraries that s3prl and ESPnet make for parts which recipes seldom use, until such a part is used.

s3prl's hub imports the code of each upstream that it knows, and with it transformers and all of ESPnet's tasks; ESPnet's phonemes and
its cleaners of English text import nltk and inflect: most of the 20 seconds that a command would take before it begins.
"""

import ast
import importlib
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

UPSTREAMS = ("byol_s", "espnet_hubert", "hf_hubert", "hf_wav2vec2", "ssast")  # of s3prl, with slow imports
OF_ESPNET = ("g2p_en", "tacotron_cleaner")


def delay() -> None:
    """Puts stand-ins in the place of the modules that nothing has imported yet."""
    if s3prl := find_spec("s3prl"):
        for upstream in UPSTREAMS:
            path = Path(s3prl.origin).parent / "upstream" / upstream / "hubconf.py"
            _stand_in(f"s3prl.upstream.{upstream}.hubconf", _Upstreams, path)
    for name in filter(find_spec, OF_ESPNET):
        _stand_in(name, _Module)
    _stand_in("tacotron_cleaner.cleaners", _Module)


def _stand_in(name: str, kind: type[ModuleType], *arguments) -> None:
    if name not in sys.modules:
        sys.modules[name] = kind(name, *arguments)


def _module(stand_in: ModuleType) -> ModuleType:
    """The module itself, which takes the stand-in's place."""
    name = stand_in.__name__
    if sys.modules.get(name) is stand_in:
        del sys.modules[name]
    return importlib.import_module(name)


class _Module(ModuleType):
    """Imports the module when one of its names is asked for."""

    def __init__(self, name: str):
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)

    def __getattr__(self, name: str):
        if name.startswith("__"):  # asked by code that goes through all modules, such as inspect's
            raise AttributeError(name)
        return getattr(_module(self), name)


class _Upstreams(ModuleType):
    """The functions of a file of s3prl that make upstreams; the first call of one imports the file."""

    def __init__(self, name: str, path: Path):
        super().__init__(name)
        functions = ast.parse(path.read_text(encoding="utf-8")).body if path.is_file() else []
        for function in functions:
            if isinstance(function, ast.FunctionDef) and not function.name.startswith("_"):
                setattr(self, function.name, self._entry(function.name))

    def _entry(self, name: str):
        def entry(*args, **kwargs):
            return getattr(_module(self), name)(*args, **kwargs)

        entry.__name__ = name
        return entry
