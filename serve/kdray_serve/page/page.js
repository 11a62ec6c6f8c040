// What the user does: choose a model, images, a method, a class; the newest wish wins.

import * as answer from "./answer.js";
import * as api from "./api.js";
import { showCard } from "./card.js";
import * as compare from "./compare.js";
import { element, fill, percent, say, show } from "./dom.js";
import { saveAnswer, savePicture } from "./download.js";
import * as feedback from "./feedback.js";
import * as images from "./images.js";
import { key, signOut, takeKeyFromAddress } from "./keys.js";
import { latest } from "./latest.js";
import * as maps from "./maps.js";
import { methodName, methodOf, modelName } from "./names.js";
import { showSamples } from "./samples.js";
import { showVerdict } from "./verdict.js";

const state = { models: [], model: null, details: null, item: null, roles: null };
// The newest answers, and the promise of the newest prediction.
Object.assign(state, { predicted: null, explained: null, waiting: Promise.resolve() });
const busy = { predicting: false, explaining: false };
const predicting = latest((is) => showBusy("predicting", is));
const explaining = latest((is) => showBusy("explaining", is));
const predictingRest = latest();

async function start() {
  takeKeyFromAddress();
  listen();
  try {
    state.models = (await api.listModels()).map(referenced);
  } catch (error) {
    showProblem(error);
    return;
  }
  showCaller();
  fill(element("model"), state.models.map((model, place) => [String(place), title(model)]));
  await useModel(0);
}

function listen() {
  const on = (id, kind, act) => element(id).addEventListener(kind, act);
  on("model", "change", (event) => useModel(Number(event.target.value)));
  on("method", "change", () => {
    fillClasses();
    explain();
  });
  for (const id of ["class", "beside", "deadline"]) on(id, "change", explain);
  on("opacity", "input", (event) => maps.showOpacity(event.target.value));
  on("sign-out", "click", signOut);
  on("save-picture", "click", () => savePicture(state.item.name, state.predicted.notice));
  on("save-answer", "click", () =>
    saveAnswer(state.item.name, { prediction: state.predicted, explanation: state.explained }),
  );
  addEventListener("hashchange", () => takeKeyFromAddress() && location.reload());
  images.listen(useImage);
  feedback.listen();
}

/** The name alone reaches the canary too, as other clients do; a version is asked by its number. */
function referenced(model, place, all) {
  const isFirst = all.findIndex((other) => other.name === model.name) === place;
  return { ...model, ref: isFirst && model.canary ? model.name : `${model.name}@${model.version}` };
}

function title(model) {
  const share = model.canary ? `, ${model.canary.percent} % version ${model.canary.version}` : "";
  return `${modelName(model)}${share}`;
}

async function showCaller() {
  try {
    const { name, roles } = await api.whoami();
    state.roles = roles;
    if (key()) show("caller", name);
  } catch {
    state.roles = null; // then the answers say what is allowed
  }
  element("sign-out").hidden = !key();
}

async function useModel(place) {
  const model = (state.model = state.models[place]);
  state.details = null;
  element("about").hidden = true;
  fill(element("method"), model.explanations.map((method) => [method.name, methodName(method)]));
  fillCompanions();
  fillClasses();
  showSanity();
  showSamples(model, (file) => images.add([file]));
  if (state.item) ask();
  try {
    const details = await api.showModel(model);
    if (state.model !== model) return;
    state.details = details;
    showCard(details);
    fillCompanions();
    showSanity();
  } catch (error) {
    showProblem(error);
  }
}

function fillCompanions() {
  fill(element("beside"), compare.companions(state.model, state.models, state.details));
}

function fillClasses(predicted = state.predicted?.predictions[0].prediction) {
  const { classes } = state.model;
  const first = predicted ? `Predicted: ${predicted}` : "Predicted class";
  const others = classes.map((name) => [name, name]);
  fill(element("class"), [["", first], ...others, ["all", `All ${classes.length} classes`]]);
  element("class").disabled = !methodOf(state.model, element("method").value).needs_class;
}

function useImage(item) {
  state.item = item;
  if (item) {
    maps.showImage(item);
    ask();
  } else {
    predicting.stop();
    explaining.stop();
    forget();
  }
}

function forget() {
  state.predicted = state.explained = null;
  show("problem", "");
  answer.hidePrediction();
  feedback.hide();
  compare.hideAgreement();
  maps.hideHeat();
  element("class").value = element("class").value === "all" ? "all" : "";
  fillClasses();
  showTools();
}

/** Ask for everything: another image or another model was chosen. */
function ask() {
  const { item, model } = state;
  const known = item.answers.get(model.ref);
  if (!known) forget();
  state.predicted = state.explained = null;
  show("problem", "");
  state.waiting = predicting(async (signal) => known ?? api.predict(model, item.file, signal), {
    done: (found) => usePrediction(item, model, found),
    failed(error) {
      explaining.stop();
      images.label(item, "no answer");
      forget();
      showProblem(error);
    },
  });
  explain();
}

function usePrediction(item, model, found) {
  remember(item, model, found);
  state.predicted = found;
  const [prediction] = found.predictions;
  answer.showPrediction(prediction, null, choose);
  answer.showOrigin(found, null, model);
  feedback.offer(found, model.classes);
  fillClasses();
  showTools();
  say(`${prediction.prediction}, ${percent(prediction.probabilities[prediction.prediction])}`);
  predictRest();
}

function remember(item, model, found) {
  item.answers.set(model.ref, found);
  images.label(item, found.predictions[0].prediction);
}

/** Ask for the images that wait in the strip, one after the other, when there is nothing else. */
function predictRest() {
  const { model } = state;
  const work = async (signal) => {
    for (const item of images.items()) {
      const known = item.answers.get(model.ref);
      if (known) remember(item, model, known);
      else if (item !== state.item) await predictQuietly(item, model, signal);
    }
  };
  predictingRest(work, { done() {}, failed: showProblem });
}

async function predictQuietly(item, model, signal) {
  try {
    const found = await api.predict(model, item.file, signal);
    if (!signal.aborted) remember(item, model, found);
  } catch (error) {
    if (!signal.aborted) images.label(item, "no answer");
  }
}

function choose(name) {
  element("class").value = name;
  if (element("class").disabled) return;
  explain();
}

function explain() {
  const { item, model } = state;
  showSanity();
  if (!item) return;
  const method = methodOf(model, element("method").value);
  const wish = {
    method: method.name,
    class: method.needs_class ? element("class").value : "",
    against: element("beside").value,
    deadline_ms: element("deadline").value,
  };
  maps.hideHeat();
  compare.hideAgreement();
  answer.markExplained([]);
  state.explained = null;
  showTools();
  if (state.roles && !state.roles.some((role) => role === "explain" || role === "admin")) {
    maps.showNoMaps("This API key may ask for predictions, not for explanations.");
    return;
  }
  const work = async (signal) => {
    const found = await api.explain(model, item.file, wish, signal);
    await state.waiting; // the bars come first: the heat map marks one of them
    return found;
  };
  explaining(work, {
    done: (found) => useExplanation(found, wish),
    failed: showProblem,
  });
}

function useExplanation(answered, wish) {
  const { model, item } = state;
  const found = maps.ranked(answered);
  show("problem", "");
  state.explained = answered;
  const label = found.against ? compare.companionName(found.against, wish.against) : "";
  const other = found.against && { label, prediction: found.against.prediction };
  answer.showPrediction(found.prediction, other, choose);
  answer.showOrigin(state.predicted ?? found, found, model);
  answer.markExplained(found.maps.map((map) => map.class));
  maps.showMaps(item, model, found);
  compare.showAgreement(found, label);
  showSanity(found.method);
  showTools();
  say(`Heat map for ${found.maps.map((map) => map.class).join(", ")}`);
}

function showSanity(name = element("method").value) {
  if (name) showVerdict(state.details?.explanation_scores, methodOf(state.model, name));
}

function showTools() {
  element("takeaway").hidden = !state.predicted;
  element("save-picture").disabled = !state.explained?.maps.some((map) => map.heat_map);
}

function showBusy(kind, is) {
  busy[kind] = is;
  const isBusy = busy.predicting || busy.explaining;
  element("answer").setAttribute("aria-busy", String(isBusy));
  maps.showBusy(isBusy);
}

function showProblem(error) {
  show("problem", error.requestId ? `${error.message} (Request ${error.requestId})` : error.message);
}

start();
