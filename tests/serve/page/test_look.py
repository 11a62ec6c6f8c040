"""How the page looks, and how it is used without eyes or mouse; the answers are canned."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from kdray_serve.http.routes.page import PAGE

Open = Callable[..., Any]
#: What stands on what: texts and their grounds (4.5 is asked), then parts of controls (3).
TEXTS = [
    (text, ground) for text in ("text", "soft", "accent") for ground in ("card", "back", "quiet")
] + [
    ("danger", "danger-back"),
    ("warning", "warning-back"),
    ("good", "card"),
    ("danger", "card"),
    ("on-accent", "accent"),
    ("on-view", "view"),
    ("bar", "card"),
    ("bar-other", "card"),
]
PARTS = [
    ("control", "card"),
    ("control", "back"),
    ("accent", "card"),
    ("bar", "track"),
    ("bar-other", "track"),
]
WIDTHS = {"phone": 360, "small phone": 320, "tablet": 768, "wide": 1920}


def colours(is_dark: bool) -> dict[str, str]:
    """Return the names and values of the colours of one mode."""
    light, dark = (PAGE / "colours.css").read_text().split("@media (prefers-color-scheme: dark)")
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", light))
    return found | dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", dark)) if is_dark else found


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2.1."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2.1."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_black_on_white_has_the_contrast_that_wcag_gives() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_all_texts_and_controls_have_the_contrast_of_wcag_aa(is_dark: bool) -> None:
    known = colours(is_dark)
    for pairs, least in ((TEXTS, 4.5), (PARTS, 3.0)):
        for one, ground in pairs:
            found = contrast(known[one], known[ground])
            assert found >= least, f"{one} on {ground}: {found:.2f}"


def test_no_file_has_inline_scripts_or_styles_or_makes_markup_of_text() -> None:
    html = (PAGE / "index.html").read_text()
    assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?![^>]*src=)", html)
    for file in PAGE.glob("*.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|eval\(", file.read_text()), (
            file
        )


def test_no_file_names_another_host() -> None:
    for file in (file for file in PAGE.iterdir() if file.suffix != ".svg"):
        assert not re.search(r"https?://\w", file.read_text()), file


def test_files_are_small() -> None:
    sizes = {file.name: len(file.read_text().splitlines()) for file in PAGE.iterdir()}
    assert max(sizes.values()) <= 300, sizes


@pytest.mark.browser
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS.keys())
def test_nothing_is_wider_than_the_screen(visit: Open, canned: Any, width: int) -> None:
    canned.summary["aliases"] = ["champion", "an-alias-with-a-rather-long-name", "another"]
    canned.prediction["ood"] = {"score": 0.998, "flag": True, "flag_above": 0.99}
    canned.details["card"] = "| a | b |\n| --- | --- |\n| x | " + "0123456789abcdef" * 8 + " |"
    page = visit(viewport=(width, 740))
    page.locator("#about").wait_for()
    assert overflow(page) == 0
    choose(page)
    page.select_option("#beside", "teacher")
    page.select_option("#class", "all")
    expect(page.locator(".heat")).to_have_count(8)
    page.locator("#about summary").click()
    assert overflow(page) == 0


@pytest.mark.browser
def test_twice_the_size_still_shows_all_in_one_column(visit: Open) -> None:
    # at 200 % a window of 1280 x 800 pixels has room for 640 x 400 of the page's
    page = visit(viewport=(640, 400))
    choose(page)
    expect(page.locator(".heat")).to_have_count(1)
    assert overflow(page) == 0
    stage, answer = (page.locator(name).bounding_box() for name in ("#stage", "#answer"))
    assert answer["y"] >= stage["y"] + stage["height"]


@pytest.mark.browser
@pytest.mark.parametrize("height", [780, 400])
def test_the_notice_is_always_in_sight(visit: Open, height: int) -> None:
    page = visit(viewport=(1280, height))
    choose(page)
    expect(page.locator("footer")).to_contain_text("Not a medical device")
    for place in (0, 10_000):
        page.mouse.wheel(0, place)
        expect(page.locator("footer")).to_be_in_viewport(ratio=1)
    expect(page.locator(".caution")).to_have_text(
        "A heat map shows where the model looked, not where the disease is."
    )


@pytest.mark.browser
def test_dark_mode_and_less_motion_are_followed(visit: Open) -> None:
    page = visit(color_scheme="dark", reduced_motion="reduce")
    choose(page)
    ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    expected = tuple(int(colours(True)["back"][place : place + 2], 16) for place in (1, 3, 5))
    assert ground == f"rgb{expected}"
    expect(page.locator(".fill").first).to_have_css("transition-duration", "0s")


#: Rules in the manner of axe: each returns what breaks it.
RULES = """() => {
  const all = (query) => [...document.querySelectorAll(query)];
  const shown = (node) => node.getClientRects().length > 0;
  const text = (node) => node.textContent.trim() || node.getAttribute("aria-label") ||
    node.title || [...node.querySelectorAll("img")].map((image) => image.alt).join("").trim();
  const named = (node) => node.getAttribute("aria-label") || [...(node.labels ?? [])].some(text);
  const tell = (node) => node.outerHTML.slice(0, 100);
  const levels = all("h1,h2,h3,h4,h5,h6").filter(shown).map((node) => Number(node.tagName[1]));
  const references = all("[aria-labelledby],[aria-describedby],[for]").filter((node) =>
    ["aria-labelledby", "aria-describedby", "for"].some((name) => node.hasAttribute(name) &&
      !node.getAttribute(name).split(" ").every((id) => document.getElementById(id))));
  const ids = all("[id]").map((node) => node.id);
  return {
    "buttons and links have a name":
      all("button,a[href],summary").filter(shown).filter((n) => !text(n)).map(tell),
    "fields have a label": all("input,select,textarea").filter((n) => !named(n)).map(tell),
    "images have alt": all("img:not([alt])").map(tell),
    "one h1": all("h1").length === 1 ? [] : ["h1"],
    "no heading level is skipped": levels.filter((level, k) => k && level > levels[k - 1] + 1),
    "ids are unique": ids.filter((id, place) => ids.indexOf(id) !== place),
    "references lead somewhere": references.map(tell),
    "landmarks": ["header", "main", "footer"].filter((name) => all(`body > ${name}`).length !== 1),
    "language": document.documentElement.lang ? [] : ["html"],
    "sections are labelled": all("section:not([aria-labelledby])").map(tell),
    "lists hold items": all("ul > :not(li), ol > :not(li)").map(tell),
    "no positive tabindex": all("[tabindex]").filter((n) => n.tabIndex > 0).map(tell),
    "targets are at least 24 pixels": all("button,select,summary,input[type=range]").filter(shown)
      .filter((n) => Math.min(n.offsetWidth, n.offsetHeight) < 24).map(tell),
  };
}"""


@pytest.mark.browser
def test_the_page_keeps_the_rules_of_accessible_pages(visit: Open, canned: Any) -> None:
    canned.summary["samples"] = 2
    page = visit()
    page.locator("#samples img").nth(1).wait_for()
    assert broken(page) == {}
    choose(page, "one.png", "two.png")
    page.select_option("#beside", "teacher")
    expect(page.locator(".heat")).to_have_count(2)
    page.locator("#about summary").click()
    assert broken(page) == {}


@pytest.mark.browser
def test_an_answer_is_told_to_screen_readers(visit: Open) -> None:
    page = visit()
    status = page.locator("p[role=status]")
    expect(status).to_have_attribute("aria-live", "polite")
    choose(page)
    expect(status).to_have_text("Heat map for glioma")
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false")
    expect(page.locator(".scan")).to_have_attribute("alt", "Chosen image scan.png")
    expect(page.get_by_role("button", name=re.compile("^glioma"))).to_have_attribute(
        "aria-pressed", "true"
    )


@pytest.mark.browser
def test_the_keyboard_reaches_everything_in_the_order_of_reading(visit: Open, canned: Any) -> None:
    canned.summary["samples"] = 1
    page = visit()
    choose(page)
    expect(page.locator(".heat")).to_have_count(1)
    page.evaluate("() => document.activeElement.blur()")
    seen: list[str] = []
    for _ in range(40):
        page.keyboard.press("Tab")
        name = page.evaluate(FOCUSED)
        if name in ("skip", "") and seen:
            break
        seen.append(name)
        assert page.evaluate(FOCUS_IS_SEEN), name
    order = ["skip", "model", "file", "opacity", "remove", "glioma", "method", "class", "beside"]
    assert [name for name in seen if name in order] == order
    assert {"deadline", "label", "save-picture", "save-answer"} <= set(seen)


#: What the focused element is called.
FOCUSED = """() => {
  const node = document.activeElement;
  return node.id || node.value || node.className;
}"""
#: The focused element has an outline, or, if it is hidden, the label that stands for it.
FOCUS_IS_SEEN = """() => {
  const node = document.activeElement;
  const marks = [node, ...document.querySelectorAll(`label[for="${node.id || "-"}"]`)];
  return marks.some((mark) => getComputedStyle(mark).outlineStyle !== "none");
}"""


def overflow(page: Any) -> int:
    """Return how many pixels the page is wider than the window."""
    return int(
        page.evaluate(
            "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
    )


def broken(page: Any) -> dict[str, Any]:
    """Return the rules that are broken, with what breaks them."""
    return {rule: found for rule, found in page.evaluate(RULES).items() if found}


def choose(page: Any, *names: str) -> None:
    """Choose images, and wait until all is known of the model."""
    page.locator("#about").wait_for()
    content = (Path(PAGE) / "icon.svg").read_bytes()
    page.set_input_files(
        "#file",
        [
            {"name": name, "mimeType": "image/svg+xml", "buffer": content}
            for name in names or ("scan.png",)
        ],
    )
