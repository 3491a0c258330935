import { ByteModel, Model } from 'microtome';
import { TINY } from 'microtome/models';
import 'microtome/elements/byte-distribution.js';
import 'microtome/elements/token-strip.js';

const text = document.querySelector('textarea');
const strip = document.querySelector('mt-token-strip');
const chart = document.querySelector('mt-byte-distribution');
const state = document.querySelector('output');

async function start() {
  const model = await Model.load(TINY, { onProgress: ({ loaded }) => { state.value = `${Math.round(loaded / 1000)} kB of the model`; } });
  const bytes = new ByteModel(model);
  let latest = new AbortController();

  async function show() {
    latest.abort();
    const { signal } = (latest = new AbortController());
    strip.tokens = Array.from(model.tokenizer.encode(text.value).ids, (id) => model.tokenizer.token(id));
    try {
      chart.result = await bytes.next(text.value, { signal });
      state.value = model.engine;
    } catch (error) {
      if (!signal.aborted) state.value = error.message;
    }
  }

  text.addEventListener('input', show);
  await show();
}

start().catch((error) => { state.value = error.message; });
