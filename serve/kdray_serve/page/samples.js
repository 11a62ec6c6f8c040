// The model's sample images, to try it without an image of one's own.

import { sample } from "./api.js";
import { element, make } from "./dom.js";
import { latest } from "./latest.js";

const load = latest();

/** Show a button for each sample of a model; `use(file)` is called with the chosen one. */
export function showSamples(model, use) {
  element("samples").hidden = true;
  load(
    (signal) => Promise.all([...Array(model.samples).keys()].map((k) => sample(model, k, signal))),
    {
      done(pictures) {
        const old = element("sample-list").querySelectorAll("img");
        element("sample-list").replaceChildren(...pictures.map((blob, k) => button(blob, k, use)));
        old.forEach((image) => URL.revokeObjectURL(image.src));
        element("samples").hidden = pictures.length === 0;
      },
      failed() {
        element("sample-list").replaceChildren(); // samples are an extra: the page works without
      },
    },
  );
}

function button(blob, k, use) {
  const name = `Sample ${k + 1}`;
  const picture = make("img", { src: URL.createObjectURL(blob), alt: name });
  const node = make("button", { type: "button", class: "thumb" }, picture);
  node.addEventListener("click", () =>
    use(new File([blob], `sample-${k + 1}.png`, { type: blob.type || "image/png" })),
  );
  return make("li", {}, node);
}
