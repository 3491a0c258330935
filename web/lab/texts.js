// Texts that labs read: the bundled one, or the user's in its place.
import { MicrotomeError } from '../runtime/errors.js';
import { wholeFile } from '../runtime/gzip.js';
import { toSource } from '../runtime/source.js';

/** @typedef {import('../runtime/source.js').AnySource} AnySource */

/** Bundled texts by name. Literal URLs, so that bundlers find and copy the files. @type {Record<string, {about: string, url: () => URL}>} */
export const TEXTS = {
  prose: { about: 'Sentences of this package’s own guides, about 60 kB of English', url: () => new URL('./prose.txt.gz', import.meta.url) }, // as they once stood: what labs find in a text must not change with a sentence of the guides
};

/**
 * The texts that a lab asks for. @param {readonly string[]} names @param {Record<string, AnySource>} [given] in place of bundled ones, or where none is bundled: URLs, files, bytes, in Node also paths; gzip is unpacked
 * @param {AbortSignal} [signal] @returns {Promise<Record<string, Uint8Array>>} by name @throws {MicrotomeError} EUNKNOWN: given, but not asked for; EMISSING: neither bundled nor given; EIO, EHTTP, EFORMAT: it could not be read
 */
export async function readTexts(names, given = {}, signal) {
  for (const name of Object.keys(given)) if (!names.includes(name)) throw new MicrotomeError(`this lab reads no text "${name}": ${names.length ? `it reads ${names.join(', ')}` : 'it reads none'}`, { code: 'EUNKNOWN', details: { text: name } });
  return Object.fromEntries(await Promise.all(names.map(async (name) => {
    const source = given[name] ?? (Object.hasOwn(TEXTS, name) ? TEXTS[name].url() : null);
    if (source === null) throw new MicrotomeError(`the text "${name}" is not bundled (${Object.keys(TEXTS).join(', ')} are): it must be given`, { code: 'EMISSING', details: { text: name } });
    return [name, source instanceof Uint8Array ? source : await wholeFile(toSource(source), signal)];
  })));
}
