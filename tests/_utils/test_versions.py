from importlib.metadata import version

from transferkit._utils.versions import describe_versions, package_versions


def test_versions_are_those_that_are_installed():
    found = package_versions()
    assert found["keras"] == version("keras")
    assert found["numpy"] == version("numpy")
    assert found["transferkit"] == version("transferkit")
    assert found["tensorflow"].split(".")[0] == "2"


def test_versions_are_described_by_name():
    assert describe_versions({"keras": "3.15.1", "numpy": "2.0"}) == "keras 3.15.1, numpy 2.0"
