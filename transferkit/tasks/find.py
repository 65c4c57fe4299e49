"""All kinds of labels, by name."""

from transferkit.tasks.multiclass import Multiclass
from transferkit.tasks.multilabel import Multilabel

MULTICLASS = Multiclass()
MULTILABEL = Multilabel()
_TASKS = {task.name: task for task in (MULTICLASS, MULTILABEL)}


def find_task(name):
    """Returns the `Task` of a name that was saved.

    Raises:
        ValueError: If there is none of that name.
    """
    if name not in _TASKS:
        raise ValueError(f"Unknown kind of labels. Expected one of {', '.join(map(repr, _TASKS))}. Received: {name!r}.")
    return _TASKS[name]


def task_with(activation):
    """Returns the `Task` whose probabilities are made by an activation function, known by its name."""
    return next(task for task in _TASKS.values() if task.activation == activation)
