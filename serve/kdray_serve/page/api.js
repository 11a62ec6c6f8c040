// The service's API: answers as objects, refusals as errors with the service's own words.

export async function listModels() {
  return (await ask("v1/models")).models;
}

export function showModel(model) {
  return ask(path(model));
}

export function predict(model, file, signal) {
  return ask(`${path(model)}/predict`, form({ image: file }), signal);
}

export function explain(model, file, method, target, signal) {
  return ask(`${path(model)}/explain`, form({ image: file, method, class: target }), signal);
}

function path(model) {
  return `v1/models/${encodeURIComponent(`${model.name}@${model.version}`)}`;
}

function form(fields) {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) if (value) body.append(name, value);
  return body;
}

async function ask(url, body, signal) {
  let response;
  try {
    response = await fetch(url, { method: body ? "POST" : "GET", body, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The service cannot be reached. Is it still running?");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.detail ?? `The service answered ${response.status}.`);
  return answer;
}
