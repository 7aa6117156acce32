"""Waiting for a page whose policy forbids to evaluate text, as Playwright's own waiting does."""

import time
from typing import Any, Final

from playwright.sync_api import Page

PATIENCE_S: Final = 30.0


def until(page: Page, script: str, argument: Any = None) -> Any:
    """Return what the script gives, once that is true."""
    end = time.monotonic() + PATIENCE_S
    while not (found := page.evaluate(script, argument)):
        assert time.monotonic() < end, f"the page never came to {script} for {argument}"
        page.wait_for_timeout(15)
    return found


def trace(page: Page, uid: str) -> Any:
    """Return a trace of the explorer's plot, once it is drawn."""
    script = "uid => document.querySelector('#plot').data?.find(one => one.uid === uid)"
    return until(page, script, uid)


def fitted(page: Page, **fit: Any) -> list[float | None]:
    """Return the curve of a fit with these parameters, once it is drawn with all its places."""
    script = """wanted => {
        const drawn = document.querySelector('#plot').data?.find(one => one.uid === 'curve');
        const same = ([name, value]) => drawn.meta.fit[name] === value;
        return drawn && !drawn.meta.isCoarse && Object.entries(wanted).every(same) && drawn.y;
    }"""
    curve: list[float | None] = until(page, script, fit)
    return curve


def slide(page: Page, slider: str, value: float) -> None:
    """Move a slider, as a hand would."""
    page.locator(slider).evaluate(
        """(slider, value) => {
            slider.value = value;
            slider.dispatchEvent(new Event('input', {bubbles: true}));
        }""",
        value,
    )


def write(page: Page, field: str, value: float) -> None:
    """Write a number into a field, and leave it."""
    page.locator(field).fill(repr(value))
    page.locator(field).press("Tab")
