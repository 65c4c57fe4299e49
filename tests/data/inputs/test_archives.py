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
            with tarfile.open(path, "w:" + ("gz" if name.endswith("gz") else "")) as archive:
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


def test_links_are_left_out(tmp_path):
    path = tmp_path / "links.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in (("cat/link.jpg", tarfile.SYMTYPE), ("cat/hard.jpg", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("cat/1.jpg")
        archive.addfile(info, io.BytesIO())
    assert files_in(extract(path)) == ["cat/1.jpg"]


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
