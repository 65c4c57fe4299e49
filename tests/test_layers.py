"""Imports inside the package point downwards: from what users call to what it is made of, never back or sideways."""

import ast
from pathlib import Path

import keras
import pytest

PACKAGE = Path(__file__).parents[1] / "transferkit"

# From top to bottom. Rooms in one row do not import each other; the row above joins them.
LAYERS = (
    ("__main__",),
    ("cli",),
    ("classifier",),
    ("parameters", "verbs"),
    ("inspection", "saving"),
    ("training",),
    ("fitted",),
    ("frozen",),
    ("models", "solvers"),
    ("data", "backbones", "cache"),
    ("tasks",),
    ("evaluation",),
    ("_utils",),
    ("exceptions", "_version"),
)
LEVELS = {room: level for level, rooms in enumerate(reversed(LAYERS)) for room in rooms}

# tf.* stays where data are streamed, files are written and graphs are handed on; everything else works with keras and
# keras.ops.
ROOMS_WITH_TENSORFLOW = {"data", "saving", "_utils"}
MODULES = sorted(path.relative_to(PACKAGE.parent).as_posix() for path in PACKAGE.rglob("*.py"))


def imported_names(source, package):
    """Full dotted name of everything that `source` imports, anywhere in it. `package` resolves relative imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*parents, *filter(None, [node.module])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def forbidden_imports(source, module):
    """What a module, such as `transferkit.data.source`, must not import but does."""
    room = module.split(".")[1]
    for name in imported_names(source, module.rpartition(".")[0]):
        library, _, rest = name.partition(".")
        if library == "transferkit":
            target = rest.partition(".")[0]
            if target != room and LEVELS.get(target, len(LAYERS)) >= LEVELS[room]:
                yield name
        elif library in forbidden_libraries(room):
            yield name


def forbidden_libraries(room):
    if room in {"cli", "evaluation", "cache", "solvers"}:
        return {"tensorflow", "keras"}
    return set() if room in ROOMS_WITH_TENSORFLOW else {"tensorflow"}


# Modules without a test module of their own, and where their promises are tested instead.
TESTED_ELSEWHERE = {
    "__main__.py": "tests/test_cli.py runs it",
    "verbs.py": "tests/test_classifier.py: methods of the classifier",
    "_version.py": "tests/test_import.py reads it",
    "backbones/applications.py": "records; tests/backbones/test_contract.py takes each at its word",
    "tasks/task.py": "tests/tasks/test_find.py, for each kind",
    "tasks/multiclass.py": "tests/tasks/test_find.py",
    "tasks/multilabel.py": "tests/tasks/test_find.py",
    "inspection/running.py": "tests/inspection/test_predictions.py and test_familiarity.py: all that uses it",
    "training/on_features.py": "tests/training/test_label_errors.py and test_learning_curve.py: all that uses it",
    "training/trainer.py": "tests/training/test_fitting.py and tests/training/balance: whole trainings",
    "data/inputs/arrays.py": "tests/data/inputs/test_convert.py, as what users give",
    "data/inputs/raw_data.py": "fields and a table of words",
    "data/quality/findings.py": "tests/data/quality/test_check.py, by the reports",
    "data/quality/report.py": "tests/data/quality/test_check.py, by what it finds",
}


@pytest.mark.parametrize("path", [path for path in MODULES if (PACKAGE.parent / path).stat().st_size])
def test_a_module_has_tests_of_its_own(path):
    module = Path(path).relative_to("transferkit")
    if module.name == "__init__.py" or module.as_posix() in TESTED_ELSEWHERE:
        return
    mirrored = Path(__file__).parent / module.parent / f"test_{module.name}"
    assert mirrored.is_file(), f"Expected {mirrored}, or a reason in TESTED_ELSEWHERE."


def test_what_is_tested_elsewhere_has_no_tests_of_its_own():
    for module in map(Path, TESTED_ELSEWHERE):
        assert (PACKAGE / module).is_file(), f"{module} is no more: take it out of TESTED_ELSEWHERE."
        assert not (Path(__file__).parent / module.parent / f"test_{module.name}").exists()


def module_name(path):
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@pytest.mark.parametrize("path", [path for path in MODULES if path != "transferkit/__init__.py"])
def test_imports_point_downwards(path):
    source = (PACKAGE.parent / path).read_text(encoding="utf-8")
    module = module_name(path)
    assert module.split(".")[1] in LEVELS, f"{path} is in a room without a place in LAYERS"
    # A room's own `__init__.py` is inside the room, one level below its name.
    module = f"{module}.__init__" if path.endswith("/__init__.py") else module
    assert list(forbidden_imports(source, module)) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("transferkit.data.source", "from transferkit.models.heads import Head"),
        ("transferkit.data.source", "from transferkit.backbones.backbone import Backbone"),
        ("transferkit.data.source", "def late():\n    import transferkit.training.loop"),
        ("transferkit.data.source", "from ..cache import store"),
        ("transferkit.data.source", "from transferkit import TransferClassifier"),
        ("transferkit.data.source", "import transferkit"),
        ("transferkit.exceptions", "from .data import source"),
        ("transferkit.models.heads", "import tensorflow as tf"),
        ("transferkit.evaluation.metrics", "import keras"),
        ("transferkit.evaluation.metrics", "from keras import ops"),
        ("transferkit.cache.store", "from transferkit.data.decoder import Decoder"),
        ("transferkit.cache.store", "import keras"),
    ],
)
def test_an_import_that_points_elsewhere_is_found(module, source):
    assert len(list(forbidden_imports(source, module))) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("transferkit.classifier", "from transferkit.data.inputs.convert import as_source"),
        ("transferkit.classifier", "from transferkit import saving"),
        ("transferkit.classifier", "from . import models"),
        ("transferkit.data.source", "from transferkit.data.decoder import Decoder"),
        ("transferkit.data.source", "from .decoder import Decoder"),
        ("transferkit.data.datasets", "import tensorflow as tf"),
        ("transferkit._utils.console", "from transferkit.exceptions import ArchiveError"),
        ("transferkit.models.heads", "from keras import layers"),
    ],
)
def test_an_import_that_points_downwards_passes(module, source):
    assert list(forbidden_imports(source, module)) == []


# ---- the inside of Keras and TensorFlow ----

CONFINED = ("transferkit._utils.keras", "transferkit._utils.tensorflow")
OF_NAMED_TUPLES = {"_replace", "_asdict", "_fields", "_make"}
# Private names of Keras that a class of ours would use through `self`.
OF_KERAS = {
    name
    for kind in (keras.layers.Layer, keras.Model, keras.Sequential, keras.optimizers.Adam, keras.callbacks.Callback)
    for name in dir(kind)
    if name.startswith("_") and not name.startswith("__")
} | {
    "_layers",
    "_nodes_by_depth",
    "_inbound_nodes",
    "_trainable_variables",
    "_iterations",
    "_accumulated_gradients",
    "_keras_history",
    "_call_has_training_arg",
}  # of instances only
INSIDE = ("keras.src", "tensorflow.python")


def private_uses(source):
    """Private attributes of others, and modules inside Keras and TensorFlow, that a module uses."""
    tree = ast.parse(source)
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    own = defined | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and is_of_self(node)}
    fields = {node.target.id for node in ast.walk(tree) if isinstance(node, ast.AnnAssign) and is_name(node.target)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            is_known = node.attr in own | fields | OF_NAMED_TUPLES
            if node.attr in OF_KERAS or not (is_of_self(node) or is_known):
                yield node.attr
        elif isinstance(node, ast.FunctionDef) and node.name in OF_KERAS:
            yield node.name
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and names_inside(node.value):
            yield node.value
    yield from (name for name in imported_names(source, "transferkit") if name.startswith(INSIDE))


def names_inside(text):
    return text in OF_KERAS or text.startswith(INSIDE)


def is_name(node):
    return isinstance(node, ast.Name)


def is_of_self(node):
    return is_name(node.value) and node.value.id in ("self", "cls")


@pytest.mark.parametrize("path", [path for path in MODULES if module_name(path) not in CONFINED])
def test_the_inside_of_keras_and_tensorflow_is_used_in_two_modules_only(path):
    assert list(private_uses((PACKAGE.parent / path).read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "layers = model._flatten_layers()",
        "history = tensor._keras_history",
        "getattr(layer, '_call_has_training_arg')",
        "from keras.src.models import functional",
        "import tensorflow.python.framework",
        "sys.modules['keras.src.legacy']",
        "class Model(keras.Model):\n    def _maybe_symbolic_build(self):\n        pass",
        "class Layer(keras.Layer):\n    def find(self):\n        return self._flatten_layers",
        "model._maybe_symbolic_build = None",
    ],
)
def test_what_leans_on_the_inside_is_found(source):
    assert list(private_uses(source))


@pytest.mark.parametrize("source", ["self._own = other._own", "point._replace(x=1)", "model.layers", "a.__class__"])
def test_what_does_not_passes(source):
    assert list(private_uses(source)) == []
