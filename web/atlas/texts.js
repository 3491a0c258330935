// What runners read: the bundled model, the guides' prose, this package's own sources as code, and a story for models that know stories.
import { readTexts } from '../lab/texts.js';
import { toSource } from '../runtime/source.js';
import { wholeFile } from '../runtime/gzip.js';

/** Literal URLs, so that bundlers find the files. */
const CODE = [() => new URL('../model.js', import.meta.url), () => new URL('../bytes.js', import.meta.url), () => new URL('../heal.js', import.meta.url), () => new URL('../probes.js', import.meta.url), () => new URL('../study.js', import.meta.url),
  () => new URL('../tokenizer.js', import.meta.url), () => new URL('../marginal.js', import.meta.url), () => new URL('../transfer.js', import.meta.url)];

/** Sentences of the guides. @param {AbortSignal} [signal] @returns {Promise<string[]>} */
export async function sentences(signal) {
  const { prose } = await readTexts(['prose'], {}, signal);
  return new TextDecoder().decode(prose).split('\n').filter((line) => line.trim());
}

/** Lines of JavaScript, in pieces of 20. @param {AbortSignal} [signal] @returns {Promise<string[]>} */
export async function code(signal) {
  const files = await Promise.all(CODE.map(async (url) => new TextDecoder().decode(await wholeFile(toSource(url()), signal))));
  return files.flatMap((file) => {
    const lines = file.split('\n');
    return Array.from({ length: Math.ceil(lines.length / 20) }, (_, i) => `${lines.slice(20 * i, 20 * i + 20).join('\n')}\n`);
  });
}

/** Of the kind that the bundled model was shown, but not in its data. */
export const STORY = Object.freeze([
  'Once upon a time there was a little boy named Peter, who lived in a small house near the river.',
  'Every morning he went down to the water with his old brown dog and looked for smooth stones.',
  'One day the dog began to bark at something under the bridge, and Peter was afraid.',
  'He walked slowly to the edge of the water, and there he saw a young bird with a broken wing.',
  'The poor thing was cold and hungry, and it could not move from the place where it had fallen.',
  'Peter took off his coat, wrapped the bird in it, and carried it home to his mother.',
  'She smiled when she saw them, and she put some warm milk and bread upon the kitchen table.',
  'For many days they kept the bird in a basket by the window, where the sun was bright.',
  'At last it could stretch both of its wings, and it wanted to fly away to the forest.',
  'Peter was sad, but he opened the window and watched it rise above the garden wall.',
  'In the evening his father told him that a friend who is free will always come back.',
  'The next spring there was a nest in the tree before the house, and three small birds were singing in it.',
]);
