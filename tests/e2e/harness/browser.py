"""Headless Chromium: opened, emulated, checked for accessibility and for anything it complains about."""

import base64
import shutil
from pathlib import Path

import axe_playwright_python
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from .postgres import ROOT

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
WCAG_AA = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--disable-default-apps", "--hide-scrollbars",
)
DESKTOP, PHONE = (1280, 900), (390, 844)
PATIENCE = 60  # seconds, on a busy machine


# An element of the page that is being left is gone by the time it is asked.
BETWEEN_PAGES = (NoSuchElementException, StaleElementReferenceException)


class Browser:
    def __init__(self, profile: Path):
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
        driver = shutil.which("chromedriver")
        assert options.binary_location and driver, "chromium and chromedriver are missing; run scripts/install-deps"
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
        self.driver.set_page_load_timeout(PATIENCE)
        self.emulate()

    def close(self):
        self.driver.quit()

    def emulate(self, size: tuple[int, int] = DESKTOP, dark: bool = False):
        """The size of the page and the colour scheme the person prefers."""
        width, height = size
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 2 if size == PHONE else 1, "mobile": size == PHONE,
        })
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]})

    def open(self, url: str):
        self.driver.get(url)

    def all(self, selector: str):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def wait_for(self, selector: str, visible: bool = True):
        """The first element of a selector, once it is there (and to be seen)."""

        def found(_):
            return next((e for e in self.all(selector) if not visible or e.is_displayed()), None)

        try:
            return WebDriverWait(self.driver, PATIENCE, poll_frequency=0.05, ignored_exceptions=BETWEEN_PAGES).until(found)
        except Exception:
            raise AssertionError(
                f"no {selector!r} on {self.driver.current_url}; the page says:\n{self.text()}\nconsole: {self.console()}"
            ) from None

    def wait_until(self, condition, what: str):
        try:
            WebDriverWait(self.driver, PATIENCE, poll_frequency=0.05, ignored_exceptions=BETWEEN_PAGES).until(lambda _: condition())
        except Exception:
            raise AssertionError(f"waited in vain for {what} on {self.driver.current_url}; it says:\n{self.text()}") from None

    def text(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "body").text

    def console(self) -> list[dict]:
        """Console entries since the last call, CSP violations included."""
        return self.driver.get_log("browser")

    def expect_quiet_console(self, *expected: str):
        """No errors, and nothing about the content security policy, except messages with one of the expected parts."""
        bad = [
            entry["message"] for entry in self.console()
            if entry["level"] == "SEVERE" or "Content Security Policy" in entry["message"]
        ]
        bad = [message for message in bad if not any(part in message for part in expected)]
        assert not bad, "the browser complains:\n" + "\n".join(bad)

    def expect_accessible(self, what: str):
        """No violation of WCAG 2.2 AA that axe can find."""
        self.driver.execute_script(AXE)
        result = self.driver.execute_async_script(
            "const done = arguments[1]; axe.run(document, {runOnly: arguments[0]}).then(done, e => done({error: String(e)}));",
            WCAG_AA,
        )
        assert "error" not in result, result.get("error")
        found = [
            f"{violation['id']} ({violation['impact']}): {violation['help']}: {node['target']} {node['failureSummary']}"
            for violation in result["violations"] for node in violation["nodes"]
        ]
        assert not found, f"{what} fails WCAG AA:\n" + "\n".join(found)

    def expect_fits(self, what: str):
        """Nothing sticks out sideways."""
        widths = self.driver.execute_script(
            "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert widths[0] <= widths[1], f"{what} scrolls sideways: {widths[0]} px wide in {widths[1]} px"

    def focused(self) -> dict:
        """The id, class and focus ring of the element that has the focus."""
        return self.driver.execute_script(
            "const e = document.activeElement, s = getComputedStyle(e);"
            "return {id: e.id, classes: [...e.classList],"
            " ring: (s.outlineStyle !== 'none' && s.outlineWidth !== '0px') || s.boxShadow !== 'none'}"
        )

    def screenshot(self, name: str):
        """The whole page as docs/images/NAME.png."""
        height = self.driver.execute_script("return document.documentElement.scrollHeight")
        picture = self.driver.execute_cdp_cmd("Page.captureScreenshot", {
            "format": "png", "captureBeyondViewport": True,
            "clip": {"x": 0, "y": 0, "scale": 1, "height": height,
                     "width": self.driver.execute_script("return document.documentElement.clientWidth")},
        })
        path = ROOT / "docs" / "images" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(picture["data"]))
