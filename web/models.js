// The model that comes with the package, in a module of its own: only who imports it ships its file.

/** Where microtome-tiny lies: a GGUF file of 3 MB, stories in English. Bundlers find and copy it. */
export const TINY = new URL('../models/microtome-tiny.gguf', import.meta.url);
