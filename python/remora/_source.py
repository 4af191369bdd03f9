"""How the far side gets at our code: names of local classes and functions, the script's source, the places of modules."""
from __future__ import annotations

import ast
import builtins
import os
import sys
import sysconfig
import types
from typing import Any, List, Optional, Union

from . import remora_capi as _capi
from ._errors import InvalidArgument

_main_source: Optional[str] = None  # what was registered last


def module_roots() -> List[str]:
    """The directories where modules for the far side are looked for: sys.path without the standard library, which the far
    side has its own of."""
    paths = sysconfig.get_paths()
    standard = {os.path.realpath(paths[key]) for key in ("stdlib", "platstdlib") if key in paths}
    standard |= {os.path.join(path, "lib-dynload") for path in standard}
    roots: List[str] = []
    for entry in sys.path:
        path = os.path.abspath(entry or os.getcwd())
        if path not in roots and os.path.isdir(path) and os.path.realpath(path) not in standard:
            roots.append(path)
    return roots


def add_module(name: str, source: Union[str, bytes], *, language: str = "python", package: bool = False) -> None:
    """Gives the far sides of all connections a module that is in no file: what `source` says, under its full name. It stands before files and an
    earlier one of that name, for far sides that have not asked for it yet. InvalidArgument for a language that there is not. New in 0.1."""
    _capi.remora_module_add(language, name, int(package), f"<{name}>", source)


def name_of(target: Any) -> str:
    """The name under which the far side finds a local class or function in its module; makes the script's own source available
    when it is from there. InvalidArgument says why something has no such name."""
    if isinstance(target, str):
        if not target:
            raise InvalidArgument("the name of a class or function is empty")
        return target
    qualname = getattr(target, "__qualname__", None)
    module = getattr(target, "__module__", None)
    if isinstance(target, types.MethodType) and not isinstance(target.__self__, type):
        raise InvalidArgument(f"{target!r} is bound to an object of this process; pass it as an argument and it works by reference")
    if not callable(target) or not isinstance(qualname, str) or not isinstance(module, str):
        raise InvalidArgument(f"{target!r} is neither a name nor a class or function of a module")
    if "<lambda>" in qualname:
        raise InvalidArgument("a lambda has no name by which the far side could import it; use a function of a module")
    if "<locals>" in qualname:
        raise InvalidArgument(
            f"{qualname} is defined inside a function, so the far side cannot import it; move it to the top level of {module}"
        )
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = builtins.getattr(found, part, None)
    if found is not target and getattr(found, "__func__", found) is not getattr(target, "__func__", target):
        raise InvalidArgument(f"{module}.{qualname} is not {target!r}, so the far side would import something else")
    if module == "__main__":
        module = _main_module()
    return f"{module}:{qualname}"


def _main_module() -> str:
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name and spec.name != "__main__":
        return spec.name  # python -m package.module: it can be imported under its own name
    path = getattr(main, "__file__", None)
    if path is None:
        how = "python -c" if sys.argv and sys.argv[0] == "-c" else "an interactive session"
        raise InvalidArgument(f"what is defined in {how} cannot travel: it is in no file; put it into a module")
    _register_main(path)
    return "__main__"


def _register_main(path: str) -> None:
    global _main_source
    try:
        with open(path, "rb") as file:
            data = file.read()
        tree = ast.parse(data, path)
        source = _decoded(data)
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"the script {path} cannot be read for sending it: {error}") from None
    if source == _main_source:
        return
    if not any(isinstance(node, ast.If) and _is_main_guard(node.test) for node in tree.body):
        raise InvalidArgument(
            f'{path} has no `if __name__ == "__main__":` around what it does, so the far side would run the whole script again '
            "in order to get at its classes and functions; add the guard, or move them to a module"
        )
    _capi.remora_module_add("python", "__main__", 0, os.path.abspath(path), source)
    _main_source = source


def _is_main_guard(test: ast.expr) -> bool:
    if isinstance(test, ast.BoolOp):
        return any(_is_main_guard(value) for value in test.values)
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq)):
        return False
    sides = [test.left, test.comparators[0]]
    names = [side.id for side in sides if isinstance(side, ast.Name)]
    texts = [ast.literal_eval(side) for side in sides if isinstance(side, ast.Constant)]
    return names == ["__name__"] and texts == ["__main__"]


def _decoded(data: bytes) -> str:
    import io
    import tokenize

    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    text = data.decode(encoding)
    return text if encoding in ("utf-8", "utf-8-sig") else "# -*- coding: utf-8 -*- " + text
