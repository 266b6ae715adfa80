"""Open reports in a headless Chromium, and look at what they show."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHARTS = ["equal-chart", "pareto-chart", "methods-chart", "classes-chart", "training-chart"]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 120_000  # milliseconds; other programs may keep the machine busy


def executable() -> str | None:
    """The installed Chromium, if there is one."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


def names(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """The operating points of rows of a chart, in an order of their own."""
    return sorted((row["method"], row["schedule"]) for row in rows)


class Opened:
    """A report in a browser.

    Attributes:
        page: as Playwright controls it.
        said: what it wrote to the console, and errors that nobody caught.
        asked: addresses that it asked for, apart from itself and what it carries.
    """

    def __init__(self, page: Any, report: Path, ready: bool = True) -> None:
        self.page, self.said, self.asked = page, [], []
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(report.as_uri())
        if ready:
            page.wait_for_function("document.documentElement.dataset.ready")
        self.asked = [address for address in self.asked if address != report.as_uri() and address[:5] != "data:"]

    def set(self, selector: str, value: object) -> None:
        """Give a control a value as a person would, and wait until the charts have followed."""
        self.page.eval_on_selector(
            selector,
            """(control, value) => {
              if (control.type === "checkbox") control.checked = value; else control.value = value;
              control.dispatchEvent(new Event("input", { bubbles: true }));
            }""",
            value,
        )
        self.settle()

    def settle(self) -> None:
        """Wait until the charts have followed the controls."""
        self.page.wait_for_timeout(50)
        self.page.evaluate("async () => { for (const chart of document.charts) await chart.work; }")

    def rows(self, chart: str, data: str) -> list[dict[str, Any]]:
        """A data set of a chart."""
        script = "([chart, data]) => JSON.stringify(document.getElementById(chart).view.data(data))"
        return self.page.evaluate(f"async (names) => JSON.parse(({script})(names))", [chart, data])

    def text(self, selector: str) -> str:
        """The visible text of an element."""
        return str(self.page.inner_text(selector))

    def choices(self, selector: str) -> list[str]:
        """What a select offers."""
        return list(self.page.eval_on_selector(selector, "(select) => [...select.options].map((each) => each.value)"))


@contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable())
        try:
            yield launched
        finally:
            launched.close()
