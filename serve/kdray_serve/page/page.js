// What the user does: choose a model, an image, a method, a class; the newest wish wins.

import * as api from "./api.js";
import * as view from "./view.js";

const element = (id) => document.getElementById(id);
const state = { models: [], model: null, file: null, url: "" };
// Of the newest request of each kind: what aborts it, and the promise of the bars.
Object.assign(state, { predicting: null, explaining: null, predicted: null });

async function start() {
  listen();
  try {
    state.models = await api.listModels();
  } catch (error) {
    view.showProblem(error.message);
    return;
  }
  const options = state.models.map((model, place) => [place, view.modelName(model)]);
  view.fillSelect("model", options, 0);
  await useModel(0);
}

function listen() {
  element("model").addEventListener("change", (event) => useModel(Number(event.target.value)));
  element("method").addEventListener("change", () => explain());
  element("class").addEventListener("change", () => explain());
  element("opacity").addEventListener("input", (event) => view.showOpacity(event.target.value));
  element("file").addEventListener("change", (event) => {
    useFile(event.target.files[0]);
    event.target.value = ""; // so that the same file can be chosen again
  });
  document.addEventListener("paste", (event) => useFile(event.clipboardData?.files[0]));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dragging");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    useFile(event.dataTransfer.files[0]);
  });
}

async function useModel(place) {
  const model = (state.model = state.models[place]);
  const methods = model.explanations.map((method) => [method.name, view.methodName(method)]);
  view.fillSelect("method", methods, methods[0]?.[0]);
  fillClasses();
  if (state.file) answer();
  try {
    const facts = await api.showModel(model);
    if (state.model === model) view.showFacts(facts);
  } catch (error) {
    view.showProblem(error.message);
  }
}

function useFile(file) {
  if (!file) return;
  if (state.url) URL.revokeObjectURL(state.url);
  state.file = file;
  state.url = URL.createObjectURL(file);
  view.showImage(file, state.url);
  fillClasses();
  answer();
}

function fillClasses(predicted = "", chosen = "") {
  const first = predicted ? `Predicted: ${predicted}` : "Predicted class";
  const others = state.model.classes.map((name) => [name, name]);
  view.fillSelect("class", [["", first], ...others], chosen);
}

function answer() {
  view.showProblem("");
  state.predicted = newest("predicting", (signal) => api.predict(state.model, state.file, signal), {
    done(found) {
      view.showPrediction(found, choose);
      view.showOrigin(found, state.model);
      fillClasses(found.prediction, element("class").value);
      view.say(`${found.prediction}, ${view.percent(found.probabilities[found.prediction])}`);
    },
    failed(error) {
      state.explaining?.abort();
      view.hidePrediction();
      view.showProblem(error.message);
    },
  });
  explain();
}

function choose(name) {
  element("class").value = name;
  explain();
}

function explain() {
  if (!state.file) return undefined;
  const method = element("method").value;
  const target = element("class").value;
  view.hideHeat();
  const ask = async (signal) => {
    const found = await api.explain(state.model, state.file, method, target, signal);
    await state.predicted; // the bars come first: the heat map marks one of them
    return found;
  };
  return newest("explaining", ask, {
    done(found) {
      view.showProblem("");
      view.showHeat(found, state.model.explanations.find((known) => known.name === method));
      view.say(`Heat map for ${found.class}`);
    },
    failed: (error) => view.showProblem(error.message),
  });
}

/** Ask; what was asked before under the same name is dropped. */
async function newest(name, ask, { done, failed }) {
  state[name]?.abort();
  const control = (state[name] = new AbortController());
  showBusy();
  try {
    const found = await ask(control.signal);
    if (!control.signal.aborted) done(found);
  } catch (error) {
    if (!control.signal.aborted) failed(error);
  } finally {
    if (state[name] === control) state[name] = null;
    showBusy();
  }
}

function showBusy() {
  view.showBusy(Boolean(state.predicting), Boolean(state.explaining));
}

start();
