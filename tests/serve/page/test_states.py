"""What the page says in each state of an answer; the answers are canned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
Open = Callable[..., Any]


def test_the_canned_answers_have_the_shape_of_the_services(canned: Any) -> None:
    from kdray_serve import schema

    schema.Models.model_validate(canned.listed())
    schema.Details.model_validate(canned.shown())
    schema.Predictions.model_validate(canned.predicted())
    fields = {"method": "gradcam", "class": "all", "against": "teacher"}
    schema.Explanation.model_validate(canned.explained(fields))
    schema.Who.model_validate(canned.who)


def test_probabilities_say_whether_they_are_calibrated(visit: Open, canned: Any) -> None:
    page = visit(image=True)
    expect(page.locator("#calibration")).to_contain_text("are calibrated on the validation")


def test_uncalibrated_probabilities_say_so(visit: Open, canned: Any) -> None:
    canned.prediction["calibrated"] = False
    expect(visit(image=True).locator("#calibration")).to_contain_text("not calibrated")


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (["glioma"], "90 % have their true class in such a set."),
        (["glioma", "meningioma"], "cannot tell these apart"),
        (["glioma", "meningioma", "no tumor", "pituitary"], "can rule nothing out"),
        ([], "No class fits"),
    ],
)
def test_a_prediction_set_is_explained(
    visit: Open, canned: Any, classes: list[str], said: str
) -> None:
    canned.prediction["prediction_set"]["classes"] = classes
    page = visit(image=True)
    expect(page.locator("#set")).to_contain_text(f"90 % set: {', '.join(classes) or 'no class'}")
    expect(page.locator("#set-meaning")).to_contain_text(said)


def test_a_package_without_confidence_shows_no_set_and_says_what_is_not_known(
    visit: Open, canned: Any
) -> None:
    canned.prediction.update(prediction_set=None, ood=None)
    page = visit(image=True)
    expect(page.locator("#likeness")).to_contain_text("cannot be told for this model")
    expect(page.locator("#set")).to_be_hidden()
    expect(page.locator("#ood")).to_be_hidden()


def test_an_image_unlike_the_training_images_is_warned_of(visit: Open, canned: Any) -> None:
    canned.prediction["ood"] = {"score": 0.998, "flag": True, "flag_above": 0.99}
    page = visit(image=True)
    expect(page.locator("#ood")).to_contain_text("Warning. This image is unlike those")
    expect(page.locator("#ood")).to_contain_text("99.8 % of the validation images are nearer")


def test_a_blank_map_is_said_in_words_and_not_drawn(visit: Open, canned: Any) -> None:
    canned.reason = "The gradient of the class is zero everywhere."
    page = visit(image=True)
    expect(page.locator(".picture .blank")).to_have_text(
        "No heat map. The gradient of the class is zero everywhere."
    )
    expect(page.locator("#blank")).to_contain_text("No heat map for glioma")
    expect(page.locator(".heat")).to_have_count(0)
    expect(page.locator("#save-picture")).to_be_disabled()


def test_a_method_that_took_the_place_of_another_is_named(visit: Open, canned: Any) -> None:
    canned.explanation = {
        "method": "gradcam",
        "requested_method": "scorecam",
        "replaced": "It would have taken 9 s, the deadline is 2 s.",
    }
    canned.estimate = 0.93
    page = visit(image=True)
    page.select_option("#deadline", "2000")
    expect(page.locator("#replaced")).to_have_text(
        "Instead of Score-CAM: Grad-CAM. It would have taken 9 s, the deadline is 2 s."
    )
    expect(page.locator("#estimate")).to_contain_text(
        "correlates with the exact map by about 0.93"
    )
    assert canned.asked[-1][1]["deadline_ms"] == "2000"


@pytest.mark.parametrize(
    ("against", "said"),
    [
        ({}, "Agreement with the teacher: 0.71; two maps of different images reach 0.12."),
        ({"chance": {"pearson": 0.8}}, "reach 0.80. This is no more than chance."),
        ({"chance": {}}, "what two maps of different images reach was not measured."),
        ({"agreement": [None]}, "A map shows nothing, so there is nothing to compare."),
    ],
)
def test_agreement_is_said_beside_its_chance_level(
    visit: Open, canned: Any, against: dict[str, Any], said: str
) -> None:
    canned.against = against
    page = visit(image=True)
    page.select_option("#beside", "teacher")
    expect(page.locator("#agreement-words")).to_contain_text(said)


@pytest.mark.parametrize(
    ("against", "columns"),
    [
        ({}, ["Score", "these maps", "chance"]),
        ({"chance": {}}, ["Score", "these maps"]),
        ({"agreement": [None]}, []),
    ],
)
def test_the_table_of_agreement_has_only_what_is_known(
    visit: Open, canned: Any, against: dict[str, Any], columns: list[str]
) -> None:
    canned.against = against
    page = visit(image=True)
    page.select_option("#beside", "teacher")
    expect(page.locator("#agreement-words")).to_be_visible()
    expect(page.locator("#agreement:visible th[scope=col]")).to_have_text(columns)


def test_many_blank_maps_are_explained_once_and_told_apart_by_model(
    visit: Open, canned: Any
) -> None:
    canned.reason = "the map is blank: all gradients are 0."
    page = visit(image=True)
    expect(page.locator(".picture .blank")).to_have_text(
        "No heat map. The map is blank: all gradients are 0."
    )
    page.select_option("#class", "all")
    expect(page.locator(".picture .blank").first).to_have_text("No heat map.")
    expect(page.locator("#blank")).to_have_text(
        "No heat map for glioma, meningioma, no tumor, pituitary: "
        "the map is blank: all gradients are 0."
    )


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("passed", "Sanity check of Grad-CAM: passed"),
        ("failed", "Sanity check of Grad-CAM: failed"),
        (None, "Sanity check of Grad-CAM: not checked"),
    ],
)
def test_the_sanity_check_of_the_chosen_method_is_told(
    visit: Open, canned: Any, verdict: str | None, said: str
) -> None:
    canned.details["explanation_scores"] = {"sanity": [{"method": "grad-cam", "verdict": verdict}]}
    page = visit()
    expect(page.locator("#verdict-name")).to_have_text(said)
    page.select_option("#method", "scorecam")
    expect(page.locator("#verdict-name")).to_have_text("Sanity check of Score-CAM: not checked")


def test_a_method_that_knows_no_class_says_so(visit: Open, canned: Any) -> None:
    page = visit(image=True)
    page.select_option("#method", "featuremaps")
    expect(page.locator("#explained")).to_contain_text("Explained: every class alike.")
    expect(page.locator("#class")).to_be_disabled()
    expect(page.locator(".heat")).to_have_attribute(
        "alt", "Heat map by Feature maps for every class alike, of brain, version 2"
    )
    assert "class" not in canned.asked[-1][1]


def test_an_answer_by_the_canary_is_said(visit: Open, canned: Any) -> None:
    canned.summary.update(version=1, canary={"version": 2, "percent": 10})
    page = visit(image=True)
    expect(page.locator("#model")).to_contain_text("10 % version 2")
    expect(page.locator("#origin-model")).to_contain_text(
        "brain, version 2 (a share of the images"
    )
    assert any(path == "/v1/models/brain/predict" for path, _, _ in canned.asked)


def test_a_refusal_is_shown_in_the_services_own_words(visit: Open, canned: Any) -> None:
    problem = {"detail": "scan.png: this is no image that can be read.", "request_id": "r-9"}
    canned.refusals = [("/predict", 415, {}, problem)]
    page = visit(image=True)
    expect(page.locator("#problem")).to_have_text(
        "scan.png: this is no image that can be read. (Request r-9)"
    )
    expect(page.locator("#result")).to_be_hidden()
    expect(page.locator(".heat")).to_have_count(0)


def test_a_busy_service_is_asked_once_more(visit: Open, canned: Any) -> None:
    canned.refusals = [("/explain", 503, {"Retry-After": "0"}, {"detail": "64 requests wait."})]
    page = visit(image=True)
    expect(page.locator(".heat")).to_have_count(1)
    expect(page.locator("#problem")).to_be_hidden()
    canned.refusals = 2 * [
        ("/explain", 503, {"Retry-After": "0"}, {"detail": "64 requests wait."})
    ]
    page.select_option("#class", "pituitary")
    expect(page.locator("#problem")).to_have_text("64 requests wait.")
    expect(page.locator(".heat")).to_have_count(0)
    expect(page.locator("figcaption")).to_be_empty()


def test_a_service_that_is_gone_is_said(visit: Open, canned: Any) -> None:
    page = visit()
    page.locator("#about").wait_for()
    page.unroute("**/*")
    page.route("**/*", lambda route: route.abort())
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"none"})
    expect(page.locator("#problem")).to_contain_text("cannot be reached")


def test_the_newest_wish_wins(visit: Open, canned: Any) -> None:
    page = visit(image=True)
    expect(page.locator(".heat")).to_have_count(1)
    canned.held = []
    page.select_option("#class", "pituitary")
    page.select_option("#class", "meningioma")
    page.wait_for_timeout(50)
    canned.release(1)
    expect(page.locator(".heat")).to_have_attribute(
        "alt", "Heat map by Grad-CAM for the class meningioma, of brain, version 2"
    )
    assert canned.held[0][0].request.failure is not None


def test_the_right_class_is_sent_with_the_request_id(visit: Open, canned: Any) -> None:
    page = visit(image=True)
    page.select_option("#label", "meningioma")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#thanks")).to_have_text("Thank you: meningioma was noted.")
    sent = {"request_id": "request-7", "label": "meningioma", "model": "brain@2"}
    assert canned.asked[-1][:2] == ("/v1/feedback", sent)
    canned.refusals = [("/feedback", 404, {}, {"detail": "No such request is known."})]
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#thanks")).to_have_text("No such request is known.")


def test_a_key_for_predictions_alone_asks_for_no_explanation(visit: Open, canned: Any) -> None:
    canned.who = {"name": "triage", "roles": ["predict"]}
    page = visit(image=True)
    expect(page.locator("#explained")).to_contain_text("not for explanations")
    expect(page.locator("#prediction")).to_have_text("glioma")
    assert not any(path.endswith("/explain") for path, _, _ in canned.asked)


def test_a_service_that_asks_for_a_key_gets_it_from_a_dialog(visit: Open, canned: Any) -> None:
    canned.key = "right"
    canned.who["name"] = "reception"
    page = visit()
    dialog = page.get_by_role("dialog", name="API key")
    expect(dialog).to_contain_text("A key is needed.")
    expect(page.locator("#key")).to_be_focused()
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("This key is not known here.")
    page.locator("#key").fill("right")
    page.get_by_role("button", name="Use this key").click()
    expect(dialog).to_be_hidden()
    expect(page.locator("#caller")).to_have_text("reception")
    page.locator("#about").wait_for()
    page.get_by_role("button", name="Sign out").click()
    expect(dialog).to_contain_text("A key is needed.")


def test_a_closed_key_dialog_leaves_words(visit: Open, canned: Any) -> None:
    canned.key = "right"
    page = visit()
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    expect(page.locator("#problem")).to_contain_text("asks for an API key")


def test_a_key_in_the_address_is_used_and_taken_out_of_it(visit: Open, canned: Any) -> None:
    canned.key = "secret-1"
    page = visit(fragment="#key=secret-1")
    page.locator("#about").wait_for()
    assert "secret" not in page.url
    assert page.evaluate("() => sessionStorage.getItem('kdray.key')") == "secret-1"
    assert all(headers["authorization"] == "Bearer secret-1" for _, _, headers in canned.asked)
    page.reload()
    page.locator("#about").wait_for()


def test_a_hostile_card_stays_text(visit: Open, canned: Any) -> None:
    canned.details["card"] = "\n".join(
        [
            "# <script>alert(1)</script>",
            "<img src=x onerror=alert(1)> and ![pic](http://elsewhere.example/a.png)",
            "",
            "[click](javascript:alert(1)) [fine](https://example.org/paper)",
            "",
            "| a | <b>b</b> |",
            "| --- | --- |",
            "| 1 \\| 2 | `<i>` |",
        ]
    )
    page = visit()
    page.locator("#about summary").click()
    card = page.locator("#card")
    expect(card.locator("h3")).to_have_text("<script>alert(1)</script>")
    expect(card.locator("script, img, b, i")).to_have_count(0)
    assert card.locator("a").evaluate_all("all => all.map((a) => a.href)") == [
        "https://example.org/paper"
    ]
    assert card.locator("tbody th").all_inner_texts() == ["1 | 2"]


def test_headings_lists_quotes_and_code_of_a_card_are_rendered(visit: Open, canned: Any) -> None:
    canned.details["card"] = (
        "# Card\n> Not a device\n\n## Part\n- one\n  more\n- **two**\n\n1. first\n\n"
        "```\n# no heading\n```\n\nlast *line*\nof two"
    )
    page = visit()
    page.locator("#about summary").click()
    card = page.locator("#card")
    assert card.locator("h3, h4").all_inner_texts() == ["Card", "Part"]
    expect(card.locator("blockquote")).to_have_text("Not a device")
    assert card.locator("ul > li").all_inner_texts() == ["one more", "two"]
    expect(card.locator("ol > li")).to_have_text("first")
    expect(card.locator("pre")).to_have_text("# no heading")
    expect(card.locator("> p")).to_have_text("last line of two")


def test_many_classes_show_the_most_probable_first_and_the_rest_on_demand(
    visit: Open, canned: Any
) -> None:
    names = [f"class-{number:02}" for number in range(12)]
    canned.summary["classes"] = names
    shares = {name: (place + 1) / 78 for place, name in enumerate(names)}
    canned.prediction.update(prediction="class-11", probabilities=shares)
    page = visit(image=True)
    expect(page.locator(".bars li:visible")).to_have_count(8)
    assert page.locator(".bars .name").first.inner_text() == "class-11"
    page.get_by_role("button", name="Show 4 less probable classes").click()
    expect(page.locator(".bars li:visible")).to_have_count(12)
    expect(page.locator(".bars button").nth(8)).to_be_focused()
