// The model card: the facts that the service knows, and what the job wrote of the model.

import { element, make } from "./dom.js";
import { markdown } from "./markdown.js";
import { modelName } from "./names.js";

export function showCard(model) {
  const { width, height, channels } = model.input;
  const settings = Object.entries(model.architecture.params ?? {});
  const network = settings.map(([name, value]) => `${name} ${[value].flat().join(", ")}`);
  const facts = [
    ["Network", [model.architecture.name, ...network].join("; ")],
    ["Trained as", model.role],
    ["Teacher", model.teacher ?? "not registered"],
    ["Input", `${width} x ${height}, ${channels === 1 ? "grey" : "colour"}`],
    ["Classes", model.classes.join(", ")],
    ["Weights", `SHA-256 ${model.weights_sha256.slice(0, 16)}`],
  ];
  element("about-name").textContent = modelName(model);
  element("facts").replaceChildren(
    ...facts.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]),
  );
  element("card").replaceChildren(markdown(model.card ?? ""));
  element("about").hidden = false;
}
