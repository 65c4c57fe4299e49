from dataclasses import replace

import keras
import numpy as np
import pytest

from transferkit.training.phases import (
    RECIPES,
    Phase,
    RecipeContext,
    check_schedule,
    choose_recipe,
    make_phases,
)
from transferkit.training.rates import Cosine, ReduceOnPlateau

STAGES = ("stem", "block1", "block2", "block3")
BASE = {"head_is_logistic": True, "stages": STAGES, "num_classes": 10, "image_size": (224, 224), "has_gpu": False}


def context(num_images=1000, **changes):
    return RecipeContext(**(BASE | {"num_images": num_images} | changes))


def trained(phases):
    return [phase.train for phase in phases]


# ---- a phase ----


def test_a_phase_is_called_by_what_it_trains_unless_it_has_a_name():
    assert Phase("block1").title == "block1"
    assert Phase(["block1", "head"]).title == "block1+head"
    assert Phase("all", name="the rest").title == "the rest"


def test_phases_are_values():
    assert Phase(["block1", "head"]) == Phase(("block1", "head"))
    assert hash(Phase(["block1", "head"])) == hash(Phase(("block1", "head")))
    assert Phase("head") != Phase("all")


@pytest.mark.parametrize(
    ("train", "expected"), [("head", True), (["head"], True), ("logistic", True), ("all", False), (["block1"], False)]
)
def test_it_knows_whether_the_backbone_stays(train, expected):
    assert Phase(train).trains_head_only == expected


def test_it_knows_whether_it_mixes_images():
    assert [Phase(**options).mixes for options in ({}, {"mixup": 0.2}, {"cutmix": 1})] == [False, True, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0}, "`epochs` of a Phase must be an integer from 1. Received: 0"),
        ({"epochs": 1.5}, "`epochs` of a Phase must be an integer from 1"),
        ({"epochs": True}, "`epochs` of a Phase must be an integer"),
        ({"epochs": None}, "`epochs` of a Phase must be an integer"),
        ({"lora_rank": 0}, "`lora_rank` of a Phase must be an integer from 1"),
        ({"patience": 0}, "`patience` of a Phase must be an integer from 1"),
        ({"learning_rate": 0}, "`learning_rate` must be positive and finite. Received: learning_rate=0"),
        ({"learning_rate": -1.0}, "`learning_rate` must be positive"),
        ({"learning_rate": float("nan")}, "`learning_rate` must be positive"),
        ({"learning_rate": float("inf")}, "`learning_rate` must be positive and finite. Received: learning_rate=inf"),
        ({"rate_schedule": "cosin"}, "Unknown rate schedule. Received: 'cosin'"),
        ({"weight_decay": -0.1}, "`weight_decay` of a Phase must not be negative"),
        ({"l2_sp": -1}, "`l2_sp` of a Phase must not be negative"),
        ({"weight_decay": float("inf")}, "`weight_decay` of a Phase must not be negative, nor infinite. Received: inf"),
        ({"mixup": float("nan")}, "`mixup` of a Phase must not be negative"),
        ({"layer_decay": 0}, r"`layer_decay` of a Phase must be in \(0, 1\]. Received: 0"),
        ({"layer_decay": 1.1}, r"`layer_decay` of a Phase must be in \(0, 1\]"),
        ({"label_smoothing": 1}, r"`label_smoothing` of a Phase must be in \[0, 1\)"),
        ({"label_smoothing": -0.1}, r"`label_smoothing` of a Phase must be in \[0, 1\)"),
        ({"ema": 0.0}, r"`ema` of a Phase must be in \(0, 1\)"),
        ({"ema": 1.0}, r"`ema` of a Phase must be in \(0, 1\)"),
        ({"batch_norm": "move"}, "`batch_norm` must be 'fixed' or 'adapt'. Received: batch_norm='move'"),
        ({"train": []}, r"This phase trains nothing: train=\[\]"),
    ],
)
def test_values_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Phase(**arguments)


def test_values_at_the_ends_of_their_ranges_are_taken():
    least = {"epochs": 1, "lora_rank": 1, "patience": 1, "weight_decay": 0, "l2_sp": 0, "mixup": 0, "cutmix": 0}
    phase = Phase(**least, layer_decay=1, label_smoothing=0, ema=1e-3)
    assert {name: getattr(phase, name) for name in least} == least
    assert (phase.layer_decay, phase.label_smoothing, phase.ema) == (1, 0, 1e-3)


@pytest.mark.parametrize("value", [True, "0.5", [0.5]])
def test_what_is_no_number_is_refused_as_one(value):
    with pytest.raises(TypeError, match="`l2_sp` of a Phase must be a number. Received:"):
        Phase(l2_sp=value)


def test_a_phase_does_nothing_special_unless_it_is_asked_to():
    phase = Phase()
    assert [phase.l2_sp, phase.label_smoothing, phase.mixup, phase.cutmix, phase.interpolate] == [0, 0, 0, 0, False]
    assert (phase.train, phase.layer_decay, phase.ema, phase.batch_norm) == ("head", 1, None, "fixed")


@pytest.mark.parametrize("train", [None, 3, {"block1"}, ["block1", 2]])
def test_what_trains_is_a_name_or_names(train):
    with pytest.raises(TypeError, match="`train` must be a name or a sequence of names"):
        Phase(train)


def test_numbers_of_numpy_are_numbers():
    assert Phase(epochs=np.int64(3), learning_rate=np.float32(0.1)).epochs == 3


# ---- from a schedule to phases ----


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("logistic", [True, False])
def test_every_recipe_gives_phases_that_fit_together(name, logistic):
    for stages in (STAGES, ("only",)):
        phases, reason = make_phases(name, context(head_is_logistic=logistic, stages=stages), epochs=3)
        check_schedule(phases, logistic)
        assert (reason is not None) == (name == "auto")
        assert (phases[0].train == "logistic") == (logistic and name not in ("head", "all"))


def test_the_head_comes_first_and_then_the_rest():
    assert trained(make_phases("linear", context())[0]) == ["logistic"]
    assert trained(make_phases("linear", context(head_is_logistic=False))[0]) == ["head"]
    assert trained(make_phases("fine_tune", context())[0]) == ["logistic", "all"]
    assert trained(make_phases("fine_tune", context(head_is_logistic=False))[0]) == ["head", "all"]
    assert trained(make_phases("all", context())[0]) == ["all"]


def test_what_recipes_do_unless_they_are_told_otherwise():
    solved, trained_head = Phase("logistic", name="linear"), Phase("head", epochs=50, learning_rate=1e-3)
    rest = Phase("all", 10, 1e-3, "cosine", layer_decay=0.8, label_smoothing=0.1, patience=None, interpolate=True)
    opening = [Phase(stage, 1, 1e-3, layer_decay=0.8) for stage in ("block3", "block2", "block1")]
    expected = {
        "linear": [solved],
        "head": [trained_head],
        "fine_tune": [solved, rest],
        "gradual": [solved, *opening, replace(rest, epochs=12)],
        "all": [Phase("all", 10, 1e-4)],
    }
    assert {name: make_phases(name, context())[0] for name in expected} == expected
    assert make_phases("linear", context(head_is_logistic=False))[0] == [trained_head]


def test_gradual_goes_down_from_the_top_stage_by_stage_within_its_epochs():
    phases, _ = make_phases("gradual", context(), epochs=6)
    assert trained(phases) == ["logistic", "block3", "block2", "block1", "all"]
    assert [phase.epochs for phase in phases[1:]] == [1, 1, 1, 3]
    for epochs in (1, 2, 3):
        phases, _ = make_phases("gradual", context(), epochs=epochs)
        assert trained(phases) == [*["logistic", "block3", "block2", "block1"][:epochs], "all"]
        assert [phase.epochs for phase in phases[1:]] == [1] * epochs


@pytest.mark.parametrize("name", ["fine_tune", "gradual", "all", "head"])
def test_epochs_and_rate_of_the_classifier_go_to_what_an_optimizer_trains(name):
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    for rate in (0.07, schedule):
        phases, _ = make_phases(name, context(), epochs=7, learning_rate=rate)
        solved = phases[0].train == "logistic"
        assert {id(phase.learning_rate) for phase in phases[solved:]} == {id(rate)}
        assert sum(phase.epochs for phase in phases[solved:]) == 7


@pytest.mark.parametrize("images", [100, 1000])
def test_epochs_and_rate_of_the_classifier_go_to_what_auto_chooses(images):
    case, options = context(images, head_is_logistic=False), {"epochs": 7, "learning_rate": 0.07}
    assert make_phases("auto", case, **options)[0] == make_phases(choose_recipe(case)[0], case, **options)[0]


@pytest.mark.parametrize("name", ["fine_tune", "gradual"])
def test_epochs_and_rate_of_the_classifier_reach_a_head_that_is_trained_first(name):
    found, _ = make_phases(name, context(head_is_logistic=False), epochs=1, learning_rate=0.05)
    assert [(phase.train, phase.epochs, phase.learning_rate) for phase in found] == [
        ("head", 1, 0.05),
        ("all", 1, 0.05),
    ]
    many, _ = make_phases(name, context(head_is_logistic=False), epochs=100)
    assert many[0].epochs == make_phases(name, context(head_is_logistic=False))[0][0].epochs == 20


def test_a_keras_schedule_and_a_plateau_are_told_apart_before_anything_starts():
    falling = keras.optimizers.schedules.ExponentialDecay(1e-3, 10, 0.9)
    with pytest.raises(ValueError, match="rate_schedule='plateau' reduces a rate that is a number"):
        Phase("head", learning_rate=falling, rate_schedule="plateau")
    plateau = [Phase("head", rate_schedule=ReduceOnPlateau())]
    check_schedule(plateau, True, 1e-3)
    with pytest.raises(ValueError, match="rate_schedule='plateau' reduces a rate that is a number"):
        check_schedule(plateau, True, falling)


@pytest.mark.parametrize("options", [{"l2_sp": 100.0}, {"batch_norm": "adapt"}])
def test_what_adapters_cannot_do_is_refused(options):
    with pytest.raises(ValueError, match=f"`{next(iter(options))}`|batch_norm"):
        Phase("lora", **options)


def test_a_list_stays_as_it_is_but_for_rates_that_it_leaves_open():
    schedule = [Phase("head", epochs=2), Phase("all", learning_rate=0.5, rate_schedule=Cosine())]
    phases, reason = make_phases(schedule, context(), epochs=9, learning_rate=0.1)
    assert phases == [Phase("head", epochs=2, learning_rate=0.1), schedule[1]]
    assert reason is None
    assert make_phases(schedule, context())[0] == schedule


@pytest.mark.parametrize(
    ("schedule", "error", "message"),
    [
        ("linaer", ValueError, "Unknown schedule. Received: schedule='linaer'. Expected one of 'linear', 'head'"),
        ([], ValueError, "`schedule` is an empty list"),
        ([Phase("head"), "all"], TypeError, "must be a name or a list of Phase"),
        (Phase("head"), TypeError, "must be a name or a list of Phase"),
        (None, TypeError, "must be a name or a list of Phase. Received: schedule=None"),
        ([Phase("head"), Phase("logistic")], ValueError, r"Phase\('logistic'\) must be the first"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(schedule, error, message):
    with pytest.raises(error, match=message):
        check_schedule(schedule, head_is_logistic=True)


def test_a_logistic_phase_goes_with_a_logistic_head_only():
    check_schedule([Phase("logistic"), Phase("all")], head_is_logistic=True)
    with pytest.raises(ValueError, match="goes with head='logistic' only"):
        check_schedule([Phase("logistic"), Phase("all")], head_is_logistic=False)


# ---- the rule of "auto" ----


@pytest.mark.parametrize(
    ("changes", "name", "reason"),
    [
        ({"num_images": 190}, "linear", "19 images a class are fewer than 20"),
        ({"num_images": 199}, "linear", "19.9 images a class are fewer than 20"),
        ({"num_images": 1999, "num_classes": 100}, "linear", "19.9 images a class are fewer than 20"),
        ({"num_images": 200}, "fine_tune", "20 images a class, and few enough pixels for a CPU"),
        ({"num_images": 2000}, "fine_tune", "few enough pixels"),
        (
            {"num_images": 2010},
            "linear",
            "2,010 images of 224 x 224 px are much to fine-tune on without an accelerator",
        ),
        ({"num_images": 7000, "image_size": (112, 112)}, "fine_tune", "few enough pixels"),
        ({"num_images": 10**6, "has_gpu": True}, "fine_tune", "an accelerator is there"),
        ({"num_images": 190, "has_gpu": True}, "linear", "too few to fine-tune on"),
    ],
)
def test_auto_looks_at_images_a_class_pixels_and_device(changes, name, reason):
    chosen, why = choose_recipe(context(**changes))
    assert chosen == name
    assert reason in why
    phases, said = make_phases("auto", context(**changes))
    assert phases == make_phases(name, context(**changes))[0]
    assert said == f"Schedule {name!r}: {why}."


@pytest.mark.parametrize("field", ["layer_decay", "l2_sp", "label_smoothing", "mixup", "cutmix"])
def test_numbers_that_have_no_other_source_must_be_given(field):
    with pytest.raises(TypeError, match=f"`{field}` of a Phase must be a number. Received: None"):
        Phase(**{field: None})
    assert Phase(weight_decay=None, ema=None) == Phase()
