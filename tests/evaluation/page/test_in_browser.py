"""The page as a browser shows it. Needs Chromium, which `.ci/run` installs where it can."""

import json
import os
import shutil
import subprocess
import sys

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
WIDTHS = (400, 1400)
PATIENCE = 60  # seconds


def can_start():
    # Where it comes as a snap, the package is a script that asks for one.
    return CHROMIUM is not None and subprocess.run([CHROMIUM, "--version"], capture_output=True).returncode == 0


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not can_start(), reason="needs Chromium (`apt-get install chromium`)"),
    pytest.mark.skipif(sys.platform == "win32", reason="talks to Chromium through pipes with fixed numbers"),
]


class Browser:
    """A browser with one page, spoken to through the DevTools protocol.

    Attributes:
        events: Everything that it has reported of the page, `(name, details)`.
    """

    def __init__(self, folder):
        theirs, self._to = os.pipe()
        self._from, to_us = os.pipe()
        command = [CHROMIUM, *OPTIONS, f"--user-data-dir={folder}", "about:blank"]
        # It reads from 3 and writes to 4. Not every sh knows numbers of two digits.
        shell = ["bash", "-c", f'exec "$@" 3<&{theirs} 4>&{to_us}', "bash", *command]
        self._process = subprocess.Popen(
            shell, pass_fds=(theirs, to_us), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(theirs)
        os.close(to_us)
        self.events, self._unread, self._count, self._session = [], b"", 0, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self):
        os.close(self._to)  # it ends when nobody speaks to it any more
        self._process.wait(PATIENCE)
        os.close(self._from)

    def call(self, method, **parameters):
        """Calls a method and returns what it gives."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._count:
            self.events.append((answer["method"], answer["params"]))
        assert "error" not in answer, answer
        return answer["result"]

    def _read(self):
        while b"\0" not in self._unread:
            part = os.read(self._from, 1 << 20)
            assert part, "Chromium has ended."
            self._unread += part
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)

    def open(self, path, width, scheme="light"):
        """Opens a file in a window of that width, and waits until all of it is there."""
        self.events.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=path.as_uri())
        while not any(name == "Page.loadEventFired" for name, _ in self.events):
            answer = self._read()
            self.events.append((answer["method"], answer["params"]))

    def value(self, code):
        """The value of JavaScript, for which it waits if need be."""
        result = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def complaints(self):
        """Errors and warnings in the console, errors of scripts, and dialogues."""
        bad = {"Runtime.exceptionThrown", "Page.javascriptDialogOpening", "Network.loadingFailed"}
        return [
            (name, details)
            for name, details in self.events
            if name in bad
            or (name == "Runtime.consoleAPICalled" and details["type"] in ("error", "warning", "assert"))
            or (name == "Log.entryAdded" and details["entry"]["level"] in ("error", "warning"))
        ]

    def requests(self):
        """Addresses that it has asked for."""
        return [details["request"]["url"] for name, details in self.events if name == "Network.requestWillBeSent"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def files(pages, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    for name, page in pages.items():
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in pages}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["report", "multilabel"])
def test_it_fits_and_nothing_goes_wrong(name, width, scheme, browser, files):
    browser.open(files[name], width, scheme)
    assert browser.complaints() == []
    assert [url for url in browser.requests() if not url.startswith("data:")] == [files[name].as_uri()]
    assert browser.value("document.documentElement.scrollWidth") == width


def test_it_is_dark_where_the_reader_wants_it_dark(browser, files):
    found = []
    for scheme in ("light", "dark"):
        browser.open(files["report"], 1400, scheme)
        ground, text, axis = browser.value("""
            [document.body, document.querySelector("h2"), document.querySelector(".plot svg text")].map(
              (element, number) => getComputedStyle(element)[["backgroundColor", "color", "fill"][number]])""")
        assert text == axis
        found.append((brightness(ground), brightness(text)))
    (light, ink), (dark, chalk) = found
    assert light > 200 > 100 > ink
    assert dark < 60 < 200 < chalk


def brightness(colour):
    return sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(", "))) / 3


@pytest.mark.parametrize("name", ["report", "multilabel"])
def test_all_images_load(name, browser, files):
    browser.open(files[name], 1400)
    sizes = browser.value("""
        Promise.all([...document.images].map(async (image) => {
          image.loading = "eager";
          await image.decode();
          return [image.naturalWidth, image.getBoundingClientRect().width];
        }))""")
    assert len(sizes) >= 20
    assert all(natural >= 8 and shown > 50 for natural, shown in sizes)
    assert browser.complaints() == []


COLUMN = """
    [...document.querySelectorAll("#classes tbody tr")].map((row) => row.cells[{0}].dataset.value)
"""
CLICK = """
    (() => {{
      const heading = document.querySelectorAll("#classes th")[{0}];
      heading.querySelector("button").click();
      return heading.getAttribute("aria-sort");
    }})()
"""


def test_headings_sort_numbers(browser, files, report):
    browser.open(files["report"], 400)
    recall = [f"{value:.6g}" for value in report.recall]
    assert browser.value(COLUMN.format(2)) == recall
    assert browser.value(CLICK.format(2)) == "descending"
    assert browser.value(COLUMN.format(2)) == sorted(recall, key=float, reverse=True)
    assert browser.value(CLICK.format(2)) == "ascending"
    assert browser.value(COLUMN.format(2)) == sorted(recall, key=float)
    browser.value(CLICK.format(4))
    assert browser.value("document.querySelectorAll('#classes [aria-sort]').length") == 1


def test_headings_sort_names_and_leave_what_is_missing_at_the_end(browser, files):
    browser.open(files["report"], 1400)
    names = 'Array.from(document.querySelectorAll("#classes tbody tr"), (row) => row.cells[0].textContent)'
    assert browser.value(CLICK.format(0)) == "ascending"
    ascending = browser.value(names)
    assert browser.value(CLICK.format(0)) == "descending"
    assert browser.value(names) == ascending[::-1]
    browser.value("""document.querySelectorAll("#classes tbody tr")[2].cells[2].dataset.value = "" """)
    for _ in range(2):
        browser.value(CLICK.format(2))
        assert browser.value(COLUMN.format(2))[-1] == ""


def test_it_can_be_printed(browser, files):
    browser.open(files["report"], 1400, "dark")
    browser.call("Emulation.setEmulatedMedia", media="print", features=[])
    assert browser.value("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert brightness(browser.value("getComputedStyle(document.body).backgroundColor")) == 255
    assert browser.value("document.documentElement.scrollWidth <= innerWidth")
    browser.call("Emulation.setEmulatedMedia", media="")
