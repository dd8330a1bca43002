"""Names of a package that live in its modules, each loaded when it is first asked for.

    _FOUND_IN = {"BridgeTelemetry": "bridge"}
    __getattr__, __dir__ = face(globals(), _FOUND_IN)

So that importing the package costs next to nothing. `from package import *` gives all of them.
Source: PEP 562.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


def face(
    package: "dict[str, Any]", found_in: "Mapping[str, str]"
) -> "tuple[Callable[[str], Any], Callable[[], list[str]]]":
    """`__getattr__` and `__dir__` for a package, by its *globals* and name → module below it."""
    own = package["__name__"]

    def get(name: str) -> object:
        if name == "__all__":
            return sorted(found_in)
        if name not in found_in:
            raise AttributeError(f"module {own!r} has no attribute {name!r}")
        from importlib import import_module

        found = getattr(import_module(f"{own}.{found_in[name]}"), name)
        package[name] = found
        return found

    return get, lambda: sorted({*package, *found_in})
