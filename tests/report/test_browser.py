"""The page in a real browser. On a machine without Chromium and its driver these tests are skipped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from synthetic_run import write_run
from webdriver import Browser, browser_paths, chromium

from acclimate.report.page import write_report

pytestmark = pytest.mark.skipif(browser_paths() is None, reason="needs chromium and chromedriver, one is not installed")

CLIP = "return getComputedStyle(document.querySelector('.over')).clipPath"
STAGE = "const b = document.querySelector('.stage').getBoundingClientRect(); return [b.left, b.top, b.width, b.height]"
RIGHT, LEFT = "\ue014", "\ue012"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("runs") / "demo", seeds=(0, 1), target_images=2, source_images=1)
    write_report([run], run / "report.html")
    return run / "report.html"


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(window: Browser, page: Path) -> Browser:
    """The page, freshly opened in a desktop window; what was logged before is forgotten."""
    window.resize(1280, 900)
    window.requested()
    window.log("browser")
    window.open(page)
    return window


def split_at(browser: Browser) -> float:
    """Share of the stage, in percent, that shows the left picture."""
    value = float(browser.script("return document.querySelector('.split').value"))
    shown = browser.script(CLIP).replace(" ", "")
    assert shown in (f"inset(0px{100 - value:g}%0px0px)", f"inset(0pxcalc({100 - value:g}%)0px0px)"), shown
    return value


def test_nothing_is_asked_of_the_network_and_nothing_is_complained_about(browser: Browser, page: Path) -> None:
    requested = [address for address in browser.requested() if not address.startswith("data:")]
    assert requested == [page.resolve().as_uri()]
    assert browser.log("browser") == []
    assert browser.script("return [...document.images].every(i => i.hasAttribute('data-view') ? i.naturalWidth : true)")


def test_the_slider_follows_the_mouse(browser: Browser) -> None:
    browser.script("document.querySelector('.stage').scrollIntoView({behavior: 'instant', block: 'center'})")
    assert split_at(browser) == 50
    left, top, width, height = browser.script(STAGE)
    browser.drag((int(left + width / 2), int(top + height / 2)), (int(left + 0.8 * width), int(top + height / 2)))
    assert split_at(browser) == pytest.approx(80, abs=2)


def test_the_slider_follows_a_finger(browser: Browser) -> None:
    browser.resize(375, 800, phone=True)
    browser.script("document.querySelector('.stage').scrollIntoView({behavior: 'instant', block: 'center'})")
    left, top, width, height = browser.script(STAGE)
    middle = int(top + height / 2)
    browser.drag((int(left + width / 2), middle), (int(left + 0.25 * width), middle), pointer="touch")
    assert split_at(browser) == pytest.approx(25, abs=4)


def test_the_slider_follows_the_keyboard(browser: Browser) -> None:
    browser.script("document.querySelector('.split').focus()")
    browser.press(RIGHT, times=5)
    assert split_at(browser) == 55
    browser.press(LEFT, times=10)
    assert split_at(browser) == 45


def test_any_two_pictures_can_be_compared(browser: Browser) -> None:
    sources = """
      const shown = ['.over', '.under'].map(name => document.querySelector(name).src);
      const images = [...document.querySelectorAll('.shot')[%d].querySelectorAll('img')];
      return shown.map(src => { const i = images.find(i => i.src === src); return [i.dataset.model, i.dataset.view]; })
    """
    assert browser.script(sources % 0) == [["source-only", "prediction"], ["advent", "prediction"]]
    browser.script("""
      const pick = (name, value) => { const s = document.querySelector(name); s.value = value;
                                      s.dispatchEvent(new Event('change')); };
      pick('.pick-image', 2); pick('.pick-left', 'label'); pick('.pick-right', 'oracle, entropy');
    """)
    assert browser.script(sources % 2) == [["", "label"], ["oracle", "entropy"]]
    browser.script("document.querySelector('.swap').click()")
    assert browser.script(sources % 2) == [["oracle", "entropy"], ["", "label"]]
    options = browser.script("return [...document.querySelector('.pick-left').options].map(o => o.value)")
    models = ["source-only", "minent", "advent", "oracle"]
    assert options == ["input", "label", *(f"{m}, {view}" for m in models for view in ("prediction", "entropy"))]
    browser.script("document.querySelectorAll('.open')[1].click()")
    assert browser.script("return document.querySelector('.pick-image').value") == "1"


def test_tables_sort_by_value_with_gaps_last(browser: Browser) -> None:
    def order(clicks: int) -> list[str]:
        browser.script("document.querySelector('.overview th:nth-child(4) button').click();" * clicks)
        rows = "return [...document.querySelectorAll('.overview tbody th')].map(th => th.textContent.trim())"
        result: list[str] = browser.script(rows)
        return result

    before = order(0)
    assert before == ["source-only", "minent", "advent", "oracle"]
    assert order(1) == ["oracle", "advent", "minent", "source-only"]  # by gain; source-only has none
    assert order(1) == ["minent", "advent", "oracle", "source-only"]
    assert order(1) == before


def test_curves_can_be_hidden(browser: Browser) -> None:
    count = """return [...document.querySelectorAll('.chart path')]
      .filter(path => getComputedStyle(path).display !== 'none').length"""
    before = browser.script(count)
    browser.script("document.querySelector('.toggle[data-model=minent]').click()")
    assert browser.script(count) == before - 6  # segmentation, entropy and learning rate, two seeds


@pytest.mark.parametrize("width", [375, 768])
def test_a_narrow_page_does_not_scroll_sideways(browser: Browser, width: int) -> None:
    browser.resize(width, 800, phone=True)
    assert browser.script("return document.documentElement.scrollWidth") == width
    tables = "return [...document.querySelectorAll('.scroll')].map(box => box.getBoundingClientRect().right)"
    assert max(browser.script(tables)) <= width


def test_the_page_reads_without_scripts(browser: Browser, page: Path) -> None:
    browser.devtools("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(page)
        shown = browser.script("""
          const seen = name => [...document.querySelectorAll(name)].filter(e => e.offsetParent).length;
          return [seen('.compare'), seen('.open'), seen('table'), seen('img[data-view]')]
        """)
    finally:
        browser.devtools("Emulation.setScriptExecutionDisabled", value=False)
    assert shown == [0, 0, 2, 3 * (2 + 4 * 2)]
