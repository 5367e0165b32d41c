"""The page in a real browser. On a machine without Chromium and its driver these tests are skipped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from synthetic_run import write_run, write_unlabelled_run
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
def pages(page: Path) -> dict[str, Path]:
    """A page of each sort: scored, without labels, two runs compared."""
    folder = page.parents[1]
    free = write_unlabelled_run(folder / "free")
    write_report([free], free / "report.html")
    other = write_run(folder / "second", models={"source-only": 0.4, "advent": 0.25}, target_images=1, source_images=0)
    write_report([page.parent, other], folder / "compared.html")
    return {"scored": page, "unlabelled": free / "report.html", "compared": folder / "compared.html"}


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
      const panes = ['.over', '.under'].map(name => document.querySelector(name));
      const images = [...document.querySelectorAll('.shot')[%d].querySelectorAll('img')];
      return panes.map(pane => { const i = images.find(i => i.src === pane.querySelector('.top').src);
                                 return [i.dataset.model, pane.dataset.kind]; })
    """
    assert browser.script(sources % 0) == [["source-only", "overlay"], ["advent", "overlay"]]
    photo = """return [document.querySelector('.over .base').src === document.querySelector('[data-view=input]').src,
      getComputedStyle(document.querySelector('.over .top')).opacity]"""
    assert browser.script(photo) == [True, "0.55"]
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
    kinds = ("overlay", "prediction", "entropy", "errors")
    assert options == ["photo", "label", *(f"{m}, {kind}" for m in models for kind in kinds)]
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


BEYOND = """return [...document.querySelectorAll('body *')].filter(e => {
  const box = e.getBoundingClientRect();
  return box.width && box.right > innerWidth + 1 && !e.closest('pre') && !e.closest('svg');
}).map(e => e.tagName + ' ' + e.textContent.trim().slice(0, 30))"""
"""What reaches beyond the window, inside boxes that scroll too: a column that is cut off, say."""
BROKEN = """
const found = [], range = document.createRange();
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node; node = walker.nextNode();) {
  if (node.parentElement.closest('script, style, pre, svg, select, details:not([open])')) continue;
  for (const match of node.data.matchAll(/[\\p{L}\\p{N}]+/gu)) {
    range.setStart(node, match.index);
    range.setEnd(node, match.index + match[0].length);
    const tops = new Set([...range.getClientRects()].filter(r => r.width).map(r => Math.round(r.top)));
    if (tops.size > 1) found.push(match[0]);
  }
}
return found"""
"""Words that go over two lines."""


@pytest.mark.parametrize("kind", ["scored", "unlabelled", "compared"])
def test_on_a_phone_nothing_is_cut_off_and_no_word_is_broken(
    kind: str, pages: dict[str, Path], window: Browser
) -> None:
    window.resize(390, 844, phone=True)
    window.open(pages[kind])
    assert window.script(BEYOND) == []
    assert window.script(BROKEN) == []


def test_without_labels_the_page_opens_on_before_and_after(pages: dict[str, Path], window: Browser) -> None:
    window.resize(1280, 900)
    window.open(pages["unlabelled"])
    tags = window.script("return [...document.querySelectorAll('.tag')].map(tag => tag.textContent)")
    assert tags == ["source-only, overlay", "dacs, overlay"]
    headings = window.script("return [...document.querySelectorAll('h2')].map(h => h.textContent)")
    expected = [
        "The doctor",
        "Before and after",
        "What changed",
        "Frames over training",
        "Training",
        "Use it",
        "Reproduce",
    ]
    assert headings == expected
    window.script("""const s = document.querySelector('.pick-right'); s.value = 'dacs, difference';
                     s.dispatchEvent(new Event('change'));""")
    shown = """const pane = document.querySelector('.under');
      return [pane.dataset.kind, getComputedStyle(pane.children[0]).visibility]"""
    assert window.script(shown) == ["difference", "visible"]
    assert "oracle" not in window.script("return document.body.innerText")


def test_colours_stay_with_their_models(pages: dict[str, Path], window: Browser) -> None:
    colours = """return Object.fromEntries([...document.querySelectorAll('table th')].map(th =>
      [th.textContent.trim(), th.querySelector('.swatch')?.style.getPropertyValue('--c')]).filter(p => p[1]))"""
    window.open(pages["scored"])
    alone = window.script(colours)
    window.open(pages["compared"])
    together = window.script(colours)
    assert {name: together[f"demo: {name}"] for name in alone} == alone
    assert len(set(together.values())) == len(together)


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
    assert shown == [0, 0, 2, 3 * (2 + 4 * 3)]
