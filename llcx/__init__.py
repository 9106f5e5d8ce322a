"""llcx: local learning coefficients with an interval that covers.

Names are imported on first use, so that `import llcx` costs next to nothing.
"""

from importlib import import_module, metadata
from typing import Any

_FUNCTIONS = ("estimate", "estimate_potential", "estimate_trajectory", "load", "to_arviz")
_CLASSES = {"Online": "llcx.online"}
_MODULES = ("checkpoints", "likelihoods", "samplers", "theory")
__all__ = [*_FUNCTIONS, *_CLASSES, *_MODULES, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return getattr(import_module("llcx.api"), name)
    if name in _CLASSES:
        return getattr(import_module(_CLASSES[name]), name)
    if name in _MODULES:
        return import_module(f"llcx.{name}")
    if name == "__version__":
        return metadata.version("llcx")
    raise AttributeError(f"module 'llcx' has no attribute {name!r}; it offers {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
