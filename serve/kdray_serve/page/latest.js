// The newest wish wins: a request is dropped as soon as another of its kind starts.

/** Return a function that asks, after giving up what it asked before; `stop` gives up alone. */
export function latest(onChange = () => {}) {
  let control = null;
  async function run(ask, { done, failed }) {
    control?.abort();
    const mine = (control = new AbortController());
    onChange(true);
    try {
      const answer = await ask(mine.signal);
      if (!mine.signal.aborted) done(answer);
    } catch (error) {
      if (!mine.signal.aborted) failed(error);
    } finally {
      if (control === mine) onChange(false);
    }
  }
  run.stop = () => {
    control?.abort();
    control = null;
    onChange(false);
  };
  return run;
}
