// The API key: from the address (#key=...) or a dialog, kept for this tab alone.

import { element, show } from "./dom.js";

const NAME = "kdray.key";
let memory = ""; // where the browser refuses storage
let asking = null;

export function key() {
  try {
    return sessionStorage.getItem(NAME) ?? memory;
  } catch {
    return memory;
  }
}

/** Take the key out of the address, so that it is in no bookmark, history or screenshot. */
export function takeKeyFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("key");
  if (!given) return false;
  keep(given);
  history.replaceState(null, "", location.pathname + location.search);
  return true;
}

export function signOut() {
  keep("");
  location.reload();
}

/** Ask the user for a key; all who wait for one share the dialog. Rejects when it is closed. */
export function requestKey(reason) {
  asking ??= open(reason).finally(() => (asking = null));
  return asking;
}

function keep(value) {
  memory = value;
  try {
    if (value) sessionStorage.setItem(NAME, value);
    else sessionStorage.removeItem(NAME);
  } catch {
    // the memory of this page has it
  }
}

function open(reason) {
  const dialog = element("key-dialog");
  const field = element("key");
  show("key-reason", reason);
  field.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve, reject) => {
    element("key-form").onsubmit = (event) => {
      event.preventDefault();
      dialog.close("given");
    };
    element("key-cancel").onclick = () => dialog.close("");
    dialog.onclose = () => {
      const given = field.value.trim();
      field.value = "";
      if (dialog.returnValue !== "given" || !given)
        return reject(new Error("This service asks for an API key. Reload the page to enter one."));
      keep(given);
      return resolve();
    };
  });
}
