// Small tools for the document; no knowledge of the service.

export const element = (id) => document.getElementById(id);

/** Return a new element; strings among the children become text, never markup. */
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** Fill a select with `[value, text]` pairs and keep the choice where it is still on offer. */
export function fill(select, options, chosen = select.value) {
  select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  select.value = options.some(([value]) => value === chosen) ? chosen : (options[0]?.[0] ?? "");
  select.disabled = options.length === 0;
}

/** Show a text in an element, or hide the element where there is none. */
export function show(id, text) {
  element(id).textContent = text;
  element(id).hidden = !text;
}

/** Tell a screen reader; one message replaces the other. */
export function say(text) {
  element("status").textContent = text;
}

export function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1 %";
  if (share < 1 && share > 0.999) return "> 99.9 %";
  return `${(100 * share).toFixed(1)} %`;
}
