"""The three models that a classifier is made of: built, cut, frozen and joined.

What is listed here is for people with a training loop of their own; see `docs/own-loop.md`.
"""

from typing import TYPE_CHECKING

from transferkit._utils.lazy import loader_of

if TYPE_CHECKING:
    from transferkit.backbones.stages import split_model
    from transferkit.models.assembly import Components, assemble, build_components, components_of
    from transferkit.models.freezing import Selection, TrainableBackbone, build_trainable, select
    from transferkit.models.heads import build_dense, build_head, build_pooling

__all__ = [
    "Components",
    "Selection",
    "TrainableBackbone",
    "assemble",
    "build_components",
    "build_dense",
    "build_head",
    "build_pooling",
    "build_trainable",
    "components_of",
    "select",
    "split_model",
]

_HOMES = {
    "Components": "models.assembly",
    "Selection": "models.freezing",
    "TrainableBackbone": "models.freezing",
    "assemble": "models.assembly",
    "build_components": "models.assembly",
    "build_dense": "models.heads",
    "build_head": "models.heads",
    "build_pooling": "models.heads",
    "build_trainable": "models.freezing",
    "components_of": "models.assembly",
    "select": "models.freezing",
    "split_model": "backbones.stages",
}

__getattr__ = loader_of(__name__, _HOMES)


def __dir__():
    return sorted(__all__)
