"""The one list of backbones that go by a name."""

import difflib

import keras

from transferkit.backbones.applications import APPLICATIONS
from transferkit.backbones.backbone import Backbone, name_key
from transferkit.backbones.custom import backbone_from_model
from transferkit.backbones.efficientnet_lite import EFFICIENTNET_LITE0, EFFICIENTNET_LITE2

_registry = {name_key(backbone.name): backbone for backbone in (EFFICIENTNET_LITE0, EFFICIENTNET_LITE2, *APPLICATIONS)}


def list_backbones() -> list[str]:
    """Returns the names of all registered backbones, sorted.

    Example:
        >>> from transferkit import list_backbones
        >>> "efficientnet_lite0" in list_backbones()
        True
    """
    return sorted(backbone.name for backbone in _registry.values())


def register_backbone(backbone: Backbone) -> Backbone:
    """Adds a `Backbone` to the registry, under its name.

    Args:
        backbone: The `Backbone`; its name must not be taken by another one.

    Returns:
        `backbone`.

    Raises:
        TypeError: If it is no `Backbone`.
        ValueError: If the name is taken.
    """
    if not isinstance(backbone, Backbone):
        raise TypeError(f"`backbone` must be a Backbone. Received: {backbone!r} of type {type(backbone).__name__}.")
    if _registry.get(name_key(backbone.name), backbone) != backbone:
        raise ValueError(f"A backbone named {backbone.name!r} is registered already. Choose another name.")
    _registry[name_key(backbone.name)] = backbone
    return backbone


def get_backbone(backbone: str | Backbone | keras.Model) -> Backbone:
    """Returns the `Backbone` for a name, a functional `keras.Model` or a `Backbone`.

    Args:
        backbone: Name in the registry (case, `-` and `_` do not matter), a functional `keras.Model` without
            classifier (see `backbone_from_model`), or a `Backbone`, which is returned as it is.

    Raises:
        ValueError: If no backbone has that name, or the model is not functional.
        TypeError: For anything else.
    """
    if isinstance(backbone, Backbone):
        return backbone
    if isinstance(backbone, keras.Model):
        return backbone_from_model(backbone)
    if not isinstance(backbone, str):
        raise TypeError(
            "`backbone` must be a name, a keras.Model or a Backbone. "
            f"Received: {backbone!r} of type {type(backbone).__name__}."
        )
    if name_key(backbone) not in _registry:
        raise ValueError(f"Unknown backbone. Received: backbone={backbone!r}. {_suggestion(backbone)}")
    return _registry[name_key(backbone)]


def _suggestion(name: str) -> str:
    close = difflib.get_close_matches(name.lower(), list_backbones(), n=1)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    return hint + "`list_backbones()` lists all."
