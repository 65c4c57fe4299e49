import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from matplotlib.figure import Figure
from PIL import Image
from sklearn.exceptions import NotFittedError

from transferkit import (
    Explanations,
    Head,
    ImageFormat,
    ImageReadError,
    Stage,
    TransferClassifier,
    backbone_from_model,
    get_backbone,
    list_backbones,
)
from transferkit._utils.console import Console, speaking_to
from transferkit.data.splits import Split
from transferkit.fitted import FittedClassifier
from transferkit.inspection.explanations import explain
from transferkit.models import build_components, components_of, split_model
from transferkit.models.heads import LOGISTIC
from transferkit.tasks.find import MULTICLASS

COLOURS = {"blue": 2, "green": 1, "red": 0}
CORNERS = ("top left", "top right", "bottom left", "bottom right")
SIZE = 32


def corner_of(shape, corner):
    """Rows and columns of the quarter of an image in one of its corners."""
    height, width = shape[0] // 2, shape[1] // 2
    top = slice(None, height) if corner.startswith("top") else slice(height, None)
    return top, slice(None, width) if corner.endswith("left") else slice(width, None)


def picture(patches, shape=(SIZE, SIZE), seed=0, channels=3):
    """Gray noise with patches, a dict from corner to colour or to channel: uint8 `(*shape, channels)`."""
    pixels = np.random.default_rng(seed).integers(60, 120, (*shape, channels))
    for corner, colour in patches.items():
        rows, columns = corner_of(shape, corner)
        pixels[rows, columns, COLOURS.get(colour, colour)] += 120
    return pixels.astype("uint8")


def pictures(count=24, **options):
    """Pictures with one patch each: their labels, their corners, and themselves."""
    labels = [list(COLOURS)[i % 3] for i in range(count)]
    corners = [CORNERS[i // 3 % 4] for i in range(count)]
    patches = [{corner: label} for corner, label in zip(corners, labels, strict=True)]
    return np.array(labels), corners, [picture(each, seed=i, **options) for i, each in enumerate(patches)]


MORE_THAN_THE_OTHERS = 1.5 * np.eye(3) - 0.5  # from RGB to how much redder, greener and bluer it is than gray


def small_network(end=None, mixture=MORE_THAN_THE_OTHERS):
    """Mixes the channels of an image at 8 x 8 places of a few pixels each."""
    image = keras.Input((SIZE, SIZE, 3))
    x = layers.Rescaling(1 / 255)(image)
    for number in (1, 2):
        x = layers.Conv2D(3, 2, strides=2, name=f"conv{number}")(x)
        x = layers.BatchNormalization(name=f"bn{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
    network = keras.Model(image, x if end is None else end(x), name="small")
    for number, mixed in enumerate((mixture, np.eye(3)), 1):
        network.get_layer(f"conv{number}").set_weights([np.broadcast_to(mixed / 4, (2, 2, 3, 3)), np.full(3, -0.1)])
    return network


@pytest.fixture(scope="module")
def classifier():
    labels, _, images = pictures()
    return TransferClassifier(small_network(), verbose=0).fit(np.stack(images), labels)


def share_in(heat, corner):
    """Share of the heat that lies in one quarter of the image."""
    return heat[corner_of(heat.shape, corner)].sum() / heat.sum()


def assert_heat_is_in_the_corners(explanations, corners, least=0.7):
    shares = [share_in(each.heat_map, corner) for each, corner in zip(explanations, corners, strict=True)]
    assert min(shares) > least


# ---- what the maps show ----


def test_the_heat_is_where_the_evidence_is(classifier):
    labels, corners, images = pictures()
    explanations = classifier.explain(np.stack(images))
    assert explanations.labels.tolist() == labels.tolist()
    assert_heat_is_in_the_corners(explanations, corners)


def test_each_class_has_a_map_of_its_own(classifier):
    image = picture({"top left": "red", "bottom right": "blue"})
    of_red, of_blue = classifier.explain(np.stack([image, image]), classes=["red", "blue"])
    assert share_in(of_red.heat_map, "top left") > 0.7
    assert share_in(of_blue.heat_map, "bottom right") > 0.7


def test_with_average_pooling_and_one_dense_layer_the_map_is_the_weighted_sum_of_the_features(classifier):
    images = np.stack(pictures()[2])
    for name in classifier.classes_:
        assert classifier.explain(images, classes=name).grids == pytest.approx(
            class_activation_maps(classifier.fitted_, images, [name] * len(images)), rel=1e-4, abs=1e-6
        )


def test_what_all_classes_have_in_common_speaks_for_none(classifier, tmp_path):
    images = np.stack(pictures(12)[2])
    classifier.save(tmp_path / "copy.keras")
    copy = TransferClassifier.load(tmp_path / "copy.keras")
    last = components_of(copy.model_)[2].get_layer("probabilities")
    kernel, bias = last.get_weights()
    in_common = np.array([[20.0], [-30.0], [10.0]])  # a weight of each feature, which no softmax sees
    last.set_weights([kernel + in_common, bias])
    assert copy.predict_proba(images) == pytest.approx(classifier.predict_proba(images), abs=1e-5)
    assert copy.explain(images).grids == pytest.approx(classifier.explain(images).grids, rel=1e-4, abs=1e-4)


def class_activation_maps(fitted, images, labels):
    """CAM (Zhou et al., CVPR 2016), the closed form, over the number of places."""
    preprocessing, network, head = components_of(fitted.model)
    features = np.asarray(network(preprocessing(images)))
    kernel, _ = head.get_layer("probabilities").get_weights()
    codes = [fitted.class_names.tolist().index(label) for label in labels]
    maps = np.einsum("nrck,kn->nrc", features, kernel[:, codes])
    return np.maximum(maps, 0) / np.prod(features.shape[1:3])


def test_probabilities_are_those_of_the_classifier(classifier):
    images = np.stack([picture({"top left": "red"}), picture({"top left": "blue"})])
    probabilities = classifier.predict_proba(images)
    assert classifier.explain(images).probabilities == pytest.approx(probabilities.max(axis=1), abs=1e-6)
    assert classifier.explain(images, classes="green").probabilities == pytest.approx(probabilities[:, 1], abs=1e-6)


@pytest.mark.parametrize("head", [Head(pooling="max", units=(8,)), Head(pooling="flatten", units=())], ids=repr)
def test_other_heads_look_at_the_evidence_too(head):
    labels, corners, images = pictures(48)
    options = {"schedule": "head", "epochs": 30, "learning_rate": 0.01, "batch_size": 16, "validation_split": 0.25}
    classifier = TransferClassifier(small_network(), head=head, verbose=0, **options).fit(np.stack(images), labels)
    assert classifier.score(np.stack(images), labels) > 0.9
    assert_heat_is_in_the_corners(classifier.explain(np.stack(images)), corners, 0.5)


def test_of_any_number_of_labels_each_has_a_map(classifier):
    pairs = [({"top left": one, "bottom right": two}, {one, two}) for one in COLOURS for two in COLOURS]
    pairs += [({"top left": one}, {one}) for one in COLOURS]
    images = np.stack([picture(patches, seed=i) for i, (patches, _) in enumerate(pairs * 3)])
    several = TransferClassifier(small_network(), verbose=0, task="multilabel")
    several.fit(images, [labels for _, labels in pairs * 3])
    image = picture({"top left": "red", "bottom right": "blue"}, seed=99)[np.newaxis]
    assert share_in(several.explain(image, classes="red")[0].heat_map, "top left") > 0.7
    assert share_in(several.explain(image, classes="blue")[0].heat_map, "bottom right") > 0.7
    assert several.explain(image).labels[0] == several.classes_[several.predict_proba(image)[0].argmax()]


def test_an_earlier_stage_gives_a_finer_map(classifier):
    _, corners, images = pictures()
    explanations = classifier.explain(np.stack(images), stage="stage1")
    assert classifier.explain(np.stack(images)).grids.shape[1:] == (8, 8)
    assert explanations.grids.shape[1:] == (16, 16)
    assert_heat_is_in_the_corners(explanations, corners, 0.5)


def test_after_an_earlier_stage_channels_count_by_what_they_do_to_the_logit(classifier):
    images, step = np.stack(pictures(3)[2]), 1e-2
    preprocessing, network, head = components_of(classifier.model_)
    front, back = split_model(network, classifier.backbone_.stages, "stage2")
    features = np.asarray(front(preprocessing(images)))

    def logits(features):
        logs = np.log(np.asarray(head(back(features, training=False))).astype("float64"))
        return (logs - logs.mean(axis=1, keepdims=True))[np.arange(3), [0, 1, 2]]

    # The mean gradient of a channel is what the logit gains when the channel grows everywhere alike.
    shifts = step * np.eye(features.shape[-1], dtype="float32")
    weights = np.stack([(logits(features + shift) - logits(features - shift)) / (2 * step) for shift in shifts], axis=1)
    expected = np.maximum(np.einsum("nrck,nk->nrc", features, weights / 16**2), 0)
    grids = classifier.explain(images, classes=classifier.classes_[:3], stage="stage1").grids
    assert grids == pytest.approx(expected, rel=0.05, abs=0.02 * expected.max())


def test_the_last_stage_is_the_one_that_the_head_sees(classifier):
    images = np.stack(pictures(3)[2])
    last = classifier.backbone_.stages[-1].name
    assert np.array_equal(classifier.explain(images, stage=last).grids, classifier.explain(images).grids)


def test_nothing_that_speaks_for_a_class_is_a_map_of_zeros_and_is_said(classifier, tmp_path):
    classifier.save(tmp_path / "copy.keras")
    copy = TransferClassifier.load(tmp_path / "copy.keras")
    last = components_of(copy.model_)[2].get_layer("probabilities")
    last.set_weights([np.tile([1.0, 1.0, -2.0], (3, 1)), np.zeros(3)])  # and features are at least 0
    said, console = [], Console(0, patience=float("inf"))
    console.note = said.append
    with speaking_to(console):
        (explanation,) = explain(copy.fitted_, picture({"top left": "red"}), classes="red")
    assert explanation.is_empty
    assert not explanation.heat_map.any()
    assert "nothing speaks for it" in repr(explanation)
    assert said == ["In 1 of 1 image, nothing speaks for the class: the heat map is 0 everywhere."]


# ---- over which image, and which part of it ----


@pytest.mark.parametrize("resize", ["stretch", "pad", "crop"])
def test_the_map_lies_over_the_image_as_it_is(resize):
    (wide, corners, images), (tall, more_corners, more_images) = pictures(shape=(40, 60)), pictures(shape=(70, 40))
    labels, corners, images = [*wide, *tall], corners + more_corners, images + more_images
    image_format = ImageFormat((SIZE, SIZE), resize=resize)
    classifier = TransferClassifier(small_network(), image_size=image_format, verbose=0).fit(images, labels)
    explanations = classifier.explain(images)
    assert [each.heat_map.shape for each in explanations] == [image.shape[:2] for image in images]
    assert_heat_is_in_the_corners(explanations, corners)


@pytest.mark.parametrize("channels", [1, 5])
def test_images_of_other_channels_are_explained_and_shown_in_gray(channels):
    places = ["top left", "bottom right"] * 8
    patches = [{corner: i % channels} for i, corner in enumerate(places)]
    images = np.stack([picture(each, seed=i, channels=channels) for i, each in enumerate(patches)])
    labels = [corner if channels == 1 else f"channel {i % channels}" for i, corner in enumerate(places)]
    image_format, head = ImageFormat((SIZE, SIZE), channels=channels), Head(pooling="flatten", units=())
    classifier = TransferClassifier(
        small_network(mixture=np.full((3, 3), 1 / 3)), image_size=image_format, head=head, epochs=5, verbose=0
    )
    explanation = classifier.fit(images, labels).explain(images)[1]
    shown = np.rint(images[1].mean(axis=-1))
    assert np.array_equal(explanation.image, np.repeat(shown[..., np.newaxis], 3, axis=-1))
    assert explanation.heat_map.shape == (SIZE, SIZE)
    assert explanation.overlay().shape == (SIZE, SIZE, 3)


def test_files_of_any_size_are_explained_in_order_each_at_its_own(classifier, tmp_path):
    shapes = [(20, 30), (64, 50), (33, 33)]
    for number, (shape, corner) in enumerate(zip(shapes, CORNERS, strict=False)):
        Image.fromarray(picture({corner: "red"}, shape)).save(tmp_path / f"{number}.png")
    explanations = classifier.explain(tmp_path)
    assert [each.name for each in explanations] == [str(tmp_path / f"{number}.png") for number in range(3)]
    assert [each.heat_map.shape for each in explanations] == shapes
    assert_heat_is_in_the_corners(explanations, CORNERS[:3], 0.6)


def test_a_turned_photo_is_explained_as_it_is_seen(classifier, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees to the right
    Image.fromarray(picture({"top left": "red"}, (32, 48))).save(tmp_path / "photo.png", exif=exif)
    (explanation,) = classifier.explain(tmp_path / "photo.png")
    assert explanation.heat_map.shape == (48, 32)
    assert share_in(explanation.heat_map, "top right") > 0.7


def test_whatever_can_be_predicted_can_be_explained(classifier):
    _, _, images = pictures(8)
    stream = tf.data.Dataset.from_tensor_slices(np.stack(images)).batch(4)
    grids = classifier.explain(np.stack(images)).grids
    for given in (list(images), [Image.fromarray(image) for image in images], stream):
        assert classifier.explain(given).grids == pytest.approx(grids, abs=1e-6)
    assert len(classifier.explain(stream, steps=1)) == 4
    assert len(classifier.explain(images[0])) == 1


def test_the_batch_size_changes_nothing(classifier):
    images = np.stack(pictures(24)[2])
    whole, parts = (explain(classifier.fitted_, images, batch_size=size) for size in (32, 5))
    assert parts.labels.tolist() == whole.labels.tolist()
    assert parts.grids == pytest.approx(whole.grids, rel=1e-4, abs=1e-6)


def test_a_loaded_classifier_explains_the_same(classifier, tmp_path):
    classifier.save(tmp_path / "saved.keras")
    loaded, images = TransferClassifier.load(tmp_path / "saved.keras"), np.stack(pictures()[2])
    for options in ({}, {"classes": "red"}, {"stage": "stage1"}):
        before, after = classifier.explain(images, **options), loaded.explain(images, **options)
        assert before.labels.tolist() == after.labels.tolist()
        assert after.grids == pytest.approx(before.grids, abs=1e-6)


def test_explaining_changes_nothing(classifier):
    images = np.stack(pictures(24)[2])
    weights, flags = classifier.model_.get_weights(), [layer.trainable for layer in classifier.model_.layers]
    expected = classifier.predict_proba(images)
    classifier.explain(images, stage="stage1")
    assert all(map(np.array_equal, weights, classifier.model_.get_weights()))
    assert flags == [layer.trainable for layer in classifier.model_.layers]
    assert np.array_equal(classifier.predict_proba(images), expected)


# ---- the objects ----


def test_explanations_are_a_sequence(classifier):
    images = np.stack(pictures(6)[2])
    explanations = classifier.explain(images)
    assert (len(explanations), len(list(explanations)), len(explanations[4:])) == (6, 6, 2)
    assert explanations[4:][0].name == explanations[-2].name == "image 4"
    assert np.array_equal(explanations[4:][0].image, images[4])
    assert np.array_equal(explanations[5].grid, explanations.grids[5])
    with pytest.raises(IndexError):
        explanations[6]
    assert repr(explanations[:2]) == f"Explanations of 2 images: {explanations[0].title}, {explanations[1].title}"
    assert repr(explanations[0]) == f"Explanation(image 0: blue {explanations.probabilities[0]:.2f})"


def test_a_heat_map_is_between_0_and_1_and_1_where_the_most_is(classifier):
    explanation = classifier.explain(picture({"top left": "red"}))[0]
    heat = explanation.heat_map
    assert (heat.dtype, heat.shape) == ("float32", (SIZE, SIZE))
    assert 0 <= heat.min() < 0.1
    assert 0.9 < heat.max() <= 1


def test_they_are_drawn(classifier):
    explanations = classifier.explain(np.stack(pictures(12)[2]))
    axes = Figure().subplots()
    assert explanations[0].plot(axes) is axes
    assert axes.get_title() == explanations[0].title
    assert np.array_equal(axes.images[0].get_array(), explanations[0].overlay())
    assert explanations[0].plot().figure is not None
    figure = explanations.plot()
    assert len(figure.axes) == 2 * 8
    assert [ax.get_title() for ax in figure.axes[:8]] == [each.title for each in explanations[:8]]
    for shown in (explanations, explanations[:1], explanations[0]):
        assert shown._repr_png_().startswith(b"\x89PNG")


# ---- what cannot be explained ----


def test_a_classifier_that_is_not_fitted_says_so():
    with pytest.raises(NotFittedError):
        TransferClassifier().explain(np.zeros((1, 8, 8, 3), "uint8"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": "pink"}, "not among the classes of the training data: 'pink'. Known classes: 'blue', 'green'"),
        ({"classes": ["red", "blue"]}, "2 classes and 1 image. To see several classes of one image, give the image as"),
        ({"classes": [{"red"}]}, "Labels must be"),
        ({"stage": "block9"}, "Unknown stage. Received: stage='block9'. The stages of this backbone are: stage1, sta"),
    ],
)
def test_what_is_not_there_is_named(classifier, options, message):
    with pytest.raises(ValueError, match=message):
        classifier.explain(picture({}), **options)


def test_every_image_that_cannot_be_read_is_named(classifier, image_paths, tmp_path):
    broken = [tmp_path / "one.png", tmp_path / "two.png"]
    for path in broken:
        path.write_bytes(b"nothing")
    with pytest.raises(ImageReadError, match=r"2 of 4 images(.|\n)*one.png(.|\n)*two.png"):
        classifier.explain([image_paths[0], broken[0], image_paths[1], broken[1]])


def fit(network, **options):
    labels, _, images = pictures()
    return TransferClassifier(network, verbose=0, **options).fit(np.stack(images), labels)


def test_features_without_places_need_an_earlier_stage():
    classifier, (_, corners, images) = fit(small_network(layers.GlobalAveragePooling2D())), pictures()
    message = r"shape \(3,\)(.|\n)*'stage1' \(16 x 16\)(.|\n)*give one of them as `stage`(.|\n)*Received: stage=None"
    with pytest.raises(ValueError, match=message):
        classifier.explain(np.stack(images))
    assert_heat_is_in_the_corners(classifier.explain(np.stack(images), stage="stage1"), corners, 0.5)


def test_a_single_place_is_no_map():
    network = small_network(lambda x: layers.Conv2D(8, 8, activation="relu", kernel_initializer="he_normal")(x))
    with pytest.raises(ValueError, match=r"shape \(1, 1, 8\), where nothing can be told apart by its place"):
        fit(network).explain(picture({}))


def test_a_backbone_without_any_map_says_what_to_do():
    image = keras.Input((SIZE, SIZE, 3))
    network = keras.Model(image, layers.Dense(8, "relu")(layers.Flatten()(layers.Rescaling(1 / 255)(image))))
    with pytest.raises(ValueError, match="No stage of this backbone ends in one. Train on larger images or"):
        fit(network).explain(picture({}))


def test_a_stage_whose_end_is_not_all_that_goes_on_is_refused():
    image = keras.Input((SIZE, SIZE, 3))
    one = layers.Conv2D(4, 2, 2, activation="relu", name="one")(image)
    two = layers.Conv2D(4, 2, 2, activation="relu", name="two")(one)
    joined = layers.Concatenate()([layers.Conv2D(4, 1, name="three")(two), layers.AveragePooling2D(2)(one)])
    stages = [Stage("a"), Stage("b", "two"), Stage("c", "three")]
    classifier = fit(backbone_from_model(keras.Model(image, joined), stages=stages))
    assert classifier.explain(picture({}), stage="a").grids.shape == (1, 16, 16)
    with pytest.raises(ValueError, match=r"no map after stage 'b'(.|\n)*'a' \(16 x 16\), 'c' \(8 x 8\)"):
        classifier.explain(picture({}), stage="b")


# ---- every network ----

# The smallest of each family, by how the names of the family begin.
FAMILIES = {
    "convnext": "convnext_tiny",
    "densenet": "densenet121",
    "efficientnet_b": "efficientnet_b0",
    "efficientnet_lite": "efficientnet_lite0",
    "efficientnet_v2": "efficientnet_v2_b0",
    "inception_resnet": "inception_resnet_v2",
    "inception_v3": "inception_v3",
    "mobilenet": "mobilenet",
    "mobilenet_v2": "mobilenet_v2",
    "mobilenet_v3": "mobilenet_v3_small",
    "nasnet": "nasnet_mobile",
    "resnet": "resnet50",
    "resnet50_v2": "resnet50_v2",
    "vgg": "vgg16",
    "xception": "xception",
}
FAST = {"efficientnet_lite0", "mobilenet_v3_small"}


def untrained(name, size=96):
    """A `FittedClassifier` of random weights."""
    backbone, image_format = get_backbone(name), ImageFormat((size, size))
    keras.utils.set_random_seed(0)
    network = backbone.build((size, size), weights=None)
    components = build_components(backbone, network, image_format, LOGISTIC, 3, seed=0)
    last = components.head.get_layer("probabilities")
    last.kernel.assign(last.kernel - keras.ops.mean(last.kernel, axis=1, keepdims=True))  # as in a fitted one
    names, split = np.array(list(COLOURS)), Split((), ())
    return FittedClassifier(components.whole, backbone, image_format, names, MULTICLASS, None, (), {}, split, {}, {})


@pytest.mark.filterwarnings("ignore:`input_shape` is undefined or non-square")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in FAMILIES.values()]
)
def test_every_family_can_be_explained(name):
    # Of 96 pixels, Inception leaves one place.
    fitted = untrained(name, 128 if "inception" in name else 96)
    images, labels = np.stack([picture({"top left": "red"}, (96, 96))] * 3), list(COLOURS)
    explanations = explain(fitted, images, classes=labels)
    assert isinstance(explanations, Explanations)
    assert explanations.grids.any()
    expected = class_activation_maps(fitted, images, labels)
    assert explanations.grids == pytest.approx(expected, rel=1e-3, abs=1e-4 * float(expected.max()))
    assert explanations[0].heat_map.shape == (96, 96)
    keras.backend.clear_session()


def test_no_family_is_missing():
    assert all(name.startswith(tuple(FAMILIES)) for name in list_backbones())
