"""Prints numbers about the structure of the package: what travels through it, and how long its functions are.

    python tools/structure.py [FOLDER]

FOLDER is a checkout to look at, by default this one. Two checkouts can be compared with `diff`.
"""

import ast
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PASSENGERS = ("channels", "seed", "console", "settings")  # values that many functions only pass on
MOST_PARAMETERS = 7
MOST_LINES = 25
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Function:
    """A function and where it stands.

    Attributes:
        file: Path of its module below the checkout.
        owner: Name of the class that holds it, or `""`.
        node: Its definition.
    """

    file: str
    owner: str
    node: ast.FunctionDef

    @property
    def title(self):
        """Its name in messages."""
        return f"{self.file}: {self.owner + '.' if self.owner else ''}{self.node.name}"

    @property
    def parameters(self):
        """Names of its parameters, without `self` and `cls`."""
        found = self.node.args
        every = [*found.posonlyargs, *found.args, *found.kwonlyargs, found.vararg, found.kwarg]
        names = [argument.arg for argument in every if argument is not None]
        return [name for name in names if name not in ("self", "cls")]

    @property
    def body(self):
        """Its statements without the docstring."""
        has_docstring = ast.get_docstring(self.node, clean=False) is not None
        return self.node.body[1:] if has_docstring else self.node.body

    @property
    def body_lines(self):
        """Number of lines that its statements take."""
        return 0 if not self.body else self.body[-1].end_lineno - self.body[0].lineno + 1

    @property
    def is_user_facing(self):
        """Whether it is a constructor, or a public method of the estimator, whose arguments are an interface."""
        is_estimator_method = self.owner == "TransferClassifier" and not self.node.name.startswith("_")
        return self.node.name == "__init__" or is_estimator_method


def modules(folder: Path) -> dict[str, ast.Module]:
    """Parses the modules of the package in a checkout."""
    paths = sorted((folder / "transferkit").rglob("*.py"))
    return {path.relative_to(folder).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def functions(trees: dict[str, ast.Module]) -> Iterator[Function]:
    """Yields all functions, those inside others included."""
    for file, tree in trees.items():
        yield from _functions_below(tree, file, "")


def _functions_below(node, file, owner):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _DEFINITIONS):
            yield Function(file, owner, child)
        inner = child.name if isinstance(child, ast.ClassDef) else owner
        yield from _functions_below(child, file, inner)


def only_passes_on(function: Function, name: str) -> bool:
    """Whether a parameter serves for nothing but as an argument of other calls."""
    passed, used = set(), set()
    for node in (inner for statement in function.body for inner in ast.walk(statement)):
        if isinstance(node, ast.Call):
            arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
            passed |= {id(argument) for argument in arguments if isinstance(argument, ast.Name)}
        if isinstance(node, ast.Name) and node.id == name:
            used.add(id(node))
    return bool(used) and used <= passed


def travelling(every: list[Function], name: str) -> tuple[int, int, int]:
    """Counts the functions that take a parameter, their files, and those of them that only pass it on."""
    takers = [function for function in every if name in function.parameters]
    passing = [function for function in takers if only_passes_on(function, name)]
    return len(takers), len({function.file for function in takers}), len(passing)


def files_that_name(trees: dict[str, ast.Module], *words: str) -> list[str]:
    """Files whose code uses one of some names or strings; docstrings do not count."""
    return [file for file, tree in trees.items() if any(_names(node, words) for node in _code(tree))]


def _code(tree):
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return (node for node in ast.walk(tree) if id(node) not in docstrings)


def _names(node, words):
    found = {
        ast.Name: lambda: node.id,
        ast.Attribute: lambda: node.attr,
        ast.arg: lambda: node.arg,
        ast.keyword: lambda: node.arg,
        ast.Constant: lambda: node.value,
    }.get(type(node), lambda: None)()
    return isinstance(found, str) and found in words


def rows(folder: Path) -> Iterator[tuple[str, object]]:
    """Yields what is measured and its value."""
    trees = modules(folder)
    every = list(functions(trees))
    for name in PASSENGERS:
        takers, files, passing = travelling(every, name)
        yield f"functions that take `{name}`, in files, only pass it on", f"{takers}, {files}, {passing}"
    yield "only pass one of these on, in all", sum(travelling(every, name)[2] for name in PASSENGERS)
    yield "files that ask about multi-label", len(files_that_name(trees, "is_multilabel", "multilabel"))
    yield "files that name the logistic phase", len(files_that_name(trees, "logistic"))
    yield "files that name a kind of balance", len(files_that_name(trees, "crt", "smote", "focal", "logit_adjustment"))
    init = next(f for f in every if f.owner == "TransferClassifier" and f.node.name == "__init__")
    yield "constructor arguments", len(init.parameters)
    yield "lines of classifier.py", len((folder / "transferkit/classifier.py").read_text("utf-8").splitlines())
    crowded = [f for f in every if len(f.parameters) > MOST_PARAMETERS and not f.is_user_facing]
    yield f"functions of more than {MOST_PARAMETERS} parameters", len(crowded)
    lengths = [function.body_lines for function in every]
    yield "functions", len(lengths)
    yield "lines of a body, median", statistics.median(lengths)
    share = sum(length <= MOST_LINES for length in lengths) / len(lengths)
    yield f"bodies of at most {MOST_LINES} lines", f"{share:.1%}"
    lines = [line for file in trees for line in (folder / file).read_text("utf-8").splitlines()]
    yield "lines", len(lines)
    yield "lines that are comments", f"{sum(line.strip().startswith('#') for line in lines) / len(lines):.1%}"
    yield "`# fmt: skip`", sum("# fmt: skip" in line for line in lines)


def main(folder: Path) -> None:
    """Prints the table."""
    for name, value in rows(folder):
        print(f"{name:70} {value}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1])
