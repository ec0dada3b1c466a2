"""Does in Chromium what a person does with a page, and says what they see.

    browser.py PAGE < actions.json > seen.json

Actions are a list of [name, argument…]; what those that look at something see comes back, in order, as a list.
Selenium talks to Debian's chromedriver, which is of the same build as Debian's Chromium.
"""

import base64
import io
import json
import pathlib
import shutil
import sys
import tempfile
import time

from axe_selenium_python import Axe
from pypdf import PdfReader
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

PATIENCE = 60  # seconds: the machine may be busy


class Person:
    def __init__(self, driver, page):
        self.driver = driver
        self.page = page

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    # ---- what a person does

    def open(self, address=""):
        """Opens the page at an address (the part after `#`), and says how many milliseconds it took to be ready."""
        self.driver.get("about:blank")
        begun = time.monotonic()
        self.driver.get(f"{self.page.as_uri()}#{address}")
        self.wait("body[data-ready]")
        return round((time.monotonic() - begun) * 1000)

    def window(self, width, height):
        self.driver.set_window_size(width, height)

    def scheme(self, scheme):
        """Dark or light, as the person has it set up."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def keys(self, *words):
        """Presses keys: names of Keys (`ENTER`, `TAB`), or text, into whatever has the focus."""
        for word in words:
            self.driver.switch_to.active_element.send_keys(getattr(Keys, word, word))

    def choose(self, selector, shown):
        """Chooses an option. Typing its first letters would depend on how quickly they follow each other."""
        Select(self.find(selector)).select_by_visible_text(shown)

    def click(self, selector):
        self.find(selector).click()

    def wait(self, selector, text=""):
        """Waits until something is there, and says so."""
        def there(_):
            return any(text in e.text for e in self.driver.find_elements(By.CSS_SELECTOR, selector))

        WebDriverWait(self.driver, PATIENCE, 0.01).until(there, f"{text!r} never came to {selector}: {self.see('body')}")

    def filter(self, text, count):
        """Types into the filter and waits for a count; says how many milliseconds after the last key it came."""
        field = self.find("#text")
        field.send_keys(Keys.CONTROL + "a")
        field.send_keys(text or Keys.DELETE)
        begun = time.monotonic()
        self.wait("#count", count)
        return round((time.monotonic() - begun) * 1000)

    # ---- what a person sees

    def see(self, selector):
        """The text that can be seen, nothing that is hidden or folded away."""
        return "\n".join(e.text for e in self.driver.find_elements(By.CSS_SELECTOR, selector) if e.is_displayed())

    def focus(self):
        """What a screen reader says of what has the focus: role, name and, where there is one, state."""
        element = self.driver.switch_to.active_element
        state = element.get_attribute("aria-expanded")
        said = [element.aria_role, element.accessible_name]
        return " ".join(said + ([] if state is None else ["expanded" if state == "true" else "collapsed"]))

    def colour(self, selector):
        """Background of the page and colour of an element."""
        paper = self.find("body").value_of_css_property("background-color")
        return [paper, self.find(selector).value_of_css_property("color")]

    def barriers(self):
        """What keeps people out, as axe-core knows it: rules and places."""
        axe = Axe(self.driver)
        axe.inject()
        violations = axe.run()["violations"]
        return [f"{v['id']}: {n['html'][:200]}" for v in violations for n in v["nodes"]]

    def wider_than_the_window(self):
        return self.driver.execute_script("return Math.max(0, document.documentElement.scrollWidth - innerWidth)")

    def print(self):
        """The text on paper."""
        pdf = base64.b64decode(self.driver.print_page())
        return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages)

    def picture(self, path):
        self.driver.save_screenshot(path)

    def complaints(self):
        """What the console of the browser has to say of the page."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


LOOKS = {"open", "filter", "see", "focus", "colour", "barriers", "wider_than_the_window", "print", "complaints"}


def main():
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    with tempfile.TemporaryDirectory(prefix="kconform-browser-") as folder:
        for argument in ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                         "--disable-background-networking", "--disable-component-update", "--disable-sync",
                         "--disable-dev-shm-usage", f"--user-data-dir={folder}"]:
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
        driver = webdriver.Chrome(options=options, service=service)
        try:
            person = Person(driver, pathlib.Path(sys.argv[1]).resolve())
            seen = []
            for name, *arguments in json.load(sys.stdin):
                said = getattr(person, name)(*arguments)
                if name in LOOKS:
                    seen.append(said)
            json.dump(seen, sys.stdout)
        finally:
            driver.quit()


main()
