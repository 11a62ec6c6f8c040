// What the page calls models, methods and classes.

export function modelName({ name, version, aliases = [] }) {
  return `${name}, version ${version}${aliases.length ? ` (${aliases.join(", ")})` : ""}`;
}

/** The words before the colon of a title such as "Grad-CAM: maps weighted by ...". */
export function methodName({ name, title }) {
  return title.includes(": ") ? title.split(": ")[0] : name;
}

/** Return a method of a model by its name, also one that took the place of the wanted one. */
export function methodOf(model, name) {
  const known = model.explanations.find((method) => same(method.name, name));
  return known ?? { name, title: name, needs_class: true };
}

/** Whether two spellings are one method: grad-cam and gradcam. */
export function same(one, other) {
  return plain(one) === plain(other);
}

function plain(name) {
  return name.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
}
