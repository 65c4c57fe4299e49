import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax

from transferkit import TransferClassifier
from transferkit.backbones.registry import get_backbone
from transferkit.data.inputs.convert import as_source
from transferkit.exceptions import ImageReadError
from transferkit.frozen import prediction
from transferkit.frozen.compute import Compute
from transferkit.frozen.prediction import Predictor


@pytest.fixture
def make_predictor(fitted_classifier):
    def make():
        clf = fitted_classifier
        return Predictor(clf.model_, get_backbone(clf.backbone_), clf.image_format_)

    return make


@pytest.mark.parametrize("size", [(16, 16), (8, 11), (20, 24), (16, 40)])
@pytest.mark.parametrize("count", [3, 10])
def test_many_images_and_few_get_what_the_model_gives(make_predictor, fitted_classifier, size, count):
    pixels = np.random.default_rng(0).integers(0, 256, (count, *size, 3)).astype("uint8")
    expected = fitted_classifier.model_.predict(pixels, verbose=0)
    found = make_predictor().predict(as_source(pixels), batch_size=4)
    assert found == pytest.approx(expected, abs=1e-5)


def test_files_get_what_their_arrays_get(make_predictor, images, image_paths):
    predictor = make_predictor()
    from_files = predictor.predict(as_source(image_paths), batch_size=4)
    assert from_files == pytest.approx(predictor.predict(as_source(images), batch_size=4), abs=1e-5)


def test_what_is_compiled_serves_again_until_a_weight_changes(tiny_backbone, images, labels, monkeypatch):
    compiled, compile_front = [], prediction.compile_front

    def counting(models, **options):
        compiled.append(models)
        return compile_front(models, **options)

    monkeypatch.setattr(prediction, "compile_front", counting)
    clf = TransferClassifier(tiny_backbone, batch_size=8, verbose=0).fit(images, labels)
    first = clf.predict_proba(images)
    clf.predict_proba(images)
    clf.evaluate(images, labels)
    assert len(compiled) == 1
    clf.predict_proba(images[:3])  # less than a batch: not worth compiling
    assert len(compiled) == 1
    bias = clf.model_.get_layer("head").get_layer("probabilities").bias
    bias.assign(bias + np.array([3.0, 0.0, 0.0], "float32"))
    second = clf.predict_proba(images)
    assert len(compiled) == 2
    assert second == pytest.approx(clf.model_.predict(images, verbose=0), abs=1e-5)
    assert (second[:, 0] > first[:, 0]).all()


def test_a_fitted_classifier_is_pickled_without_what_predictions_have_compiled(fitted_classifier, images):
    expected = fitted_classifier.predict_proba(images)
    assert np.array_equal(
        pickle.loads(pickle.dumps(fitted_classifier)).predict_proba(images[:4]).argmax(axis=1),
        expected[:4].argmax(axis=1),
    )


# ---- what is kept ----


@pytest.fixture
def computed(monkeypatch):
    """Counts the images that go through the network."""
    counts, iterate_model = [], prediction.iterate_model

    def counting(*arguments):
        for rows in iterate_model(*arguments):
            counts.append(len(rows))
            yield rows

    monkeypatch.setattr(prediction, "iterate_model", counting)
    return counts


SOURCES = ("array", "files", "list", "mapped")


@pytest.fixture
def source_of(images, image_paths, tmp_path):
    def make(kind, rows=slice(None)):
        if kind == "mapped":
            np.save(tmp_path / "images.npy", images)
            return as_source(np.load(tmp_path / "images.npy", mmap_mode="r")[rows])
        kinds = {"array": images, "files": image_paths, "list": list(images)}
        return as_source(kinds[kind][rows])

    return make


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("batch_size", [8, 32])
def test_the_same_images_are_computed_once(kind, batch_size, make_predictor, source_of, computed):
    predictor, fresh = make_predictor(), make_predictor()
    fresh.is_keeping = False
    expected = fresh.predict(source_of(kind), batch_size)
    computed.clear()
    first = predictor.predict(source_of(kind), batch_size)
    assert sum(computed) == 24
    features, second = predictor.features_and_probabilities(source_of(kind), batch_size)
    third, failures = predictor.predict_readable(source_of(kind), batch_size)
    assert sum(computed) == 24
    assert failures == ()
    assert features.shape == (24, 12)
    for found in (first, second, third):
        assert np.array_equal(found, expected)  # to the last bit


def test_features_are_what_the_head_is_given(make_predictor, fitted_classifier, images):
    features, probabilities = make_predictor().features_and_probabilities(as_source(images), 8)
    kernel, bias = fitted_classifier.model_.get_layer("head").get_layer("probabilities").get_weights()
    assert softmax(features @ kernel + bias, axis=1) == pytest.approx(probabilities, abs=1e-6)
    assert features.dtype == probabilities.dtype == np.float32


@pytest.mark.parametrize("kind", SOURCES)
def test_only_what_is_new_is_computed(kind, make_predictor, source_of, computed):
    predictor = make_predictor()
    first = predictor.predict(source_of(kind, slice(0, 10)), 8)
    computed.clear()
    seen = []
    second = predictor.predict(source_of(kind), 8, seen.append)
    assert sum(computed) == 14
    assert sum(seen) == 24
    assert np.array_equal(second[:10], first)
    assert second[10:] == pytest.approx(make_predictor().predict(source_of(kind), 8)[10:], abs=1e-6)


def test_other_orders_are_found_as_well(make_predictor, images, computed):
    predictor, order = make_predictor(), np.random.default_rng(0).permutation(24)
    first = predictor.predict(as_source(images), 8)
    computed.clear()
    assert np.array_equal(predictor.predict(as_source(images[order]), 8), first[order])
    assert not computed


def test_nothing_is_found_once_a_weight_has_changed(tiny_backbone, images, labels, computed):
    clf = TransferClassifier(tiny_backbone, batch_size=8, verbose=0).fit(images, labels)
    first = clf.predict_proba(images)
    bias = clf.model_.get_layer("head").get_layer("probabilities").bias
    bias.assign(bias + np.array([3.0, 0.0, 0.0], "float32"))
    computed.clear()
    second = clf.predict_proba(images)
    assert sum(computed) == 24
    assert (second[:, 0] > first[:, 0]).all()


def test_a_file_with_another_content_is_computed_anew(make_predictor, images, tmp_path, computed):
    paths = [str(tmp_path / f"{number}.png") for number in range(8)]
    for path, image in zip(paths, images[:8], strict=True):
        Image.fromarray(image).save(path)
    predictor = make_predictor()
    first = predictor.predict(as_source(paths), 4)
    Image.fromarray(images[8]).save(paths[3])
    computed.clear()
    second = predictor.predict(as_source(paths), 4)
    assert sum(computed) == 1
    assert not np.array_equal(second[3], first[3])
    assert np.array_equal(np.delete(second, 3, axis=0), np.delete(first, 3, axis=0))


def test_files_that_cannot_be_read_are_left_out_of_what_is_found(make_predictor, image_paths, tmp_path, computed):
    broken = str(tmp_path / "broken.png")
    (tmp_path / "broken.png").write_text("no image")
    paths = [*image_paths[:2], broken, *image_paths[2:]]
    predictor = make_predictor()
    for _ in range(2):
        found, failures = predictor.predict_readable(as_source(paths), 8)
        assert [index for index, *_ in failures] == [2]
        assert len(found) == 24
        with pytest.raises(ImageReadError, match="1 of 25 images could not be read"):
            predictor.features_and_probabilities(as_source(paths), 8)
    assert sum(computed) == 24
    features, _, failures = predictor.readable_features_and_probabilities(as_source(paths), 8)
    assert len(features) == 24
    assert len(failures) == 1


def test_memory_is_bounded_and_results_are_right_all_the_same(fitted_classifier, images, computed):
    clf = fitted_classifier
    predictor = Predictor(clf.model_, clf.backbone_, clf.image_format_, max_bytes=(1000, 1000))
    expected = predictor.predict(as_source(images), 8)
    assert np.array_equal(predictor.predict(as_source(images), 8), expected)
    assert sum(computed) > 24


def test_features_that_are_gone_are_computed_though_probabilities_are_there(fitted_classifier, images, computed):
    clf = fitted_classifier
    predictor = Predictor(clf.model_, clf.backbone_, clf.image_format_, max_bytes=(1000, 100_000))
    features, probabilities = predictor.features_and_probabilities(as_source(images), 8)
    again = predictor.features_and_probabilities(as_source(images), 8)
    assert again[0] == pytest.approx(features, abs=1e-5)
    assert again[1] == pytest.approx(probabilities, abs=1e-6)
    assert 24 < sum(computed) < 48
    computed.clear()
    assert np.array_equal(predictor.predict(as_source(images), 8), again[1])
    assert not computed


def test_nothing_is_kept_where_the_cache_is_off(tiny_backbone, images, labels, computed):
    clf = TransferClassifier(tiny_backbone, compute=Compute(cache=False), verbose=0).fit(images, labels)
    computed.clear()
    clf.predict(images)
    clf.predict(images)
    assert sum(computed) == 48


def test_evaluation_and_predictions_share_one_pass(tiny_backbone, image_folder, labels, computed):
    clf = TransferClassifier(tiny_backbone, batch_size=8, verbose=0).fit(image_folder)
    computed.clear()
    clf.evaluate(image_folder)
    clf.predict(image_folder)
    clf.predict_proba(image_folder)
    clf.predict_files(image_folder)
    assert sum(computed) == 24


def test_threads_may_predict_at_the_same_time(make_predictor, images):
    predictor = make_predictor()
    expected = make_predictor().predict(as_source(images), 8)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: predictor.predict(as_source(images), 8), range(8)))
    for found in results:
        assert np.array_equal(found, expected)
