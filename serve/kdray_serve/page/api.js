// The service's API: answers as objects, refusals as errors with the service's own words.

import { say } from "./dom.js";
import { key, requestKey } from "./keys.js";

const LONGEST_WAIT_SECONDS = 30;

/** A refusal of the service. */
export class Refused extends Error {
  constructor(status, { title, detail, request_id: id }) {
    super(detail ?? title ?? `The service answered ${status}.`);
    this.status = status;
    this.requestId = id ?? "";
  }
}

export const whoami = () => json("v1/whoami");
export const listModels = async () => (await json("v1/models")).models;
export const showModel = (model) => json(path(model));
export const sample = (model, place, signal) => blob(`${path(model)}/samples/${place}`, { signal });

export const predict = (model, file, signal) =>
  json(`${path(model)}/predict`, { body: form({ image: file }), signal });

/** `wish`: method, class (a name, `all` or empty), against, deadline_ms. */
export const explain = (model, file, wish, signal) =>
  json(`${path(model)}/explain`, { body: form({ image: file, ...wish }), signal });

/** Return an image that the browser cannot read, as PNG. */
export const preview = (file) => blob("v1/preview", { body: form({ image: file }) });

export const feedback = (correction) =>
  json("v1/feedback", {
    body: JSON.stringify(correction),
    headers: { "Content-Type": "application/json" },
  });

function path({ ref }) {
  return `v1/models/${encodeURIComponent(ref)}`;
}

function form(fields) {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) if (value) body.append(name, value);
  return body;
}

async function json(url, options) {
  return (await ask(url, options)).json();
}

async function blob(url, options) {
  return (await ask(url, options)).blob();
}

/** Send; ask for a key as often as the service wants one, and wait once where it is busy. */
async function ask(url, options = {}) {
  let response = await send(url, options);
  while (response.status === 401) {
    await requestKey((await problem(response)).detail ?? "This service asks for an API key.");
    response = await send(url, options);
  }
  if (response.status === 503) {
    const seconds = wait(response.headers.get("Retry-After"));
    say(`The service is busy. Trying again in ${seconds} seconds.`);
    await pause(seconds, options.signal);
    response = await send(url, options);
  }
  if (!response.ok) throw new Refused(response.status, await problem(response));
  return response;
}

async function send(url, { body, headers = {}, signal }) {
  const method = body ? "POST" : "GET";
  const signed = key() ? { ...headers, Authorization: `Bearer ${key()}` } : headers;
  try {
    return await fetch(url, { method, body, signal, headers: signed });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The service cannot be reached. Is it still running?");
  }
}

function problem(response) {
  return response.json().catch(() => ({}));
}

function wait(header) {
  const seconds = Number(header ?? 1);
  return Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0), LONGEST_WAIT_SECONDS) : 1;
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("Given up.", "AbortError"));
    });
  });
}
