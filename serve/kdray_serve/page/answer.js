// The prediction in words and bars: how sure, among which classes, and whether to trust it.

import { element, make, percent, show } from "./dom.js";
import { modelName } from "./names.js";

const MOST_BARS = 8;

/** Show a prediction; `other` is `{label, prediction}` of a model beside it, or null. */
export function showPrediction(prediction, other, choose) {
  element("empty").hidden = true;
  element("result").hidden = false;
  element("prediction").textContent = prediction.prediction;
  element("share").textContent = percent(prediction.probabilities[prediction.prediction]);
  showUnlikeness(prediction.ood);
  showBars(prediction, other, choose);
  showSet(prediction.prediction_set, Object.keys(prediction.probabilities).length);
  show("calibration", calibration(prediction.calibrated));
  show("likeness", likeness(prediction.ood));
}

export function hidePrediction() {
  element("result").hidden = element("origin").hidden = true;
  element("empty").hidden = false;
}

/** Mark the bars of the explained classes. */
export function markExplained(classes) {
  for (const button of element("bars").querySelectorAll("button"))
    button.setAttribute("aria-pressed", String(classes.includes(button.value)));
}

/** Say who answered, how fast, and under which id; `wanted` is the model that was chosen. */
export function showOrigin(predicted, explained, wanted) {
  const { model, milliseconds, request_id: id } = predicted;
  const isWanted = model.version === wanted.version;
  const who = modelName(isWanted ? wanted : model);
  const note = isWanted ? "" : ` (a share of the images is answered by this version)`;
  const maps = explained ? `; heat maps in ${time(explained.milliseconds)}` : "";
  element("origin-model").textContent = `${who}${note}`;
  element("origin-time").textContent = `${time(milliseconds)}${maps}`;
  element("origin-id").textContent = id;
  element("origin").hidden = false;
}

function time(milliseconds) {
  return milliseconds < 9.95 ? `${milliseconds.toFixed(1)} ms` : `${Math.round(milliseconds)} ms`;
}

function showUnlikeness(ood) {
  element("ood").hidden = !ood?.flag;
  if (!ood?.flag) return;
  element("ood-text").textContent =
    "This image is unlike those that the model learned from: " +
    `${percent(ood.score)} of the validation images are nearer to them. Mistrust the answer.`;
}

function likeness(ood) {
  if (!ood) return "Whether the image is like those of the training cannot be told for this model.";
  if (ood.flag) return "";
  return (
    `Likeness to the training images: ${whole(ood.score)} of the validation images are nearer to ` +
    `them (a warning comes above ${limit(ood.flag_above)}).`
  );
}

function whole(share) {
  return `${Math.round(100 * share)} %`;
}

/** Return a chosen share as it was chosen: 99.5 % is not 100 %. */
function limit(share) {
  return `${Number((100 * share).toFixed(2))} %`;
}

function calibration(isCalibrated) {
  return isCalibrated
    ? "Probabilities are calibrated on the validation images."
    : "Probabilities are not calibrated: they order the classes, but may be too sure.";
}

function showSet(set, classes) {
  element("set").hidden = !set;
  if (!set) return;
  const share = limit(set.coverage);
  element("set-name").textContent = `${share} set: `;
  element("set-classes").textContent = set.classes.length ? set.classes.join(", ") : "no class";
  element("set-meaning").textContent = meaning(set, share, classes);
}

function meaning(set, share, classes) {
  const general = `Of images like the validation images, ${share} have their true class in such a set.`;
  if (set.classes.length === 0) return `${general} No class fits well enough.`;
  if (set.classes.length === classes) return `${general} The model can rule nothing out.`;
  if (set.classes.length > 1) return `${general} The model cannot tell these apart here.`;
  return general;
}

function showBars(prediction, other, choose) {
  const ranked = Object.entries(prediction.probabilities).sort(([, a], [, b]) => b - a);
  const rows = ranked.map(([name, share]) =>
    bar(name, share, other?.prediction.probabilities[name], choose),
  );
  rows.forEach((row, place) => (row.hidden = place >= MOST_BARS));
  element("bars").replaceChildren(...rows);
  element("bars").classList.toggle("two", Boolean(other));
  element("bar-key").hidden = !other;
  if (other) element("bar-key-other").textContent = other.label;
  element("versus").hidden = !other;
  if (other) element("versus").textContent = versus(prediction, other);
  showMore(rows);
}

function versus(ours, { label, prediction }) {
  const says = `${prediction.prediction}, ${percent(prediction.probabilities[prediction.prediction])}`;
  const isSame = ours.prediction === prediction.prediction;
  return `The ${label} says ${isSame ? "the same" : "otherwise"}: ${says}.`;
}

function showMore(rows) {
  const left = rows.length - MOST_BARS;
  element("more").hidden = left <= 0;
  element("more").textContent = `Show ${left} less probable classes`;
  element("more").onclick = () => {
    rows.forEach((row) => (row.hidden = false));
    element("more").hidden = true;
    rows[MOST_BARS].querySelector("button").focus();
  };
}

function bar(name, share, otherShare, choose) {
  const isTwo = otherShare !== undefined;
  const shares = make("span", { class: "percent" }, percent(share));
  if (isTwo) shares.append(make("span", { class: "other" }, percent(otherShare)));
  const button = make(
    "button",
    { type: "button", value: name, title: `Explain ${name}`, "aria-pressed": "false" },
    make("span", { class: "name" }, name),
    shares,
    track(share, ""),
    isTwo ? track(otherShare, "other") : null,
  );
  button.addEventListener("click", () => choose(name));
  return make("li", {}, button);
}

function track(share, kind) {
  const fill = make("span", { class: "fill" });
  fill.style.width = `${100 * share}%`;
  return make("span", { class: `track ${kind}` }, fill);
}
