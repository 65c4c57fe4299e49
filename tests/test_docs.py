"""What README and docs/ show in Python runs as it is printed, and what they show as a session is what happens.

Each page is one session in a folder that holds the files it names. A tiny network goes by the name of the default one,
since what is tested are the pages; the networks have tests of their own.
"""

import ast
import doctest
import re
import shutil
import textwrap
import zipfile
from importlib import import_module
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from transferkit import ImageReadError, Stage, TransferClassifier, backbone_from_model, check_data
from transferkit.backbones import registry

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^(?P<indent> *)```python\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
PRINTED = re.compile(r"# (\[.*\])$")  # what a line of code is said to print

# Statements that cannot run here, by how they begin, and why.
LEFT_OUT = {
    'clf.fit("flowers/train", callbacks=[keras.callbacks.TensorBoard("logs")])': "needs TensorBoard, no dependency",
}


def statements(page):
    """Yields each statement in the code of a page, with its source and what stands behind it on its last line."""
    text = page.read_text(encoding="utf-8")
    for match in FENCED.finditer(text):
        code = textwrap.dedent(match["code"])
        first_line = text[: match.start("code")].count("\n")
        tree = ast.increment_lineno(ast.parse(code, str(page)), first_line)
        for node in tree.body:
            lines = code.splitlines()[node.lineno - first_line - 1 : node.end_lineno - first_line]
            yield node, ast.get_source_segment("\n" * first_line + code, node), lines[-1]


def run(page, names):
    """Runs the code of a page in one session that begins with `names`."""
    for node, source, line in statements(page):
        if source in LEFT_OUT:
            continue
        if isinstance(node, ast.Expr):
            value = eval(compile(ast.Expression(node.value), page, "eval"), names)
            if printed := PRINTED.search(line):
                assert str(value) == printed[1], f"{page.name}, line {node.lineno}"
        else:
            exec(compile(ast.Module([node], []), page, "exec"), names)


PAGES_WITH_CODE = [page for page in PAGES if FENCED.search(page.read_text(encoding="utf-8"))]
SLOW = {"fine-tuning.md", "getting-started.md"}


@pytest.fixture
def tiny_default(monkeypatch):
    """A network of three layers that is found where the default one is, with stages of the same names."""
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(8, 3, 2, activation="relu", name="stem_conv")(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.Conv2D(8, 3, 2, activation="relu", name="block6_conv")(x)
    x = keras.layers.Conv2D(12, 3, 2, activation="relu", name="block7_conv")(x)
    network = keras.Model(image, x, name="efficientnet_lite0")
    stages = (Stage("stem"), Stage("block6", "block6_conv"), Stage("block7", "block7_conv"))
    tiny = backbone_from_model(network, scaling="none", image_size=(32, 32), stages=stages)
    # A copy, so that what a page registers is gone after it.
    known = {**registry._registry, registry.name_key("efficientnet_lite0"): tiny}
    monkeypatch.setattr(registry, "_registry", known)


COLOURS = {"daisy": 200, "tulip": 60, "cat": 200, "dog": 60}


def picture(label, seed):
    """A noisy image `(32, 32, 3)` uint8 that is as bright as its class."""
    noise = np.random.default_rng([seed, COLOURS[label]]).integers(-40, 40, (32, 32, 3))
    return (COLOURS[label] + noise).astype("uint8")


def save_picture(path, label, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(label, seed)).save(path)


def save_folder(folder, labels, count, first_seed):
    for number in range(count):
        for label in labels:
            save_picture(folder / label / f"{number:03d}.jpg", label, first_seed + number)


@pytest.fixture
def readers_files(tmp_path, monkeypatch):
    """The files that the pages name, in the current folder."""
    for number, part in enumerate(("train", "test", "validation")):
        save_folder(tmp_path / "flowers" / part, ("daisy", "tulip"), 12, 100 * number)
    for number, part in enumerate(("train", "test")):
        save_folder(tmp_path / "animals" / part, ("cat", "dog"), 12, 100 * number)
    save_folder(tmp_path / "new_photos", ("daisy", "tulip"), 2, 300)
    for number, name in enumerate(("photo.jpg", "a.jpg", "b.png", "c.webp", "new1.jpg", "new2.jpg")):
        save_picture(tmp_path / name, "tulip" if name == "b.png" else "daisy", 400 + number)
    with zipfile.ZipFile(tmp_path / "flowers.zip", "w") as archive:
        for path in sorted((tmp_path / "flowers" / "train").rglob("*.jpg")):
            archive.write(path, path.relative_to(tmp_path / "flowers"))
    rows = [f"flowers/train/{label}/{n:03d}.jpg,{label}" for n in range(12) for label in ("daisy", "tulip")]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label", *rows]))
    rows = []
    for number in range(36):
        diagnosis, part = ("cat", "dog")[number % 2], ("train", "val", "test")[number // 2 % 3]
        save_picture(tmp_path / "slides" / f"{number}.png", diagnosis, 500 + number)
        rows.append(f"{number}.png,{diagnosis},patient {number // 2},{part}")
    (tmp_path / "slides.csv").write_text("\n".join(["file,diagnosis,patient,part", *rows]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSFERKIT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def readers_names(readers_files):
    """What the pages take for given: the reader's own images, labels and network."""
    labels = np.array(["daisy", "tulip"] * 12)
    images = np.stack([picture(label, number) for number, label in enumerate(labels)])
    pil_images = [Image.fromarray(image) for image in images]
    image = keras.Input((96, 96, 3))
    network = keras.Model(image, keras.layers.Conv2D(4, 3, 2, activation="relu")(image), name="mine")
    paths = [str(readers_files / f"flowers/train/{label}/{n // 2:03d}.jpg") for n, label in enumerate(labels)]
    codes = (labels == "tulip").astype(int)
    return {
        "x_train": images,
        "y_train": labels,
        "x_validation": images[:8],
        "y_validation": labels[:8],
        "x_test": images,
        "pixels": images,
        "images": pil_images,
        "image": pil_images[0],
        "list_of_pil_images": pil_images,
        "labels": labels,
        "paths": paths,
        "patients": np.arange(len(paths)) // 2,
        "dataset": tf.data.Dataset.from_tensor_slices((images, codes)).batch(8),
        "my_keras_model": network,
        "my_model": network,
    }


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.name, marks=[pytest.mark.slow] if page.name in SLOW else [])
        for page in PAGES_WITH_CODE
    ],
)
def test_the_code_of_a_page_runs_as_it_is_printed(page, readers_names, tiny_default):
    if page.name == "data.md":  # where the images that are fitted as they are have six channels
        readers_names["images"] = np.concatenate([readers_names["pixels"]] * 2, axis=-1)
    run(page, readers_names)


@pytest.mark.parametrize("source", LEFT_OUT)
def test_what_is_left_out_stands_on_a_page(source):
    assert any(source == found for page in PAGES_WITH_CODE for _, found, _ in statements(page))


@pytest.mark.parametrize("name", ["data.md"])
def test_examples_do_what_they_show(name):
    result = doctest.testfile(str(ROOT / "docs" / name), module_relative=False)
    assert result.attempted > 3
    assert result.failed == 0


def shown_on(page, beginning):
    """The text in a fenced block without a language that begins so, its spaces and line ends as one space each."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    (block,) = re.findall(rf"^```\n({re.escape(beginning)}.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return " ".join(block.split())


def as_shown(error):
    return " ".join(f"{type(error).__name__}: {error}".split())


def test_the_report_that_is_shown_is_that_of_the_example_images(tmp_path, monkeypatch):
    pytest.importorskip("imagehash")
    monkeypatch.chdir(tmp_path)
    animals = Path(shutil.copytree(ROOT / "examples" / "data" / "cifar10-mini", "animals"))
    cut = animals / "train" / "cat" / "02425.png"
    cut.write_bytes(cut.read_bytes()[:-200])
    shutil.copy(animals / "train" / "cat" / "04179.png", animals / "test" / "cat" / "copy.png")
    shutil.copy(animals / "train" / "dog" / "05613.png", animals / "train" / "horse" / "zz.png")
    report = check_data("animals/train", test_data="animals/test", image_size=32, verbose=0)
    assert " ".join(str(report).split()) == shown_on("data.md", "Checked")


def test_errors_look_as_they_are_shown(images, labels):
    page = "getting-started.md"
    failures = [
        (16, "flowers/train/daisy/017.jpg", "image file is truncated (12 bytes not processed)"),
        (99, "flowers/train/tulip/notes.png", "not an image that Pillow can identify"),
    ]
    assert as_shown(ImageReadError(failures, 1204)) == shown_on(page, "ImageReadError")
    with pytest.raises(ValueError, match="Unknown backbone") as error:
        TransferClassifier("efficentnet_lite0", verbose=0).fit(images, labels)
    assert as_shown(error.value) == shown_on(page, "ValueError: Unknown backbone")
    with pytest.raises(ValueError, match="raw pixels") as error:
        TransferClassifier(verbose=0).fit(images / images.max(), labels)
    assert as_shown(error.value) == shown_on(page, "ValueError: `x`")


def test_the_first_page_names_all_others():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    names = {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert names == set(re.findall(r"\(([a-z-]+\.md)\)", index))


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_the_table_of_rooms_names_each_of_them(page):
    package = ROOT / "transferkit"
    rooms = {f"{path.name}/" for path in package.iterdir() if (path / "__init__.py").is_file()}
    rooms |= {path.name for path in package.glob("*.py") if not path.name.startswith("_")}
    text = (ROOT / page).read_text(encoding="utf-8").partition("## Rooms")[2].partition("\n## ")[0]
    assert rooms <= set(re.findall(r"`([\w/.]+)`", text))


def test_the_table_of_backbones_says_what_the_registry_says():
    rows = re.findall(
        r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \|", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE
    )
    assert len(rows) == 8
    for name, parameters, size, accuracy in rows:
        backbone = registry.get_backbone(name)
        assert parameters == f"{backbone.num_parameters / 1e6:.1f} million"
        assert size == str(backbone.image_size[0])
        assert accuracy == f"{backbone.imagenet_top1:.1f} %"


PUBLIC_MODULES = {"transferkit", "transferkit.models"}


def modules_imported(source):
    """Yields each module of transferkit that a piece of code imports from."""
    for node in ast.walk(ast.parse(source)):
        names = [node.module] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (name for name in names if name.partition(".")[0] == "transferkit")


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_an_example_imports_public_names_only(example):
    assert set(modules_imported(example.read_text(encoding="utf-8"))) <= PUBLIC_MODULES


@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=lambda path: path.name)
def test_a_page_imports_public_names_only(page):
    code = "\n".join(source for _, source, _ in statements(page))
    assert set(modules_imported(code)) <= PUBLIC_MODULES


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "architecture.md"], ids=lambda path: path.name)
def test_sessions_and_sentences_name_no_inner_module(page):
    """Contributors are told where things are; users are told what to import."""
    named = set(re.findall(r"(?:from|import) (transferkit[\w.]*)", page.read_text(encoding="utf-8")))
    assert named <= PUBLIC_MODULES


def test_every_documented_name_can_be_imported():
    documented = re.findall(r"^::: (\S+)\.(\w+)$", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert {module for module, _ in documented} == PUBLIC_MODULES
    for module, name in documented:
        assert name in import_module(module).__all__
        assert getattr(import_module(module), name) is not None


@pytest.mark.parametrize("module", sorted(PUBLIC_MODULES))
def test_every_public_name_is_documented(module):
    documented = set(re.findall(rf"^::: {module}\.(\w+)$", (ROOT / "docs" / "api.md").read_text("utf-8"), re.MULTILINE))
    assert set(import_module(module).__all__) - {"__version__"} == documented
