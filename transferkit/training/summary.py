"""What a schedule does to a network: which stages train, at what rate, and at what cost."""

import math

from transferkit._utils.random import python_random_kept
from transferkit._utils.text import plural
from transferkit.backbones.stages import split_model, stage_layers
from transferkit.frozen.costs import multiply_adds, training_cost
from transferkit.frozen.features import describe_front, find_front
from transferkit.models.assembly import build_components
from transferkit.models.freezing import build_trainable, is_batch_norm, select
from transferkit.training.phases import DEFAULT_RATE
from transferkit.training.rates import as_rate_schedule
from transferkit.training.settings import make_settings, plan_phases

_MANY_PER_CLASS = 1000  # images that are supposed where nobody says how many there are


def describe_classifier(request, fitted=None, num_classes=None, num_images=None):
    """Describes what a schedule does to a classifier: what `TransferClassifier.summary` prints.

    Args:
        request: The `Request`.
        fitted: The `FittedClassifier`, or `None` before training.
        num_classes: Number of classes, or `None`: that of the training data, or 10 before training.
        num_images: Number of images to train on, or `None`: a guess, for which no total cost is given.

    Returns:
        Text of several lines.
    """
    if min(2 if num_classes is None else num_classes, 2 if num_images is None else num_images) < 2:
        raise ValueError("`num_classes` and `num_images` must be at least 2.")
    is_known = fitted is not None or num_classes is not None
    num_classes = num_classes or (10 if fitted is None else len(fitted.class_names))
    supposed = num_images or _MANY_PER_CLASS * num_classes
    components = _untrained(request, num_classes)
    phases, reason = plan_phases(request, components, supposed)
    settings = make_settings(request)
    if fitted is not None:
        phases, reason = fitted.phases, None
    table = summarise(phases, components, settings, supposed, is_sure=num_images is not None)
    height, width = request.image_format.image_size
    schedule = request.parameters["schedule"]
    schedule = schedule if isinstance(schedule, str) else f"{len(schedule)} phases"
    classes = f"{num_classes} classes" + ("" if is_known else " (assumed)")
    title = f"{request.backbone.name}, {height} x {width} px, {classes}, schedule: {schedule}"
    return "\n".join([title, "", table, *([f"{reason} (For {supposed:,} images.)"] if reason else [])])


def _untrained(request, num_classes):
    """A classifier with random weights, which do not change the counts."""
    image_format = request.image_format
    # Layers without a seed draw one from Python's global generator, which a summary must leave as it was.
    with python_random_kept():
        network = request.backbone.build(image_format.image_size, None, image_format.channels)
        return build_components(request.backbone, network, image_format, request.head, num_classes, request.seed)


def summarise(phases, components, settings, num_images, *, is_sure=True):
    """Describes phases in a table.

    Args:
        phases: List of `Phase`.
        components: `Components` of a classifier; flags of its layers are changed.
        settings: `Settings`.
        num_images: Number of images to train on.
        is_sure: Whether that number is more than a guess, so that the total cost can be given.

    Returns:
        Text of several lines: one row a stage with what trains in each phase, then one line a phase.
    """
    stages = settings.backbone.stages
    members = stage_layers(components.network, stages)
    columns = [_trained_counts(phase, components, stages, members) for phase in phases]
    costs = multiply_adds(components.network)
    headings = ["stage", "layers", "parameters", "Mmac", *(f"{n}: {phase.title}" for n, phase in enumerate(phases, 1))]
    rows = [headings]
    for name, layers in members.items():
        work = sum(costs[layer.name] for layer in layers) / 1e6
        counts = [_count_or_frozen(column[name]) for column in columns]
        rows.append([name, str(len(layers)), f"{_parameters(layers):,}", f"{work:,.1f}", *counts])
    counts = [_count_or_frozen(column["head"]) for column in columns]
    rows.append(["head", str(len(components.head.layers) - 1), f"{_parameters([components.head]):,}", "", *counts])
    total = _parameters([components.network, components.head])
    totals = [f"{sum(column.values()):,}" for column in columns]
    rows.append(["all", "", f"{total:,}", f"{sum(costs.values()) / 1e6:,.1f}", *("" for _ in totals)])
    rows.append(["trainable", "", "", "", *totals])
    rows.append(["frozen", "", "", "", *(f"{total - sum(column.values()):,}" for column in columns)])
    lines = [
        _describe_phase(n, phase, components, settings, costs, num_images, is_sure) for n, phase in enumerate(phases, 1)
    ]
    return "\n".join([*_align(rows), "", *lines])


def _trained_counts(phase, components, stages, members):
    """How many weights of each stage, and of the head, a phase trains; those of adapters count in their stage."""
    selection = select(components.network, stages, phase.train, phase.lora_rank)
    view = build_trainable(components.network, selection, adapt_batch_norm=phase.batch_norm == "adapt")
    counts = {}
    for name, layers in members.items():
        adapted = [view.adapters[layer.name] for layer in layers if layer.name in view.adapters]
        # By identity: an adapter contains its layer, whose weights must not count twice.
        weights = {id(weight): weight for layer in (*layers, *adapted) for weight in layer.trainable_variables}
        counts[name] = sum(math.prod(weight.shape) for weight in weights.values())
    counts["head"] = _parameters([components.head]) if selection.head else 0
    return counts


def _describe_phase(number, phase, components, settings, costs, num_images, is_sure):
    if phase.is_solved:
        return f"{number}: {phase.title}: solved on features computed once: 1.0 forward pass for each image"
    rate = DEFAULT_RATE if phase.learning_rate is None else phase.learning_rate
    schedule = as_rate_schedule(phase.rate_schedule)
    decay = f", times {phase.layer_decay:g} a stage downwards" if phase.layer_decay < 1 else ""
    rate = f"{rate:g}, {schedule}{decay}" if isinstance(rate, float | int) else f"{type(rate).__name__}{decay}"
    work, once, front = _work(phase, components, settings, costs, num_images)
    # A network without kernels has no multiply-adds at all.
    whole = max(1, sum(costs.values()))
    text = (
        f"{number}: {phase.title}: at most {plural(phase.epochs, 'epoch')}, rate {rate}; "
        f"{work / whole:.1f} forward passes for each image and epoch"
    )
    if front is not None:
        text += f", {once / whole:.1f} for each image once: {front}"
    return f"{text}; {_amount((work * phase.epochs + once) * num_images)} multiply-adds in all" if is_sure else text


def _work(phase, components, settings, costs, num_images):
    """Multiply-adds for each image: `(in each epoch, once, what is computed once)`, the last in words or `None`."""
    selection = select(components.network, settings.backbone.stages, phase.train, phase.lora_rank)
    layers = {layer.name: layer for layer in components.network.layers}
    trained = {
        name
        for name, layer in layers.items()
        if layer.weights and name in selection.layers and (not selection.only_batch_norm or is_batch_norm(layer))
    }
    found = find_front(phase, components, settings, num_images)
    if found is None:
        return training_cost(costs, list(layers), trained), 0, None
    cut, views = found
    versions = "" if views == 1 else f", for {views} versions of each image"
    front = f"{describe_front(cut)}{versions}"
    if cut.is_pooled:
        return 0, views * cut.work, front
    _, back = split_model(components.network, settings.backbone.stages, cut.stage)
    behind = [layer.name for layer in back.layers if layer.name in costs]
    return training_cost(costs, behind, trained & set(behind)), views * cut.work, front


def _amount(count):
    unit, size = ("T", 1e12) if count >= 1e12 else ("G", 1e9)
    return f"{count / size:,.1f} {unit}"


def _parameters(layers):
    return sum(layer.count_params() for layer in layers)


def _count_or_frozen(count):
    return f"{count:,}" if count else "frozen"


def _align(rows):
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        first, *others = zip(row, widths, strict=True)
        yield "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]).rstrip()
