"""The table of `clf.summary()`: what trains in which phase, at what rate and cost."""

import re

import pytest

from transferkit import Phase, StepDecay
from transferkit.backbones.stages import stage_layers
from transferkit.frozen.costs import multiply_adds
from transferkit.training.summary import summarise


@pytest.fixture(scope="module")
def bench(make_bench):
    return make_bench()


@pytest.fixture
def summary(bench):
    """Describes phases for 1000 images, without a cache unless asked for."""

    def describe(*phases, is_sure=True, **options):
        settings = bench.settings(**{"cache": False} | options)
        return summarise(list(phases), bench.components, settings, 1000, is_sure=is_sure)

    return describe


def cells(text, first):
    """The cells of the row that begins so."""
    (row,) = [line for line in text.splitlines() if line.startswith(first)]
    return re.split(r"\s{2,}", row)


def sizes(bench):
    members = stage_layers(bench.components.network, bench.backbone.stages)
    return {name: sum(layer.count_params() for layer in layers) for name, layers in members.items()}


def test_each_stage_has_a_row_with_its_layers_and_weights(bench, summary):
    text = summary(Phase("head"))
    members = stage_layers(bench.components.network, bench.backbone.stages)
    for name, count in sizes(bench).items():
        assert cells(text, name)[:3] == [name, str(len(members[name])), f"{count:,}"]
    assert cells(text, "all ")[1] == f"{sum(sizes(bench).values()) + bench.components.head.count_params():,}"


def test_what_does_not_train_is_called_frozen(bench, summary):
    text = summary(Phase("head"), Phase("stage3"))
    assert cells(text, "stage1")[-2:] == ["frozen", "frozen"]
    assert cells(text, "stage3")[-2] == "frozen"
    head = bench.components.head.count_params()
    assert cells(text, "head")[-2:] == [f"{head:,}"] * 2
    trained = int(cells(text, "stage3")[-1].replace(",", ""))
    assert cells(text, "trainable")[-2:] == [f"{head:,}", f"{trained + head:,}"]


def test_trainable_and_frozen_weights_are_all(bench, summary):
    text = summary(Phase("stage2"), Phase("all"), Phase("batch_norm"), Phase(["stage1", "head"]))
    numbers = [[int(cell.replace(",", "")) for cell in cells(text, row)[1:]] for row in ("trainable", "frozen")]
    total = sum(sizes(bench).values()) + bench.components.head.count_params()
    assert [sum(pair) for pair in zip(*numbers, strict=True)] == [total] * 4


def test_work_is_counted_in_millions_of_multiply_adds(bench, summary):
    costs = multiply_adds(bench.components.network)
    assert cells(summary(Phase("head")), "all ")[2] == f"{sum(costs.values()) / 1e6:,.1f}"


def test_the_rate_its_schedule_and_its_decay_are_named(summary):
    text = summary(Phase("all", epochs=3, learning_rate=0.01, rate_schedule=StepDecay(every=2), layer_decay=0.5))
    line = cells(text, "1: all: ")[0]
    assert "at most 3 epochs, rate 0.01, StepDecay(every=2, factor=0.5), times 0.5 a stage downwards" in line


def test_a_solved_head_costs_one_pass(summary):
    assert summary(Phase("logistic")).splitlines()[-1] == (
        "1: logistic: solved on features computed once: 1.0 forward pass for each image"
    )


def test_the_whole_cost_is_told_only_where_the_number_of_images_is_known(summary):
    assert summary(Phase("all")).endswith("multiply-adds in all")
    assert "in all" not in summary(Phase("all"), is_sure=False)


def test_what_is_computed_once_is_named_and_costs_less(summary):
    always, once = (summary(Phase("stage3", epochs=8), cache=cache).splitlines()[-1] for cache in (False, "memory"))
    passes = [float(re.search(r"([\d.]+) forward passes for each image and epoch", line)[1]) for line in (always, once)]
    assert passes[1] < passes[0]
    assert "for each image once: all before 'stage3'" in once
    assert "once" not in always
