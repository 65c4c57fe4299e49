import io
import tarfile
import zipfile

import pytest

from transferkit.data.inputs import archives
from transferkit.data.inputs.archives import extract, is_archive


@pytest.fixture
def make_archive(tmp_path):
    """Writes an archive of files whose content is their name."""

    def make(name, *members):
        path = tmp_path / name
        if name.endswith(".zip"):
            with zipfile.ZipFile(path, "w") as archive:
                for member in members:
                    archive.writestr(member, member)
        else:
            with tarfile.open(path, "w:" + name.rpartition(".")[2].replace("tgz", "gz").replace("tar", "")) as archive:
                for member in members:
                    info = tarfile.TarInfo(member)
                    info.size = len(member)
                    archive.addfile(info, io.BytesIO(member.encode()))
        return path

    return make


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", ["flowers.zip", "flowers.tar", "flowers.tar.gz", "flowers.tgz"])
def test_images_are_extracted_and_nothing_else(make_archive, name):
    members = ["all/rose/1.jpg", "all/rose/.2.jpg", "all/tulip/deep/3.PNG", "all/readme.txt", "__MACOSX/all/._1.txt"]
    path = make_archive(name, *members)
    assert is_archive(path)
    folder = extract(path)
    assert files_in(folder) == ["rose/1.jpg", "tulip/deep/3.PNG"]
    assert (folder / "rose/1.jpg").read_text(encoding="utf-8") == "all/rose/1.jpg"
    assert name in folder.parts  # messages name the archive


def test_class_folders_at_the_top_stay(make_archive):
    assert files_in(extract(make_archive("a.zip", "cat/1.jpg", "dog/1.jpg"))) == ["cat/1.jpg", "dog/1.jpg"]
    assert files_in(extract(make_archive("b.zip", "cat/1.jpg", "cat/2.jpg"))) == ["cat/1.jpg", "cat/2.jpg"]


def test_what_did_not_change_is_extracted_once(make_archive):
    path = make_archive("a.zip", "cat/1.jpg")
    first = extract(path)
    assert extract(str(path)) == first
    make_archive("a.zip", "cat/1.jpg", "cat/2.jpg")
    assert len(files_in(extract(path))) == 2


@pytest.mark.parametrize(
    "member", ["../evil.jpg", "cat/../../evil.jpg", "/tmp/evil.jpg", "c:/evil.jpg", "cat\\..\\e.jpg"]
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_files_outside_are_refused_and_nothing_is_written(make_archive, tmp_path, monkeypatch, kind, member):
    (tmp_path / "there").mkdir()
    monkeypatch.setattr(archives.tempfile, "mkdtemp", lambda prefix: str(tmp_path / "there"))
    path = make_archive(f"evil.{kind}", "cat/1.jpg", member)
    with pytest.raises(ValueError, match="was not extracted: it names a file outside itself"):
        extract(path)
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == [path.name]


@pytest.fixture
def make_tar_of_links(tmp_path):
    """Writes a tar file of one image and of links to it or to something else: names, kinds and where they lead."""

    def make(*links):
        path = tmp_path / "links.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            info = tarfile.TarInfo("cat/1.jpg")
            info.size = 3
            archive.addfile(info, io.BytesIO(b"cat"))
            for name, kind, target in links:
                info = tarfile.TarInfo(name)
                info.type, info.linkname = kind, target
                archive.addfile(info)
        return path

    return make


def test_links_to_images_in_a_tar_file_are_extracted_as_these_images(make_tar_of_links):
    folder = extract(
        make_tar_of_links(
            ("cat/hard.jpg", tarfile.LNKTYPE, "cat/1.jpg"),
            ("dog/2.jpg", tarfile.SYMTYPE, "../cat/hard.jpg"),
            ("dog/3.jpg", tarfile.SYMTYPE, "2.jpg"),
            ("dog/folder", tarfile.SYMTYPE, ".."),
        )
    )
    assert files_in(folder) == ["cat/1.jpg", "cat/hard.jpg", "dog/2.jpg", "dog/3.jpg"]
    assert {(folder / name).read_bytes() for name in files_in(folder)} == {b"cat"}
    assert not any((folder / name).is_symlink() for name in files_in(folder))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../../etc/passwd", "2.jpg", "cat/2.jpg"])
def test_links_to_what_is_not_in_a_tar_file_are_refused(make_tar_of_links, kind, target):
    with pytest.raises(ValueError, match=r"'cat/2.jpg' in it is a link to what is not in it.*--dereference"):
        extract(make_tar_of_links(("cat/2.jpg", kind, target)))


def test_what_would_fill_the_disk_is_refused(make_archive, monkeypatch):
    monkeypatch.setattr(archives, "_DISK_SHARE", 0)
    with pytest.raises(ValueError, match=r"its images take 9 bytes, and only .* are free"):
        extract(make_archive("a.zip", "cat/1.jpg"))


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_damaged_and_empty_archives_are_refused(tmp_path, make_archive, name):
    (tmp_path / name).write_bytes(b"no archive at all")
    with pytest.raises(ValueError, match=f"Archive .*{name}' could not be read"):
        extract(tmp_path / name)
    with pytest.raises(ValueError, match="has no images in it"):
        extract(make_archive(f"empty-{name}", "readme.txt"))


@pytest.fixture
def damage(make_archive):
    """Changes an archive of two classes by a function from its bytes to others."""
    members = [f"{name}/{number}.jpg" for name in ("cat", "dog") for number in range(9)]

    def make(name, change):
        path = make_archive(name, *members)
        path.write_bytes(change(bytearray(path.read_bytes())))
        return path

    return make


def zeros(content, start, length=1):
    content[start : start + length] = bytes(length)
    return content


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("a.tar", lambda content: zeros(content, 4 * 512 + 3), r"header at byte 2,048 is damaged"),
        ("a.tar", lambda content: zeros(content, 4 * 512, 1024), r"more behind the mark of its end"),
        ("a.tar", lambda content: content[: 4 * 512], "cut short"),
        ("a.tar", lambda content: content[: 4 * 512 + 9], "could not be read"),
        ("a.tar.gz", lambda content: zeros(content, len(content) - 7, 2), "CRC"),
        ("a.tar.gz", lambda content: content[: len(content) // 2], "ended before"),
        ("a.tar.bz2", lambda content: zeros(content, len(content) // 2, 9), "could not be read"),
        ("a.tar.xz", lambda content: zeros(content, len(content) // 2, 9), "could not be read"),
    ],
)
def test_a_damaged_archive_loses_no_image_without_a_word(damage, name, change, reason):
    with pytest.raises(ValueError, match=rf"(?=Archive .*{name}' could not be read: ).*{reason}"):
        extract(damage(name, change))


def test_an_image_that_is_hidden_in_the_list_of_a_zip_file_is_missed(damage):
    def hide(content):
        content[content.index(b"PK\x01\x02") + 32] = 46 + len("cat/1.jpg")  # the next entry becomes a comment
        return content

    with pytest.raises(ValueError, match="it should have 18 members and lists 17"):
        extract(damage("a.zip", hide))


def test_damaged_data_in_a_zip_file_name_the_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat/1.jpg", bytes(range(256)) * 9)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[45:80] = b"\xff" * 35
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ValueError, match=r"Archive .*a.zip' could not be read"):
        extract(tmp_path / "a.zip")


def test_encrypted_archives_are_refused(make_archive):
    path = make_archive("secret.zip", "cat/1.jpg")
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1  # the flag that says so
    path.write_bytes(content)
    with pytest.raises(ValueError, match="could not be read: .*encrypted"):
        extract(path)


def test_other_things_are_no_archives(tmp_path):
    assert not any(map(is_archive, [tmp_path, "missing.zip", ["a.zip"], 3]))
