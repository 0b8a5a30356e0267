"""Questions asked of trained networks, one a module: the command rrjax.study."""

import pkgutil

_SHARED = ("comparison",)


def names() -> list[str]:
    """Name the studies: every module here but what they share."""
    modules = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [name for name in modules if name not in _SHARED and not name.startswith("_")]
