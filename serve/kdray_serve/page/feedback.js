// The right class, told to the service with the id of the answer.

import { feedback } from "./api.js";
import { element, fill, say, show } from "./dom.js";

const state = { id: "", model: "" };

export function listen() {
  element("feedback").addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
}

/** Offer the classes for an answer. */
export function offer(answer, classes) {
  if (state.id === answer.request_id) return;
  state.id = answer.request_id;
  state.model = `${answer.model.name}@${answer.model.version}`;
  fill(element("label"), [["", "Choose ..."], ...classes.map((name) => [name, name])], "");
  show("thanks", "");
  element("feedback").hidden = false;
}

export function hide() {
  state.id = "";
  element("feedback").hidden = true;
}

async function send() {
  const { id, model } = state;
  const label = element("label").value;
  let words = `Thank you: ${label} was noted.`;
  try {
    await feedback({ request_id: id, label, model });
  } catch (error) {
    words = error.message;
  }
  if (state.id !== id) return;
  show("thanks", words);
  say(words);
}
