import os

import pytest

from transferkit._utils.files import replacing


def test_a_file_is_replaced_once_it_is_complete(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")
    with replacing(path) as temporary:
        temporary.write_text("new", encoding="utf-8")
        assert temporary.suffix == ".txt"
        assert path.read_text(encoding="utf-8") == "old"
    assert path.read_text(encoding="utf-8") == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")

    def write_half():
        with replacing(path) as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


needs_posix = pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")


@needs_posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o666])
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path, mode):
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")
    path.chmod(mode)
    with replacing(path) as temporary:
        assert temporary.stat().st_mode & 0o777 == 0o600  # nobody else reads what is not complete
        temporary.write_text("new", encoding="utf-8")
    assert path.read_text(encoding="utf-8") == "new"
    assert path.stat().st_mode & 0o777 == mode


@needs_posix
def test_a_new_file_has_the_permissions_of_any_other(tmp_path):
    (tmp_path / "other.txt").touch()
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.touch()
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "other.txt").stat().st_mode


@needs_posix
@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_stays_one_and_the_file_behind_it_is_replaced(tmp_path, is_there):
    (tmp_path / "far").mkdir()
    real, link = tmp_path / "far" / "real.txt", tmp_path / "link.txt"
    if is_there:
        real.write_text("old", encoding="utf-8")
    link.symlink_to(real)
    with replacing(link) as temporary:
        assert temporary.parent == real.parent  # a name can only be given over within one file system
        temporary.write_text("new", encoding="utf-8")
    assert link.is_symlink()
    assert real.read_text(encoding="utf-8") == "new"
    assert {file.name for file in tmp_path.rglob("*")} == {"far", "real.txt", "link.txt"}
