import io
import json
import zipfile
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from transferkit.evaluation.multilabel import MultilabelReport
from transferkit.evaluation.report import EvaluationReport
from transferkit.exceptions import ArchiveError


def report_of(**kept):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    probabilities = rng.dirichlet(np.ones(3), 60).astype("float32")
    return EvaluationReport(np.array(["cat", "dog", "größer"]), labels, probabilities, **kept)


@pytest.fixture
def report():
    names = tuple(f"photos/{row}\udce9.png" for row in range(60))  # a file name that is not UTF-8
    return report_of(names=names, groups=np.arange(60) // 4, context={"seed": 0, "history": {"loss": [0.5, None]}})


@pytest.fixture
def multilabel():
    rng = np.random.default_rng(0)
    targets = (rng.random((40, 3)) < 0.4).astype("float32")
    probabilities = rng.random((40, 3)).astype("float32")
    return MultilabelReport(np.array([3, 5, 7]), targets, probabilities, np.array([0.5, 0.3, 0.6], "float32"))


def test_what_is_saved_comes_back_whole(report, tmp_path):
    report.save(tmp_path / "report.npz")
    loaded = EvaluationReport.load(tmp_path / "report.npz")
    assert str(loaded) == str(report)
    assert loaded.to_dict() == report.to_dict()
    assert (loaded.names, loaded.context) == (report.names, report.context)
    for name in ("class_names", "labels", "probabilities", "groups"):
        assert np.array_equal(getattr(loaded, name), getattr(report, name))
        assert getattr(loaded, name).dtype == getattr(report, name).dtype


def test_a_report_of_many_labels_does_as_well(multilabel, tmp_path):
    multilabel.save(tmp_path / "report")
    loaded = MultilabelReport.load(tmp_path / "report")
    assert loaded.to_dict() == multilabel.to_dict()
    assert loaded.class_names.tolist() == [3, 5, 7]


def test_metrics_of_the_user_come_back_as_numbers(tmp_path):
    report = report_of(functions={"kappa": cohen_kappa_score, "broken": lambda *_: 1 / 0})
    report.save(tmp_path / "report.npz")
    loaded = EvaluationReport.load(tmp_path / "report.npz")
    assert loaded.metrics["kappa"] == report.metrics["kappa"]
    assert loaded.metrics["broken"].unavailable == "it raised ZeroDivisionError: division by zero"
    loaded.save(tmp_path / "again.npz")
    assert EvaluationReport.load(tmp_path / "again.npz").metrics["kappa"] == report.metrics["kappa"]


def test_numpy_reads_the_arrays(report, tmp_path):
    report.save(tmp_path / "report.npz")
    with np.load(tmp_path / "report.npz", allow_pickle=False) as arrays:
        assert np.array_equal(arrays["probabilities"], report.probabilities)


def test_a_file_is_written_whole_or_not_at_all(report, tmp_path):
    path = tmp_path / "report.npz"
    report.save(path)
    before = path.read_bytes()
    with pytest.raises(TypeError, match="not JSON serializable"):
        replace(report, context={"set": {1}}).save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["report.npz"]
    with pytest.raises(FileNotFoundError, match="Make it first"):
        report.save(tmp_path / "nowhere" / "report.npz")
    with pytest.raises(IsADirectoryError, match="Give the name of a file"):
        report.save(tmp_path)


def rewritten(path, **members):
    """Writes the file anew, with some members replaced."""
    with zipfile.ZipFile(path) as archive:
        kept = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (kept | members).items():
            if data is not None:
                archive.writestr(name, data)


def array_bytes(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"report.json": None}, "was not written by `report.save`: it lacks 'report.json'"),
        ({"report.json": b"[" * 100_000}, "no report, or it is damaged"),
        ({"report.json": b"[1]"}, "no report, or it is damaged"),
        ({"report.json": b"\xff"}, "no report, or it is damaged"),
        ({"labels.npy": None}, "does not fit together: 'labels'"),
        ({"labels.npy": b"nothing"}, "no report, or it is damaged"),
        ({"labels.npy": array_bytes(np.arange(5))}, "does not fit together: `labels` must be 60 codes"),
        ({"labels.npy": array_bytes(np.full(60, 9))}, "`labels` must be from 0 to 2"),
        ({"labels.npy": array_bytes(np.array([{}] * 60, object), allow_pickle=True)}, "damaged: Object arrays"),
        ({"labels.npy": array_bytes(np.array(["a"] * 60))}, "an array of <U1, not of numbers"),
        ({"probabilities.npy": array_bytes(np.full((60, 3), np.nan))}, "must be numbers. Received: NaN"),
        ({"other.npy": array_bytes(np.arange(5))}, "does not fit together"),
    ],
)
def test_files_that_are_not_ours_or_damaged_are_named(report, tmp_path, members, reason):
    path = tmp_path / "report.npz"
    report.save(path)
    rewritten(path, **members)
    with pytest.raises(ArchiveError, match=reason):
        EvaluationReport.load(path)


def test_a_file_that_is_cut_or_changed_is_refused(report, tmp_path):
    path = tmp_path / "report.npz"
    report.save(path)
    whole = path.read_bytes()
    for start in range(0, len(whole), 97):
        path.write_bytes(whole[:start])
        with pytest.raises(ArchiveError):
            EvaluationReport.load(path)
        path.write_bytes(whole[:start] + bytes([whole[start] ^ 0xFF]) + whole[start + 1 :])
        with suppress(ArchiveError):  # or it is a byte that nobody reads
            assert EvaluationReport.load(path).accuracy == report.accuracy


def test_a_file_that_says_to_be_larger_than_it_can_is_not_unpacked(report, tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.npy", b"0" * 1000)
        archive.infolist()[0].file_size = 10**9
    with pytest.raises(ArchiveError, match="more than a file of its size can"):
        EvaluationReport.load(path)


def test_other_kinds_and_newer_versions_are_told_apart(report, multilabel, tmp_path):
    path = tmp_path / "report.npz"
    multilabel.save(path)
    with pytest.raises(ArchiveError, match="Open it by `MultilabelReport.load`, not `EvaluationReport.load`"):
        EvaluationReport.load(path)
    with zipfile.ZipFile(path) as archive:
        settings = json.loads(archive.read("report.json"))
    rewritten(path, **{"report.json": json.dumps(settings | {"format": 99})})
    with pytest.raises(ArchiveError, match="has format 99.*Upgrade"):
        MultilabelReport.load(path)
    with pytest.raises(FileNotFoundError, match="There is no file"):
        EvaluationReport.load(tmp_path / "none.npz")
