"""A real Chromium for tests of pages: run by `make test-browser`, never by `make test`.

A test gets `open_page`, opens a file with a width, a colour scheme and so on, and asks the `Page` what went wrong.
"""

import os
import shutil
from pathlib import Path

import pytest

INTERACTIVE = {
    "button",
    "checkbox",
    "combobox",
    "link",
    "menuitem",
    "option",
    "radio",
    "slider",
    "spinbutton",
    "switch",
    "tab",
    "textbox",
}
PICTURES = {"image", "img", "graphics-document", "canvas"}

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    # Whatever asks for the network fails, and is seen in the log.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)


def _program(variable, *names):
    program = os.environ.get(variable) or next((path for name in names if (path := shutil.which(name))), None)
    if program is None:
        pytest.fail(
            f"the browser tests need {names[0]}; install it (Debian: apt-get install chromium chromium-driver) "
            f"or name it in ${variable}",
            pytrace=False,
        )
    return program


@pytest.fixture(scope="session")
def driver(tmp_path_factory):
    chromium = _program("CHROMIUM", "chromium", "chromium-browser", "google-chrome")
    chromedriver = _program("CHROMEDRIVER", "chromedriver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    running = webdriver.Chrome(options=options, service=Service(chromedriver))
    yield running
    running.quit()


class Page:
    """An open page, and what may be asked of it."""

    def __init__(self, driver, path, width, height, dark, reduced_motion, touch):
        import json

        self.driver, self.width = driver, width
        self.url = Path(path).resolve().as_uri()
        self._json = json
        driver.get("about:blank")
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if reduced_motion else "no-preference"},
        ]
        self.command("Emulation.setEmulatedMedia", features=features)
        mobile = {"width": width, "height": height, "deviceScaleFactor": 2 if width < 500 else 1, "mobile": touch}
        self.command("Emulation.setDeviceMetricsOverride", **mobile)
        self.command("Emulation.setTouchEmulationEnabled", enabled=touch)
        driver.get_log("browser"), driver.get_log("performance")
        driver.get(self.url)

    def command(self, name, **arguments):
        """A command of the DevTools protocol."""
        return self.driver.execute_cdp_cmd(name, arguments)

    def run(self, script, *arguments):
        """Run JavaScript; `arguments` are its `arguments`, and what it returns is returned."""
        return self.driver.execute_script(script, *arguments)

    def console(self):
        """Warnings and errors of the console since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] != "INFO"]

    def requests(self):
        """Addresses that were asked for since the last call, without data URIs and the page itself."""
        messages = [self._json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return [url for url in asked if not url.startswith("data:") and url != self.url]

    def overflow(self):
        """Elements that make the page wider than the window."""
        return self.run(
            """
            const wide = document.documentElement.clientWidth;
            if (document.documentElement.scrollWidth <= wide) return [];
            return [...document.body.querySelectorAll("*")]
              .filter(e => e.getBoundingClientRect().right > wide + 0.5)
              .map(e => e.tagName + "." + e.className + "#" + e.id);
            """
        )

    def nodes(self):
        """The accessibility tree as Chromium computes it: pairs of role and name."""
        tree = self.command("Accessibility.getFullAXTree")["nodes"]
        shown = [node for node in tree if not node.get("ignored")]
        return [(n.get("role", {}).get("value", ""), str(n.get("name", {}).get("value", "")).strip()) for n in shown]

    def nameless(self):
        """Roles of interactive elements and pictures without an accessible name."""
        return [role for role, name in self.nodes() if role.lower() in INTERACTIVE | PICTURES and not name]

    def press(self, *keys):
        """Send keys to whatever has the focus."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def screenshot(self, path, whole=True):
        """A PNG of the window, or of the whole page."""
        import base64

        size = self.command("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": self.width, "height": size["height"], "scale": 1}
        more = {"clip": clip, "captureBeyondViewport": True} if whole else {}
        Path(path).write_bytes(base64.b64decode(self.command("Page.captureScreenshot", format="png", **more)["data"]))

    def check(self):
        """What holds for every page: nothing in the console, nothing asked for, nothing too wide, all named."""
        assert self.requests() == []
        assert self.console() == []
        assert self.overflow() == []
        assert self.nameless() == []
        assert self.run("return document.title")
        assert self.run("return document.documentElement.lang")
        assert self.run("return document.querySelectorAll('h1').length") == 1


@pytest.fixture
def open_page(driver):
    """Open a file in the browser; returns a `Page`."""

    def open_it(path, width=1280, height=800, dark=False, reduced_motion=False, touch=False):
        return Page(driver, path, width, height, dark, reduced_motion, touch)

    return open_it


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
