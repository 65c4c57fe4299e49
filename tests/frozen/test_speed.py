"""The choice of engine and precision: by rules that need no machine, and without a trace on the network."""

import json
import os

import keras
import numpy as np
import pytest

from transferkit.backbones.preprocessing import build_preprocessing
from transferkit.frozen import speed as module
from transferkit.frozen.compiling import available_engines
from transferkit.frozen.costs import multiply_adds
from transferkit.frozen.precision import PRECISIONS
from transferkit.frozen.speed import choose_front, engines_here, precisions_here, situation_of, start_front

PLAIN, HALF = ("keras", "float32"), ("keras", "bfloat16")
OTHER, OTHER_HALF = ("openvino", "float32"), ("openvino", "bfloat16")
ALL = [PLAIN, HALF, OTHER, OTHER_HALF]
SHAPE = (8, 16, 16, 3)


@pytest.fixture
def models(tiny_network):
    return build_preprocessing("none", None), tiny_network


class Machine:
    """Stands for `start_front`: candidates take given seconds a batch of 8; `None` cannot run.

    `timed` tells what was timed, with batch sizes.
    """

    def __init__(self, seconds):
        self.timed = []
        self._seconds = seconds

    def __call__(self, models, pair, images):
        def time():
            self.timed.append((pair, len(images)))
            return self._seconds[pair] / 8

        return None if self._seconds[pair] is None else time


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ((1.0, 0.5, 9.9, 0.5), HALF),
        ((1.0, 0.95, 1.0, 9.9), PLAIN),  # half precision must be 1.15 times faster
        ((1.0, 0.85, 9.9, 0.85), HALF),
        ((1.0, 2.0, 0.8, 9.9), PLAIN),  # and OpenVINO 1.3 times
        ((1.0, 2.0, 0.75, 9.9), OTHER),
        ((1.0, 0.5, 9.9, 0.4), HALF),
        ((1.0, 0.5, 0.1, 0.3), OTHER_HALF),
        ((1.0, 2.0, None, 9.9), PLAIN),
    ],
)
def test_another_way_of_computing_must_be_clearly_faster(models, seconds, chosen):
    machine = Machine(dict(zip(ALL, seconds, strict=True)))
    assert choose_front(models, ALL, SHAPE, start=machine)[0] == chosen


def test_openvino_is_timed_only_in_the_precision_that_keras_is_fastest_in(models):
    machine = Machine({PLAIN: 1.0, HALF: 0.5, OTHER: 0.1, OTHER_HALF: 0.25})
    chosen, speeds = choose_front(models, ALL, SHAPE, start=machine)
    assert chosen == OTHER_HALF
    assert speeds == {PLAIN: 8.0, HALF: 16.0, OTHER_HALF: 32.0}
    assert OTHER not in [pair for pair, _ in machine.timed]


def test_without_keras_among_the_candidates_all_precisions_are_timed(models):
    machine = Machine({OTHER: 1.0, OTHER_HALF: 0.5})
    both = choose_front(models, [OTHER, OTHER_HALF], SHAPE, start=machine)
    assert both == (OTHER_HALF, {OTHER: 8.0, OTHER_HALF: 16.0})
    assert choose_front(models, [OTHER_HALF], SHAPE, start=machine)[0] == OTHER_HALF


def test_what_an_engine_cannot_run_has_no_speed(models):
    machine = Machine({PLAIN: 1.0, OTHER: None})
    assert choose_front(models, [PLAIN, OTHER], SHAPE, start=machine) == (PLAIN, {PLAIN: 8.0, OTHER: 0.0})


@pytest.fixture
def nothing_runs(monkeypatch):
    """Fronts of any engine meet an operation that it does not know."""

    def front(images):
        raise RuntimeError("No conversion rule found for operations: ScaleAndTranslate")

    monkeypatch.setattr(module, "compile_front", lambda models, **options: front)


def test_an_operation_that_openvino_does_not_know_is_no_error(models, nothing_runs):
    assert start_front(models, OTHER, np.zeros(SHAPE)) is None


def test_what_keras_cannot_run_is_an_error(models, nothing_runs):
    with pytest.raises(RuntimeError, match="ScaleAndTranslate"):
        choose_front(models, [PLAIN], SHAPE)


def test_candidates_are_timed_in_turn_and_hopeless_ones_once(models):
    machine = Machine({PLAIN: 1.0, HALF: 5.0})
    choose_front(models, [PLAIN, HALF], SHAPE, start=machine)
    assert [pair for pair, _ in machine.timed] == [PLAIN, HALF, PLAIN, PLAIN]


def test_one_disturbed_measurement_does_not_decide(models):
    seconds = iter([1.0, 1.25, 99.0])

    def start(models, pair, images):
        return lambda: next(seconds) / len(images)

    assert choose_front(models, [PLAIN], SHAPE, start=start)[1] == {PLAIN: 8 / 1.25}


# ---- what is known ----


def test_what_is_known_is_not_measured_again_even_after_a_detour_through_a_file(models):
    known = {}
    machine = Machine({PLAIN: 1.0, HALF: 0.5, OTHER_HALF: 0.1})
    first = choose_front(models, ALL, SHAPE, known, start=machine)
    assert len(known) == 3
    machine = Machine({})
    assert choose_front(models, ALL, SHAPE, json.loads(json.dumps(known)), start=machine) == first
    assert machine.timed == []


def test_what_is_not_known_yet_is_measured_beside_the_best(models):
    known = {}
    choose_front(models, [PLAIN, HALF], SHAPE, known, start=Machine({PLAIN: 1.0, HALF: 0.5}))
    machine = Machine({HALF: 0.25, OTHER_HALF: 0.2})  # the machine is faster now: 0.2 against 0.5 would be unfair
    assert choose_front(models, ALL, SHAPE, known, start=machine)[0] == HALF
    assert {pair for pair, _ in machine.timed} == {HALF, OTHER_HALF}


def test_another_network_batch_or_machine_is_another_situation(models, monkeypatch):
    other = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(9, 3)])
    situations = {situation_of(models, SHAPE), situation_of([other], SHAPE), situation_of(models, (4, *SHAPE[1:]))}
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(99), raising=False)
    situations.add(situation_of(models, SHAPE))
    assert len(situations) == 4


def test_other_weights_are_the_same_situation(models):
    copy = keras.models.clone_model(models[1])
    copy.set_weights([weight + 1 for weight in copy.get_weights()])
    assert situation_of([models[0], copy], SHAPE) == situation_of(models, SHAPE)


# ---- effort ----


def test_slow_networks_are_timed_on_few_images(models):
    machine, work = Machine({PLAIN: 1.0}), sum(multiply_adds(models[1]).values())
    assert choose_front(models, [PLAIN], SHAPE, work=3 * work, start=machine) == (PLAIN, {PLAIN: 8.0})
    assert {count for _, count in machine.timed} == {3}


@pytest.mark.parametrize(("work", "expected"), [(1, 1), (1e12, 8)])
def test_at_least_one_image_is_timed_and_at_most_a_batch(models, work, expected):
    machine = Machine({PLAIN: 1.0})
    choose_front(models, [PLAIN], SHAPE, work=work, start=machine)
    assert {count for _, count in machine.timed} == {expected}


def test_a_network_for_images_of_any_size_is_timed_too():
    image, machine = keras.Input((None, None, 3)), Machine({PLAIN: 1.0})
    choose_front([keras.Model(image, keras.layers.Conv2D(4, 3)(image))], [PLAIN], (32, 16, 16, 3), start=machine)
    assert {count for _, count in machine.timed} == {8}


# ---- this machine ----


def test_openvino_and_float16_are_for_the_machines_that_may_be_fast_in_them(monkeypatch):
    monkeypatch.setattr(module, "available_engines", lambda: ("keras", "openvino"))
    monkeypatch.setattr(keras.distribution, "list_devices", lambda kind=None: [])
    assert (engines_here(), precisions_here()) == (("keras", "openvino"), ("float32", "bfloat16"))
    monkeypatch.setattr(keras.distribution, "list_devices", lambda kind=None: ["gpu:0"])
    assert (engines_here(), precisions_here()) == (("keras",), PRECISIONS)


def test_measuring_leaves_the_network_as_it_was(models):
    network = models[1]
    layers = list(network._flatten_layers())
    before = [(layer.name, layer.dtype_policy.name, layer.trainable) for layer in layers]
    weights, images = network.get_weights(), np.ones(SHAPE, "float32")
    outputs = np.asarray(network(images))
    candidates = [(engine, precision) for engine in available_engines() for precision in precisions_here()]
    chosen, speeds = choose_front(models, candidates, SHAPE)
    assert chosen in candidates
    assert min(speeds.values()) > 0
    assert {("keras", precision) for precision in precisions_here()} <= set(speeds)
    assert [(layer.name, layer.dtype_policy.name, layer.trainable) for layer in layers] == before
    assert all(map(np.array_equal, network.get_weights(), weights))
    assert np.array_equal(network(images), outputs)
