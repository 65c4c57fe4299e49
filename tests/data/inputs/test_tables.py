import keras
import numpy as np
import pytest

from transferkit import Table
from transferkit.data.inputs.convert import LABELLED, as_source
from transferkit.data.inputs.tables import is_table, read_table


class Frame:
    """As much of a data frame as is asked for."""

    def __init__(self, **columns):
        self.data = columns

    @property
    def columns(self):
        return list(self.data)

    def __getitem__(self, name):
        return Series(self.data[name])


class Series:
    def __init__(self, values):
        self.values = values

    def to_numpy(self):
        return np.array(self.values, object)


@pytest.fixture
def write(tmp_path):
    def write_text(text, name="table.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write_text


def test_a_file_of_paths_and_labels(write, tmp_path):
    given = read_table(write('path,label,note\na.jpg,ant,"one, two"\nsub/b.jpg,bee,\n'))
    assert given.images == [str(tmp_path / "a.jpg"), str(tmp_path / "sub/b.jpg")]
    assert list(given.labels) == ["ant", "bee"]
    assert given.sample_weight is given.groups is given.subsets is None


def test_tabs_and_the_mark_that_excel_writes_first(write):
    given = read_table(write("\ufeffpath\tlabel\na.jpg\tant\n", "table.tsv"))
    assert list(given.labels) == ["ant"]


def test_all_columns_have_a_use(write):
    path = write("file,species,w,patient,part\na.jpg,ant,2,p1,Train\nb.jpg,bee,0.5,p2,val\nc.jpg,bee,1,p2,TEST\n")
    given = read_table(Table(path, "file", "species", weight="w", group="patient", split="part", root="photos"))
    assert given.images == ["photos/a.jpg", "photos/b.jpg", "photos/c.jpg"]
    assert given.sample_weight.tolist() == [2, 0.5, 1]
    assert list(given.groups) == ["p1", "p2", "p2"]
    assert given.subsets == ["training", "validation", "test"]


@pytest.mark.parametrize("make", [Frame, lambda **columns: Table(columns)])
def test_data_frames_and_dicts_are_tables(make):
    given = read_table(make(path=["a.jpg", "b.jpg"], label=[3, 4]))
    assert given.images == ["a.jpg", "b.jpg"]
    assert [int(label) for label in given.labels] == [3, 4]


def test_pandas_frames_are_tables():
    pandas = pytest.importorskip("pandas")
    given = read_table(Table(pandas.DataFrame({"path": ["a.jpg"], "label": [1], "w": [2]}), weight="w"))
    assert given.images == ["a.jpg"]
    assert given.sample_weight.tolist() == [2]


def test_y_names_another_column_or_brings_labels():
    frame = Frame(path=["a.jpg", "b.jpg"], label=[3, 4], other=["x", "y"])
    assert list(read_table(frame, "other").labels) == ["x", "y"]
    assert read_table(frame, [7, 8]).labels == [7, 8]


def test_labels_may_be_missing_where_none_are_needed():
    frame = Frame(path=["a.jpg"])
    assert read_table(frame).labels is None
    with pytest.raises(ValueError, match=r"no column 'label'. Received: y='label'. Its columns are: 'path'. Say which"):
        read_table(frame, needs_labels=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"x": "file"}, r"no column 'file'. Received: x='file'. Its columns are: 'path', 'label'. Say .*x="),
        ({"weight": "w"}, r"no column 'w'. Received: weight='w'"),
        ({"weight": "label"}, r"Column 'label' must hold numbers: could not convert string to float: 'ant'"),
        ({"split": "label"}, r"Column 'label' must say of each image 'train', .*Received: 'ant', 'bee'"),
        ({"x": "label", "y": "none"}, r"no column 'none'"),
    ],
)
def test_columns_that_do_not_fit_are_named(write, options, message):
    table = Table(write("path,label\na.jpg,ant\nb.jpg,bee\n"), **options)
    with pytest.raises(ValueError, match=message):
        read_table(table, needs_labels=True)


def test_paths_must_be_paths():
    with pytest.raises(ValueError, match=r"Column 'path' must hold paths of images. Received: nan in row 1"):
        read_table(Frame(path=["a.jpg", float("nan")], label=[1, 2]))


def test_broken_files_are_refused(write):
    with pytest.raises(ValueError, match=r"has no rows. Expected a header"):
        read_table(write("path,label\n"))
    with pytest.raises(ValueError, match=r"Line 3 of .* has 1 columns. Expected 2"):
        read_table(write("path,label\na.jpg,ant\nb.jpg\n"))
    with pytest.raises(TypeError, match="A `Table` needs the path .*Received: data=int"):
        read_table(Table(3))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            'a.jpg,ant\nb.jpg,"bee\nc.jpg,cow\n',
            "row that begins in line 3 of .*unexpected end of data. Is a quotation mark",
        ),
        ('a.jpg,"ant\nb.jpg,bee\nc.jpg,"cow"\n', "row that begins in line 2 of .*Is a quotation mark left open"),
        (
            'a.jpg,"ant\nb.jpg,bee"\nc.jpg,cow\n',
            r"column 'label' of .*several lines.*Received: 'ant\\nb.jpg,bee' in row 0",
        ),
    ],
)
def test_a_quotation_mark_that_is_left_open_swallows_no_rows(write, rows, message):
    with pytest.raises(ValueError, match=message):
        read_table(write("path,label\n" + rows))


def test_files_of_another_encoding_and_names_that_come_twice_are_refused(tmp_path, write):
    path = tmp_path / "latin.csv"
    path.write_bytes("path,label\na.jpg,b\xe4r\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin.csv' must be a text file in UTF-8. Received: 'utf-8' codec"):
        read_table(path)
    with pytest.raises(ValueError, match="must have different names. Received: several called 'label'"):
        read_table(write("path,label,label\na.jpg,ant,bee\n"))


def test_cells_that_are_not_used_may_have_several_lines(write):
    given = read_table(write('path,label,note\na.jpg,ant,"one\ntwo"\n\nb.jpg,"say ""bee""",\n'))
    assert list(given.labels) == ["ant", 'say "bee"']
    with pytest.raises(ValueError, match="Line 4 of .* has 2 columns. Expected 3"):
        read_table(write('path,label,note\na.jpg,ant,"one\ntwo"\nb.jpg,bee\n'))


def test_cells_of_several_labels_may_be_empty_but_not_missing(write):
    for data in (write("path,label\na.jpg,x| y\nb.jpg,\n"), {"path": ["a.jpg", "b.jpg"], "label": ["x|y", " "]}):
        assert list(read_table(Table(data, separator="|")).labels) == [{"x", "y"}, set()]
    for missing in (None, float("nan")):
        table = Table({"path": ["a.jpg", "b.jpg"], "label": ["x|y", missing]}, separator="|")
        with pytest.raises(ValueError, match=r"missing: 1 of 2 cells of column 'label', the first in row 1.*fillna"):
            read_table(table)


def test_empty_cells_are_no_class_and_no_group(write, tmp_path, images):
    for name in "ab":
        keras.utils.save_img(tmp_path / f"{name}.png", images[0])
    path = write("path,label,patient\na.png,ant,\nb.png,,p1\n")
    with pytest.raises(ValueError, match="Labels are missing: 1 of 2, the first at position 1"):
        as_source(path, label_rule=LABELLED)
    with pytest.raises(ValueError, match="`groups` are missing for 1 of 2 images, the first at position 0"):
        as_source(Table(path, group="patient"))
    assert as_source(path).labels is None  # as `predict` reads it, which needs none


def test_other_things_are_no_tables(tmp_path):
    assert not any(map(is_table, [tmp_path, "a.jpg", ["a.csv"], np.zeros((2, 2)), Series([1])]))
    assert all(map(is_table, ["a.csv", tmp_path / "b.TSV", Frame(), Table("x.csv")]))
