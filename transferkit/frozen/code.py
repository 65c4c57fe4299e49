"""Describes Python code by plain values, which are equal where functions, classes and objects compute the same."""

import dis
import functools
import sys
import sysconfig
import types
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import keras
import numpy as np

_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_KNOWN_LIBRARIES = ("keras", "transferkit")  # their version is part of every signature, or does not say more
_WITHOUT_MEANING = (
    "__doc__",
    "__module__",
    "__qualname__",
    "__dict__",
    "__weakref__",
    "__annotations__",
    "__firstlineno__",
    "__static_attributes__",
    "__parameters__",
    "__orig_bases__",
    "_abc_impl",
    "__abstractmethods__",
    "__dataclass_fields__",
    "__dataclass_params__",
)
_UNPREDICTABLE = {"eval", "exec", "compile", "globals", "locals", "vars", "__import__", "open", "import_module"}


class UnknownCodeError(Exception):
    """Something that code uses cannot be described for certain."""


def describe(value, ignored=()):
    """Describes a function, class or object with all that it refers to.

    Functions are described by their bytecode, defaults, closures, and the globals and attributes of modules that they
    name; classes by all their members, those of base classes included; objects by their class and attributes. What
    belongs to an installed library is described by its name and the library's version.

    Args:
        value: What to describe.
        ignored: Objects that are described elsewhere, such as weights and layers.

    Returns:
        Nested tuples of strings, bytes, numbers and `None`, for `transferkit._utils.fingerprints.fingerprint`.

    Raises:
        UnknownCodeError: If that is not possible for certain.
    """
    return _Description(ignored).of(value)


def is_foreign(kind):
    """Whether a class or function belongs to no installed library: its code may change without a new version."""
    module = getattr(kind, "__module__", None)
    return not isinstance(module, str) or not _is_installed(module)


class _Description:
    def __init__(self, ignored):
        self._ignored = {id(value) for value in ignored}
        self._seen = {}  # number of each function, class, object and module, by its identity
        self._kept = []  # so that no identity is used again

    def of(self, value, names=frozenset()):
        """Describes a value. Of a module, only what `names` name counts."""
        if isinstance(value, _PLAIN):
            # With the type: 1, 1.0 and True are equal.
            return type(value).__name__, repr(value) if isinstance(value, complex) else value
        if id(value) in self._ignored:
            return ("elsewhere",)
        if isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
            return "array", np.asarray(value)
        if isinstance(value, list | tuple):
            return "sequence", type(value).__name__, tuple(map(self.of, value))
        if isinstance(value, dict):
            return "dict", tuple((self.of(key), self.of(item)) for key, item in value.items())
        if isinstance(value, set | frozenset) and all(isinstance(item, _PLAIN) for item in value):
            return "set", tuple(sorted(map(repr, value)))  # strings are hashed differently in every process
        return self._once(value, names)

    def _once(self, value, names):
        # Each function may name other members of the same module.
        key = id(value), names if isinstance(value, types.ModuleType) else None
        if key in self._seen:
            return "again", self._seen[key]
        self._seen[key] = len(self._seen)
        self._kept.append(value)
        if isinstance(value, types.ModuleType):
            return self._of_module(value, names)
        if isinstance(value, type):
            return self._of_class(value)
        if isinstance(value, types.FunctionType):
            return self._of_function(value)
        return self._of_object(value)

    def _of_function(self, function):
        if not is_foreign(function) and "<" not in function.__qualname__:
            return self._of_installed(function)
        cells = [_content_of(cell) for cell in function.__closure__ or ()]
        return (
            "function",
            self._of_code(function.__code__),
            self.of(function.__defaults__ or ()),
            self.of(function.__kwdefaults__ or {}),
            tuple(map(self.of, cells)),
            self._of_globals(function.__code__, function.__globals__),
        )

    def _of_code(self, code):
        constants = tuple(
            self._of_code(each) if isinstance(each, types.CodeType) else self.of(each) for each in code.co_consts
        )
        # Bytecode differs between versions of Python. File and line numbers are left out: they do not matter.
        return (
            sys.version_info[:2],
            code.co_code,
            constants,
            code.co_names,
            code.co_varnames,
            code.co_freevars,
            code.co_argcount,
            code.co_kwonlyargcount,
            code.co_flags,
        )

    def _of_globals(self, code, namespace):
        names, imported = _names_in(code)
        if names & _UNPREDICTABLE:
            raise UnknownCodeError(f"{code.co_name} calls {', '.join(sorted(names & _UNPREDICTABLE))}")
        found = {name: namespace[name] for name in names if name in namespace}
        for name in imported:
            if name not in sys.modules:
                raise UnknownCodeError(f"{code.co_name} imports {name}, which was not imported before")
            found[f"import {name}"] = sys.modules[name]
        return tuple((name, self.of(found[name], names)) for name in sorted(found))

    def _of_module(self, module, names):
        if _is_installed(module.__name__):
            return "module", module.__name__, _version_of(module.__name__)
        found = sorted(name for name in names if name in vars(module))
        return "module", tuple((name, self.of(vars(module)[name], names)) for name in found)

    def _of_class(self, kind):
        if not is_foreign(kind):
            return self._of_installed(kind)
        members = {name: value for name, value in vars(kind).items() if name not in _WITHOUT_MEANING}
        bases = tuple(self.of(base) for base in kind.__mro__[1:])
        return "class", kind.__qualname__, tuple((name, self.of(members[name])) for name in sorted(members)), bases

    def _of_installed(self, value):
        name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
        if not isinstance(name, str) or "<" in name:  # local: another one may have the same name
            raise UnknownCodeError(f"{value!r} has no name of its own")
        return "installed", value.__module__, name, _version_of(value.__module__)

    def _of_object(self, value):
        if isinstance(value, staticmethod | classmethod | types.MethodType):
            return type(value).__name__, self.of(value.__func__), self.of(getattr(value, "__self__", None))
        if isinstance(value, property):
            return "property", self.of(value.fget), self.of(value.fset)
        if isinstance(value, functools.partial):
            return "partial", self.of(value.func), self.of(value.args), self.of(value.keywords)
        if isinstance(value, types.BuiltinFunctionType) and isinstance(value.__self__, types.ModuleType | None):
            return "builtin", str(value.__module__), value.__qualname__
        if isinstance(value, np.ufunc | np.dtype | types.EllipsisType | types.MemberDescriptorType):
            return type(value).__name__, str(value)
        if isinstance(value, keras.Variable) or hasattr(value, "numpy"):
            return "tensor", np.asarray(keras.ops.convert_to_numpy(value))
        kind = type(value)
        if callable(getattr(value, "python_function", None)):  # a `tf.function`
            return "graph", self.of(value.python_function)
        if not is_foreign(kind):
            if isinstance(value, keras.layers.Layer) or not hasattr(value, "get_config"):
                raise UnknownCodeError(f"{kind.__qualname__} of {kind.__module__} cannot be described")
            return "configured", self._of_installed(kind), self.of(value.get_config())
        if isinstance(value, keras.layers.Layer) or not hasattr(value, "__dict__") or hasattr(kind, "__slots__"):
            raise UnknownCodeError(f"{kind.__qualname__} cannot be described")
        return "object", self.of(kind), self.of(vars(value))


def _content_of(cell):
    try:
        return cell.cell_contents
    except ValueError:  # it has not been filled yet
        return None


def _names_in(code):
    """Names of globals and attributes in code and in the functions inside it, and of the modules that it imports."""
    names = set(code.co_names)
    imported = {step.argval for step in dis.get_instructions(code) if step.opname == "IMPORT_NAME"}
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            inner, inner_imported = _names_in(each)
            names, imported = names | inner, imported | inner_imported
    return frozenset(names), imported


@functools.cache
def _is_installed(module):
    root = module.partition(".")[0]
    if root in _KNOWN_LIBRARIES or root in sys.stdlib_module_names:
        return root != "__main__"
    file = getattr(sys.modules.get(root), "__file__", None)
    folders = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
    return file is not None and bool(folders & set(Path(file).resolve().parents))


@functools.cache
def _version_of(module):
    """The version of the library that a module belongs to."""
    root = module.partition(".")[0]
    if root in _KNOWN_LIBRARIES or root in sys.stdlib_module_names:
        return ""
    found = getattr(sys.modules.get(root), "__version__", None)
    if isinstance(found, str):
        return found
    try:
        return version(root)
    except PackageNotFoundError as error:
        raise UnknownCodeError(f"{root} has no version") from error
