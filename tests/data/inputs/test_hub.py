from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image as PillowImage

from transferkit.data.inputs.convert import LABELLED, as_source
from transferkit.data.inputs.hub import is_hub_dataset, read_hub_dataset


class Image:
    """As `datasets.Image`: known by its name."""


class ClassLabel:
    def __init__(self, names):
        self.names = names


class Value:
    pass


class HubDataset:
    """As much of a data set of Hugging Face as is asked for. Counts how often an image is decoded."""

    def __init__(self, features, **columns):
        self.features, self.data, self.decoded = features, columns, 0

    @property
    def column_names(self):
        return list(self.data)

    def __len__(self):
        return len(next(iter(self.data.values())))

    def __getitem__(self, key):
        if isinstance(key, str):
            return list(self.data[key])
        assert isinstance(key, int)
        self.decoded += 1
        return {name: values[key] for name, values in self.data.items()}


@pytest.fixture
def pictures(images):
    return [PillowImage.fromarray(image) for image in images]


@pytest.fixture
def dataset(pictures):
    features = {"image": Image(), "label": ClassLabel(["red", "blue", "green"])}
    return HubDataset(features, image=pictures, label=[2, 1, 0] * 8)


def test_images_are_read_only_when_they_are_needed(dataset, images):
    assert is_hub_dataset(dataset)
    source = as_source(dataset, label_rule=LABELLED)
    assert source.class_names.tolist() == ["red", "blue", "green"]
    assert source.labels.tolist() == [2, 1, 0] * 8
    part = source.take([5, 2]).take([1])
    assert (len(source), len(part), part.name(0), part.paths) == (24, 1, "image 2", [None])
    assert dataset.decoded == 0
    assert np.array_equal(np.asarray(part.images[0]), images[2])
    assert dataset.decoded == 1


def test_labels_may_be_values_or_missing(pictures):
    features = {"img": Image(), "label": Value()}
    assert list(read_hub_dataset(HubDataset(features, img=pictures[:2], label=["a", "b"])).labels) == ["a", "b"]
    assert read_hub_dataset(HubDataset({"img": Image()}, img=pictures)).labels is None


def test_of_several_columns_the_usual_one_is_taken(pictures):
    features = {"coarse_label": ClassLabel(["x"]), "photo": Image(), "image": Image(), "fine_label": ClassLabel(["y"])}
    columns = {"coarse_label": [0] * 24, "photo": [None] * 24, "image": pictures, "fine_label": [0] * 24}
    given = read_hub_dataset(HubDataset(features, **columns))
    assert given.images[0] is pictures[0]
    assert given.class_names.tolist() == ["y"]


def test_a_data_source_of_tensorflow_datasets(images):
    class DataSource:
        dataset_info = SimpleNamespace(features={"image": Image(), "label": ClassLabel(["a", "b"])})

        def __len__(self):
            return 3

        def __getitem__(self, index):
            return {"image": images[index], "label": np.int64(index % 2)}

    source = as_source(DataSource(), label_rule=LABELLED)
    assert source.class_names[source.labels].tolist() == ["a", "b", "a"]
    assert np.array_equal(source.images[2], images[2])


def test_several_parts_and_no_images_and_no_labels_are_refused(dataset, pictures):
    with pytest.raises(ValueError, match=r"Give one part of the data set: x\['train'\]. Received: the parts"):
        read_hub_dataset({"train": dataset, "test": dataset})
    with pytest.raises(ValueError, match=r"no column of images. Its columns are: \['text'\]"):
        read_hub_dataset(HubDataset({"text": Value()}, text=["a"]))
    dataset.data["label"] = [-1] * 24
    with pytest.raises(ValueError, match="Labels are missing: 24 of 24 are -1"):
        read_hub_dataset(dataset)


def test_other_things_are_no_data_sets(images, image_folder):
    assert not any(map(is_hub_dataset, [images, [1], str(image_folder), {}, {"a": 1}]))


def test_lists_of_labels_are_any_number_of_labels(pictures):
    rows = [[0], [], [0, 1], [1]] * 6
    feature = SimpleNamespace(feature=ClassLabel(["wet", "dark"]))
    source = as_source(
        HubDataset({"image": Image(), "labels": feature}, image=pictures, labels=rows), label_rule=LABELLED
    )
    assert source.class_names.tolist() == ["wet", "dark"]
    assert source.targets[:4].tolist() == [[1, 0], [0, 0], [1, 1], [0, 1]]
    named = [["wet"], [], ["wet", "dark"], ["dark"]] * 6
    source = as_source(
        HubDataset({"image": Image(), "labels": Value()}, image=pictures, labels=named), label_rule=LABELLED
    )
    assert source.class_names.tolist() == ["dark", "wet"]
    with pytest.raises(ValueError, match="Labels are missing: 6 of 24 are -1 or None"):
        read_hub_dataset(
            HubDataset({"image": Image(), "label": ClassLabel(["a", "b"])}, image=pictures, label=[0, 1, 1, None] * 6)
        )
