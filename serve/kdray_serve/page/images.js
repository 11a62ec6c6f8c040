// The chosen images: files that are dropped, pasted or picked, and the strip of thumbnails.

import { preview } from "./api.js";
import { element, make } from "./dom.js";

const state = { items: [], current: null, choose: () => {} };

/** Call `choose(item or null)` whenever another image becomes the current one. */
export function listen(choose) {
  state.choose = choose;
  element("file").addEventListener("change", (event) => {
    add(event.target.files);
    event.target.value = ""; // so that the same file can be chosen again
  });
  element("remove").addEventListener("click", () => remove(state.current));
  document.addEventListener("paste", (event) => add(event.clipboardData?.files));
  listenToDrops();
}

export function add(files) {
  const added = [...(files ?? [])].map((file) => ({ file, name: file.name, url: "", answers: new Map() }));
  if (!added.length) return;
  state.items.push(...added);
  for (const item of added) {
    item.ready = load(item);
    element("strip").insertBefore(thumbnail(item), element("add"));
  }
  choose(added[0]);
}

export const items = () => state.items;

/** Write what the model says under an image's thumbnail. */
export function label(item, text) {
  item.label.textContent = text;
}

function choose(item) {
  state.current = item;
  element("drop").hidden = item !== null;
  for (const id of ["viewer", "tools", "chosen"]) element(id).hidden = item === null;
  for (const each of state.items)
    each.button.setAttribute("aria-pressed", String(each === item));
  state.choose(item);
}

function remove(item) {
  const place = state.items.indexOf(item);
  if (place < 0) return;
  state.items.splice(place, 1);
  item.node.remove();
  if (item.url) URL.revokeObjectURL(item.url);
  const next = state.items[Math.min(place, state.items.length - 1)] ?? null;
  choose(next);
  (next?.button ?? element("file")).focus();
}

function thumbnail(item) {
  const picture = make("img", { alt: "" });
  item.label = make("span", { class: "thumb-label" });
  item.button = make(
    "button",
    { type: "button", class: "thumb", title: item.name, "aria-pressed": "false" },
    picture,
    make("span", { class: "hidden" }, `Image ${item.name} `),
    item.label,
  );
  item.button.addEventListener("click", () => choose(item));
  item.ready.then(() => (item.url ? (picture.src = item.url) : picture.remove()));
  item.node = make("li", {}, item.button);
  return item.node;
}

/** Find out how to show a file: as it is, or as the service shows it (DICOM, TIFF). */
async function load(item) {
  item.url = URL.createObjectURL(item.file);
  if (await canShow(item.url)) return;
  URL.revokeObjectURL(item.url);
  try {
    item.url = URL.createObjectURL(await preview(item.file));
  } catch {
    item.url = ""; // the answer to the prediction says what is wrong with the file
  }
}

async function canShow(url) {
  const image = new Image();
  image.src = url;
  return image.decode().then(
    () => true,
    () => false,
  );
}

function listenToDrops() {
  const mark = (on) => document.body.classList.toggle("dragging", on);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    mark(true);
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget ?? mark(false));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(false);
    add(event.dataTransfer.files);
  });
}
