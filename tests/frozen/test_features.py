"""What is computed once: that it is exact, that it is found again, and that nothing else is."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from transferkit._utils.console import speaking_to
from transferkit.cache.store import Store
from transferkit.data.augmentation.augmentation import Augmentation
from transferkit.data.inputs.convert import as_source
from transferkit.frozen.features import FrozenFeatures, Trials, find_front
from transferkit.training.phases import Phase

KERAS_ARRAYS = pytest.mark.filterwarnings("ignore:__array__")  # that of keras, caught and raised again from elsewhere
FLIP = Augmentation(horizontal_flip=True, brightness=(0.5, 1.5))


class Counter:
    """Counts the images that go through any front."""

    def __init__(self, monkeypatch):
        from transferkit.frozen import features as fronts

        self.images, iterate = 0, fronts.iterate_model

        def counting(front, batches, num_images):
            for outputs in iterate(front, batches, num_images):
                self.images += len(outputs)
                yield outputs

        monkeypatch.setattr(fronts, "iterate_model", counting)

    def take(self):
        count, self.images = self.images, 0
        return count


@pytest.fixture
def computed(monkeypatch):
    return Counter(monkeypatch)


def fronts_of(bench, phases=(), trials=None, **options):
    settings = bench.settings(**options)
    fronts = FrozenFeatures(bench.components, settings, 36, trials)
    fronts.plan(phases, replace(bench.training_data, augmenter_for=settings.augmenter_for))
    return fronts


def features_of(bench, source=None, **options):
    return fronts_of(bench, **options).features(source or bench.training_data.training, "Computing features")


def by_hand(bench, images):
    features = bench.components.network.predict(images.astype("float32"), verbose=0)
    return features.mean(axis=(1, 2))


# ---- exactness ----


@pytest.mark.parametrize(
    ("phase", "optimizer"),
    [
        (Phase("head", epochs=3, learning_rate=0.05), "adam"),
        (Phase("stage3", epochs=3, learning_rate=0.05), "sgd"),
        (Phase(["stage2"], epochs=3, learning_rate=0.05), "sgd"),
        (Phase("stage2", epochs=2, learning_rate=0.05, batch_norm="adapt"), "sgd"),
        (Phase("stage3", epochs=3, learning_rate=0.05, interpolate=True, label_smoothing=0.1, ema=0.5), "adam"),
    ],
    ids=["head", "stage3", "stage2 alone", "adapting", "everything"],
)
@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_training_on_what_was_computed_once_gives_the_weights_of_training_on_images(
    make_bench, tmp_path, phase, optimizer, cache
):
    def weights(cache):
        bench = make_bench(dropout=0.3, batch_size=7)
        record = bench.train(phase, optimizer=optimizer, cache={"cache": cache, "cache_dir": tmp_path})
        return bench.weights(), record.history["val_loss"], bench

    plain, losses, _ = weights(False)
    kept, kept_losses, bench = weights(cache)
    tolerance = 2e-4 if cache == "memory" else 5e-3  # float16 on disk
    assert any("computed once" in note for note in bench.said)
    assert kept_losses == pytest.approx(losses, rel=tolerance)
    start = make_bench(dropout=0.3).weights()
    assert any(not np.allclose(start[path], plain[path], atol=1e-3) for path in plain)  # something was trained
    for path, values in plain.items():
        assert kept[path] == pytest.approx(values, abs=tolerance), path


def test_features_are_those_of_the_network(make_bench):
    bench = make_bench()
    assert features_of(bench) == pytest.approx(by_hand(bench, bench.training_data.training.images), abs=1e-4)


@pytest.mark.parametrize("size", [(16, 16), (12, 10), (40, 20)], ids=["right", "small", "large"])
def test_arrays_of_any_size_give_what_the_whole_model_gives(make_bench, size):
    bench, pixels = make_bench(), np.random.default_rng(1).integers(0, 256, (5, *size, 3)).astype("uint8")
    features = features_of(bench, as_source(pixels))
    assert np.asarray(bench.components.dense(features)) == pytest.approx(
        bench.components.whole.predict(pixels, verbose=0), abs=1e-4
    )


def test_files_give_what_their_arrays_give(make_bench, tmp_path):
    bench, paths = make_bench(), []
    for number, pixels in enumerate(bench.training_data.training.images[:5]):
        paths.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(pixels).save(paths[-1])
    from_arrays = features_of(bench, as_source(bench.training_data.training.images[:5]))
    assert features_of(bench, as_source(paths)) == pytest.approx(from_arrays, abs=1e-5)


# ---- what is found again ----


def test_each_image_is_computed_once_for_all_heads_folds_and_orders(make_bench, tmp_path, computed):
    bench, disk = make_bench(), {"cache": "disk", "cache_dir": tmp_path}
    training = bench.training_data.training
    first = np.asarray(features_of(bench, training.take(range(20)), **disk))
    assert computed.take() == 20
    again = np.asarray(features_of(make_bench(), training.take(range(20)), **disk))
    assert computed.take() == 0
    assert np.array_equal(first, again)
    folded = np.asarray(features_of(bench, training.take([23, 3, 5, 5, 22]), **disk))
    assert computed.take() == 2
    assert np.array_equal(folded[1:4], first[[3, 5, 5]])
    relabelled = replace(training, labels=training.labels[::-1].copy())
    features_of(bench, relabelled.take(range(20)), **disk)
    assert computed.take() == 0


def test_a_second_pass_says_so_and_a_first_one_does_not(make_bench, tmp_path):
    bench, disk = make_bench(), {"cache": "disk", "cache_dir": tmp_path}
    with speaking_to(bench.console):
        features_of(bench, **disk)
        assert bench.said == []
        features_of(bench, **disk)
    assert bench.said == ["Found features: all 24 images were there."]


_OTHER_FORMATS = {"interpolation": "bilinear", "resize": "crop", "background": "black"}


@pytest.mark.parametrize(
    "change",
    ["a weight", "a pixel", "interpolation", "resize", "background", "the precision"],
)
def test_whatever_changes_the_result_is_a_miss(make_bench, tmp_path, computed, change):
    bench, disk = make_bench(), {"cache": "disk", "cache_dir": tmp_path}
    source, other = bench.training_data.training, make_bench()
    features_of(bench, **disk)
    computed.take()
    if change == "a weight":
        kernel = other.components.network.get_layer("conv1").kernel
        kernel.assign(kernel + 0.01)
        expected = 24
    elif change == "a pixel":
        pixels = source.images.copy()
        pixels[3, 0, 0, 0] += 1
        source, expected = replace(source, images=pixels), 1
    elif change in _OTHER_FORMATS:
        disk["image_format"] = replace(bench.training_data.image_format, **{change: _OTHER_FORMATS[change]})
        expected = 24
    else:
        disk["precision"], expected = "bfloat16", 24
    features_of(other, source, **disk)
    assert computed.take() == expected


def test_files_are_known_by_their_content(make_bench, tmp_path, computed):
    bench, disk = make_bench(), {"cache": "disk", "cache_dir": tmp_path / "cache"}

    def save(name, pixels):
        Image.fromarray(pixels).save(tmp_path / name)
        return str(tmp_path / name)

    images = bench.training_data.training.images
    one, other = save("a.png", images[0]), save("b.png", images[1])
    first = np.asarray(features_of(bench, as_source([one, other]), **disk))
    assert computed.take() == 2
    moved = save("c.png", images[0])
    assert np.array_equal(np.asarray(features_of(bench, as_source([moved]), **disk)), first[:1])
    assert computed.take() == 0
    save("a.png", images[2])
    assert not np.array_equal(np.asarray(features_of(bench, as_source([one]), **disk)), first[:1])
    assert computed.take() == 1


def test_values_too_large_for_float16_are_kept_in_float32(make_bench, tmp_path, computed):
    bench, disk = make_bench(), {"cache": "disk", "cache_dir": tmp_path}
    for name in ("gamma", "beta"):
        weight = getattr(bench.components.network.get_layer("bn3"), name)
        weight.assign(weight * 1e5 + 1e5)
    expected = by_hand(bench, bench.training_data.training.images)
    assert np.abs(expected).max() > 70_000
    assert np.asarray(features_of(bench, **disk)) == pytest.approx(expected, rel=1e-4, abs=1)
    computed.take()
    assert np.asarray(features_of(bench, **disk)) == pytest.approx(expected, rel=1e-4, abs=1)
    assert computed.take() == 0


@pytest.mark.parametrize("scale", [1e-5, 1e-7])
def test_values_too_small_for_float16_are_kept_in_float32(make_bench, tmp_path, computed, scale):
    bench, disk = make_bench(), {"cache": "disk", "cache_dir": tmp_path}
    for name in ("gamma", "beta"):
        weight = getattr(bench.components.network.get_layer("bn3"), name)
        weight.assign(weight * scale)
    expected = by_hand(bench, bench.training_data.training.images)
    assert np.asarray(features_of(bench, **disk)) == pytest.approx(expected, rel=1e-4, abs=1e-4 * scale)
    computed.take()
    assert np.asarray(features_of(bench, **disk)) == pytest.approx(expected, rel=1e-4, abs=1e-4 * scale)
    assert computed.take() == 0


# ---- what must not be found ----


def saved(folder, images):
    paths = [str(folder / f"{number}.png") for number in range(len(images))]
    for path, pixels in zip(paths, images, strict=True):
        Image.fromarray(pixels).save(path)
    return paths


@KERAS_ARRAYS
@pytest.mark.parametrize("cache", ["disk", "memory"])
def test_a_file_that_changes_after_its_print_is_used_and_kept_as_what_it_is_now(make_bench, tmp_path, computed, cache):
    bench, disk = make_bench(), {"cache": cache, "cache_dir": tmp_path / "cache"}
    images = bench.training_data.training.images
    source = as_source(saved(tmp_path, images[:5]))
    fronts = fronts_of(bench, **disk)
    fronts._prints_of(source)
    Image.fromarray(images[9]).save(source.images[3])
    with pytest.warns(UserWarning, match="1 file changed during this run: .*3.png"):
        features = np.asarray(fronts.features(source, "Computing features"))
    expected = by_hand(bench, images[[0, 1, 2, 9, 4]])
    assert features == pytest.approx(expected, abs=5e-3)
    computed.take()
    assert np.array_equal(fronts.features(source, "Computing features"), features)
    assert computed.take() == 0
    Image.fromarray(images[3]).save(source.images[3])  # what was in it at first has not been seen by the network
    later = np.asarray(features_of(bench, as_source(list(source.images)), **disk))
    assert later == pytest.approx(by_hand(bench, images[:5]), abs=5e-3)


@KERAS_ARRAYS
def test_a_file_that_changes_between_views_is_the_same_in_all_that_follow(make_bench, tmp_path):
    bench = make_bench()
    images = bench.training_data.training.images
    source = as_source(saved(tmp_path, images[:5]))
    fronts = fronts_of(bench, augmenter=FLIP)
    fronts._prints_of(source)
    Image.fromarray(images[9]).save(source.images[3])
    with pytest.warns(UserWarning, match="1 file changed"):
        features = fronts.features(source, "Computing features", views=2)
    assert np.array_equal(features, fronts_of(bench, augmenter=FLIP).features(source, "Computing features", views=2))


@KERAS_ARRAYS
def test_a_file_that_keeps_changing_is_an_error(make_bench, tmp_path, monkeypatch):
    from transferkit.frozen import features as fronts

    bench, read = make_bench(), fronts.fingerprint_images
    source = as_source(saved(tmp_path, bench.training_data.training.images[:5]))

    def growing(*arguments):
        prints = read(*arguments)
        with open(source.images[2], "ab") as file:
            file.write(b"more")
        return prints

    monkeypatch.setattr(fronts, "fingerprint_images", growing)
    with (
        pytest.warns(UserWarning, match="1 file changed"),
        pytest.raises(RuntimeError, match="1 file changed whenever read: .*2.png. Expected files that are complete"),
    ):
        features_of(bench, source)


@KERAS_ARRAYS
def test_damaged_files_of_the_cache_are_computed_again(make_bench, tmp_path, computed):
    bench, disk = make_bench(), {"cache": "disk", "cache_dir": tmp_path}
    first = np.asarray(features_of(bench, **disk))
    (segment,) = tmp_path.rglob("*.npy")
    content = segment.read_bytes()
    segment.write_bytes(content[:300] + bytes(100) + content[400:])
    computed.take()
    with pytest.warns(UserWarning, match="is damaged"):
        assert np.array_equal(np.asarray(features_of(bench, **disk)), first)
    assert computed.take() == 24


def test_a_run_that_is_interrupted_keeps_what_it_had(make_bench, tmp_path, computed, monkeypatch):
    from transferkit.frozen import features as fronts

    bench, disk, iterate = make_bench(batch_size=8), {"cache": "disk", "cache_dir": tmp_path}, fronts.iterate_model

    def failing(front, batches, num_images):
        yield next(iter(iterate(front, batches, num_images)))
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(fronts, "iterate_model", failing)
        with pytest.raises(KeyboardInterrupt):
            features_of(bench, **disk)
    computed.take()
    assert np.asarray(features_of(bench, **disk)) == pytest.approx(
        by_hand(bench, bench.training_data.training.images), abs=5e-3
    )
    assert computed.take() == 16


# ---- views ----


def test_the_first_view_is_the_image_and_the_others_are_augmented(make_bench):
    bench, phase = make_bench(), Phase("stage3", epochs=6, views=3)
    fronts = fronts_of(bench, [phase], augmenter=FLIP)
    found, plain = fronts.activations(phase), fronts_of(bench, [phase]).activations(phase)
    views = [np.asarray(view) for view in found.training]
    assert len(views) == 3
    assert np.array_equal(views[0], np.asarray(plain.training[0]))
    assert np.array_equal(np.asarray(found.validation), np.asarray(plain.validation))
    differences = [np.abs(views[i] - views[j]).max() for i, j in ((0, 1), (0, 2), (1, 2))]
    assert min(differences) > 0.01


def test_views_are_found_again_for_the_same_images_and_only_for_them(make_bench, tmp_path, computed):
    bench, phase = make_bench(), Phase("stage3", epochs=6, views=2)
    options = {"augmenter": FLIP, "cache": "disk", "cache_dir": tmp_path}
    first = [np.asarray(view) for view in fronts_of(bench, [phase], **options).activations(phase).training]
    assert computed.take() == 24 + 24 + 12
    again = fronts_of(bench, [phase], **options).activations(phase).training
    assert computed.take() == 0
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    fronts_of(bench, [phase], **options | {"augmenter": replace(FLIP, hue=3.0)}).activations(phase)
    assert computed.take() == 24
    bench.training_data = replace(bench.training_data, training=bench.training_data.training.take(range(20)))
    fronts_of(bench, [phase], **options).activations(phase)
    assert computed.take() == 20  # the images as they are were there


@pytest.mark.parametrize("change", [{"seed": 1}, {"batch_size": 5}])
def test_views_that_were_drawn_in_another_way_are_not_found(make_bench, tmp_path, computed, change):
    bench, phase = make_bench(), Phase("stage3", epochs=6, views=2)
    options = {"augmenter": FLIP, "cache": "disk", "cache_dir": tmp_path}
    fronts_of(bench, [phase], **options).activations(phase)
    assert computed.take() == 24 + 24 + 12
    found = fronts_of(bench, [phase], **options | change).activations(phase)
    assert computed.take() == 24  # the images as they are were there
    expected = fronts_of(bench, [phase], **options | change | {"cache": "memory"}).activations(phase)
    assert np.asarray(found.training[1]) == pytest.approx(np.asarray(expected.training[1]), rel=2e-3, abs=1e-3)


def test_views_take_turns_in_training(make_bench):
    bench = make_bench()
    record = bench.train(
        Phase("stage3", epochs=4, learning_rate=1e-9, patience=None, views=2),
        cache={"augmenter": FLIP, "augments_heads": True},
    )
    losses = record.history["loss"]  # nothing is learnt, so they tell which view it was
    assert losses[0] == pytest.approx(losses[2], rel=1e-4)
    assert losses[1] == pytest.approx(losses[3], rel=1e-4)
    assert abs(losses[0] - losses[1]) > 1e-3


# ---- what is worth keeping ----


@pytest.mark.parametrize(
    ("phase", "options", "expected"),
    [
        (Phase("head", epochs=1), {}, (None, 1)),
        (Phase("stage3", epochs=2), {}, ("stage3", 1)),
        (Phase("stage3", epochs=1), {}, None),  # once is all it would be used
        (Phase("stage3", epochs=9, mixup=0.2), {}, None),
        (Phase("stage3", epochs=9, cutmix=0.2), {}, None),
        (Phase("all", epochs=9), {}, None),
        (Phase("stage3", epochs=9), {"cache": False}, None),
        (Phase("head", epochs=9), {"cache": False}, None),
        (Phase("stage3", epochs=9, views=None), {"augmenter": FLIP}, None),
        (Phase("stage3", epochs=9, views=4), {"augmenter": FLIP}, ("stage3", 4)),
        (Phase("stage3", epochs=3, views=4), {"augmenter": FLIP}, None),  # each epoch would have its own
        (Phase("stage3", epochs=9, views=1), {"augmenter": FLIP}, ("stage3", 1)),
        (Phase("stage3", epochs=9, views="auto"), {"augmenter": FLIP}, ("stage3", 4)),
        (Phase("stage3", epochs=3, views="auto"), {"augmenter": FLIP}, None),
        (Phase("head", epochs=9, views=4), {"augmenter": FLIP}, (None, 1)),  # heads are not augmented
        (Phase("head", epochs=9, views=4), {"augmenter": FLIP, "augments_heads": True}, (None, 4)),
    ],
)
def test_what_is_computed_once_depends_on_the_phase(make_bench, phase, options, expected):
    bench = make_bench()
    found = find_front(phase, bench.components, bench.settings(**options), 24)
    assert (found and (found[0].stage, found[1])) == expected


def test_many_images_need_fewer_versions():
    assert [Phase().views_for(count) for count in (100, 1999, 2000, 10_000)] == [4, 4, 2, 2]


def test_what_fits_nowhere_is_not_kept_and_training_goes_on_with_images(make_bench, monkeypatch, computed):
    from transferkit.frozen import features as fronts

    monkeypatch.setattr(fronts, "choose_place", lambda *args, **kwargs: (None, "too many"))
    bench = make_bench()
    record = bench.train(Phase("stage3", epochs=2, learning_rate=0.01), cache="auto")
    assert computed.take() == 0
    assert record.epochs_done == 2
    assert any("not kept: too many" in note for note in bench.said)


def test_a_memory_cache_writes_nothing(make_bench, tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFERKIT_CACHE_DIR", str(tmp_path / "cache"))
    features_of(make_bench(), cache="memory")
    assert not (tmp_path / "cache").exists()


def test_the_table_tells_what_it_holds(make_bench, tmp_path):
    bench = make_bench()
    features_of(bench, cache="disk", cache_dir=tmp_path)
    (contents,) = Store(tmp_path, 1e9).contents()
    assert contents.title == "tiny features, 16 x 16"
    assert contents.rows == 24


# ---- engines ----


class Measurement:
    """Stands for `choose_front`: finds bfloat16 the fastest."""

    def __init__(self):
        self.count = 0

    def trials(self, **options):
        """`Trials` of a new process."""
        return Trials(
            known={}, choose=self, engines=lambda: ("keras",), precisions=lambda: ("float32", "bfloat16"), **options
        )

    def __call__(self, models, candidates, batch_shape, known):
        self.count += not known
        known["here"] = 3.0
        return candidates[-1], dict.fromkeys(candidates, 3.0)


@pytest.fixture
def measurement():
    return Measurement()


AUTO = {"precision": "auto", "engine": "auto"}


def test_little_work_is_done_in_float32_everywhere_and_nothing_is_measured(make_bench, measurement):
    bench = make_bench()
    features = features_of(bench, trials=measurement.trials(), **AUTO)
    assert measurement.count == 0
    assert np.array_equal(features, features_of(bench))


def test_for_much_work_the_fastest_is_measured_once_and_remembered(make_bench, measurement, tmp_path):
    bench, disk = make_bench(), {"cache": "disk", "cache_dir": tmp_path} | AUTO
    with speaking_to(bench.console):
        features = np.asarray(features_of(bench, trials=measurement.trials(worth=1), **disk))
    assert measurement.count == 1
    assert bench.said == [
        "Images a second: keras float32 3, keras bfloat16 3. What is computed once is computed by keras in bfloat16."
    ]
    another_process = measurement.trials(worth=1)
    assert np.array_equal(np.asarray(features_of(bench, trials=another_process, **disk)), features)
    assert measurement.count == 1
    asked_for = np.asarray(features_of(bench, cache="memory", precision="bfloat16"))
    assert features == pytest.approx(asked_for, abs=1e-3)
    assert not np.array_equal(features, np.asarray(features_of(bench)))


def test_damaged_measurements_are_made_again(make_bench, measurement, tmp_path):
    (tmp_path / "speeds.json").write_text('{"here": "fast", "there": null, "then": Infinity, "once": [1.0]}', "ascii")
    features_of(make_bench(), trials=measurement.trials(worth=1), cache="disk", cache_dir=tmp_path, **AUTO)
    assert measurement.count == 1


def test_who_names_engine_and_precision_gets_them(make_bench, measurement):
    features_of(make_bench(), trials=measurement.trials(worth=1), precision="float32", engine="keras")
    assert measurement.count == 0


def test_measuring_for_a_memory_cache_writes_nothing(make_bench, measurement, tmp_path):
    features_of(make_bench(), trials=measurement.trials(worth=1), cache="memory", cache_dir=tmp_path / "cache", **AUTO)
    assert measurement.count == 1
    assert not (tmp_path / "cache").exists()
