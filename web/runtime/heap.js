// A module instance seen from JavaScript: its memory, strings, structs, errors. Page, worker and helper threads use it.

/**
 * The one error class. Aborted calls throw the platform's AbortError instead.
 * `code`: what the core reports (EFORMAT, EUNKNOWN, ERANGE, ELIMIT, ESTATE, EMISSING, ENOMEM) or what the host does
 * (EHTTP: a download failed; EIO: a file could not be read; EUNSUPPORTED: the platform lacks something; EWORKER: the worker
 * could not start or died). `details`: what is known, such as `file`, `offset` (bytes), `status` (HTTP).
 */
export class MicrotomeError extends Error {
  /** @param {string} message what was wrong, where, and what was expected @param {{code: string, details?: Record<string, any>, cause?: unknown}} options code: EFORMAT, ERANGE...; details: numbers and names for programs; cause: the error behind it */
  constructor(message, { code, details = {}, cause }) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'MicrotomeError';
    this.code = code;
    this.details = details;
  }
}

/** Throws what the signal says when it is aborted. @param {AbortSignal | undefined | null} signal */
export function throwIfAborted(signal) {
  if (signal?.aborted) throw signal.reason ?? new DOMException('The operation was aborted.', 'AbortError');
}

/** @returns {boolean} */
export const inNode = () => typeof process === 'object' && !!process.versions?.node;

/** A module of Node's, without an import that bundlers for the page would follow. @param {string} name @returns {Promise<any>} */
export async function nodeModule(name) {
  return process.getBuiltinModule?.(name) ?? (await import(/* webpackIgnore: true */ /* @vite-ignore */ name));
}

const INITIAL_PAGES = 64; // what a module asks for at the start fits well in; it grows

/**
 * Memory for a module. Shared memory reserves its maximum as address space: smaller reservations are tried when it is refused.
 * @param {boolean} shared
 */
export function makeMemory(shared) {
  for (let maximum = 65536; ; maximum /= 2) {
    try {
      return new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum, shared });
    } catch (error) {
      if (maximum <= 4096) throw new MicrotomeError(`no memory for the module: ${/** @type {Error} */ (error).message}`, { code: 'ENOMEM', cause: error });
    }
  }
}

/** @typedef {{type: string, offset: number, count: number}} Field */

/**
 * A module instance: its functions, and views of its memory that are made again after it has grown. Struct offsets and enum
 * values come from the tables that the module prints (exports `layout_*`).
 */
export class Heap {
  /** @param {WebAssembly.Module} module @param {WebAssembly.Memory} memory */
  static async create(module, memory) {
    /** @type {Heap} */ let heap;
    const instance = await WebAssembly.instantiate(module, { env: { memory, train_progress: (/** @type {number} */ done, /** @type {number} */ total) => Number(heap.onTrainProgress(done, total)) } });
    /** @type {any} */ (instance.exports).keep_secret(...crypto.getRandomValues(new BigUint64Array(2))); // no file can be made for its hash tables
    return (heap = new Heap(instance, memory));
  }

  /** @param {WebAssembly.Instance} instance @param {WebAssembly.Memory} memory */
  constructor(instance, memory) {
    this.memory = memory;
    /** Trainers call it between steps; true stops them. @type {(done: number, total: number) => boolean} */
    this.onTrainProgress = () => false;
    this.exports = /** @type {Record<string, any>} */ (instance.exports);
    /** @type {Map<string, {size: number, fields: Map<string, Field>}>} */
    this.structs = new Map();
    /** @type {Record<string, number>} */
    this.enums = {};
    this.buffer = memory.buffer;
    this.u8 = new Uint8Array(this.buffer);
    this.view = new DataView(this.buffer);
    this.shared = typeof SharedArrayBuffer === 'function' && this.buffer instanceof SharedArrayBuffer;
    this.encoder = new TextEncoder();
    this.decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    for (const name in this.exports) if (name.startsWith('layout_')) this.#readLayout(this.exports[name]() >>> 0);
    this.errorAt = this.exports.error() >>> 0;
  }

  #readLayout(/** @type {number} */ at) {
    if (!at) throw this.outOfMemory(0);
    let current = /** @type {Map<string, Field>} */ (new Map());
    for (const line of this.cstring(at).split('\n')) {
      const [kind, name, type, offset, count] = line.split('\t');
      if (kind === 'struct') this.structs.set(name, { size: Number(offset), fields: (current = new Map()) });
      else if (kind === 'field') current.set(name, { type, offset: Number(offset), count: Number(count) });
      else if (kind === 'enum') this.enums[name] = Number(offset) | 0;
    }
    this.exports.release(at);
  }

  /** Views of the memory as it is now. Call after anything that may have grown it. */
  refresh() {
    if (this.buffer === this.memory.buffer) return;
    this.buffer = this.memory.buffer;
    this.u8 = new Uint8Array(this.buffer);
    this.view = new DataView(this.buffer);
  }

  /** @param {number} bytes */
  outOfMemory(bytes) {
    return new MicrotomeError(`out of memory: ${bytes} bytes`, { code: 'ENOMEM' });
  }

  /** @param {number} bytes @returns {number} */
  alloc(bytes) {
    const at = this.exports.alloc(bytes) >>> 0;
    if (!at) throw this.outOfMemory(bytes);
    this.refresh();
    return at;
  }

  /** Zeroed memory for a struct that C described. @param {string} struct @returns {number} */
  make(struct) {
    const at = this.exports.calloc(this.sizeOf(struct)) >>> 0;
    if (!at) throw this.outOfMemory(this.sizeOf(struct));
    this.refresh();
    return at;
  }

  /** @param {number} at */
  release(at) {
    this.exports.release(at);
  }

  /** Runs body with an allocator whose blocks are released at the end. @template T @param {(alloc: (bytes: number) => number) => T} body @returns {T} */
  scope(body) {
    /** @type {number[]} */
    const owned = [];
    try {
      return body((bytes) => {
        const at = this.alloc(bytes);
        owned.push(at);
        return at;
      });
    } finally {
      for (const at of owned) this.exports.release(at);
    }
  }

  /** Calls an export for what it returns. @param {string} name @param {...number} args */
  get(name, ...args) {
    const f = this.exports[name];
    if (!f) throw this.#without(`function ${name}`);
    return f(...args);
  }

  /** Calls a fallible export; throws what the core reports. @param {string} name @param {...number} args */
  call(name, ...args) {
    const status = this.get(name, ...args);
    this.refresh();
    if (status) throw this.error();
  }

  #without(/** @type {string} */ what) {
    return new MicrotomeError(`this build of the module has no ${what}${this.exports.bytes_new ? '' : ": it is a small one (microtome/tokens, microtome/core); objects of 'microtome' can do more"}`, { code: 'EUNSUPPORTED' });
  }

  /** What the last failed call left behind. */
  error() {
    const { code, where } = this.read('mt_error', this.errorAt);
    const text = this.cstring(this.errorAt + this.field('mt_error', 'text').offset);
    const name = this.cstring(this.exports.status_name(code) >>> 0);
    return new MicrotomeError(text, { code: name, details: where === undefined ? {} : { offset: where } });
  }

  /** @param {string} struct */
  sizeOf(struct) {
    return this.#struct(struct).size;
  }

  /** @param {string} name */
  #struct(name) {
    const found = this.structs.get(name);
    if (!found) throw this.#without(`struct ${name}`);
    return found;
  }

  /** @param {string} struct @param {string} name @returns {Field} */
  field(struct, name) {
    const found = this.#struct(struct).fields.get(name);
    if (!found) throw new MicrotomeError(`${struct} has no field ${name}`, { code: 'EUNSUPPORTED' });
    return found;
  }

  /** @param {string} type @param {number} at @returns {any} 64-bit numbers: undefined for all ones ("none") */
  #number(type, at) {
    switch (type) {
      case 'u8': return this.view.getUint8(at);
      case 'i8': return this.view.getInt8(at);
      case 'u16': return this.view.getUint16(at, true);
      case 'i16': return this.view.getInt16(at, true);
      case 'i32': return this.view.getInt32(at, true);
      case 'u64': { const x = this.view.getBigUint64(at, true); return x === 0xffffffffffffffffn ? undefined : Number(x); }
      case 'i64': return Number(this.view.getBigInt64(at, true));
      case 'f32': return this.view.getFloat32(at, true);
      case 'f64': return this.view.getFloat64(at, true);
      default: return this.view.getUint32(at, true); // u32, ptr
    }
  }

  /** Reads the plain fields of a struct (arrays are left out: see `array`). @param {string} struct @param {number} at @returns {Record<string, any>} */
  read(struct, at) {
    this.refresh();
    /** @type {Record<string, any>} */
    const out = {};
    for (const [name, { type, offset, count }] of this.#struct(struct).fields) if (count === 1) out[name] = this.#number(type, at + offset);
    return out;
  }

  /** Array field of a struct, copied. @param {string} struct @param {number} at @param {string} name @returns {any[]} */
  array(struct, at, name) {
    const { type, offset, count } = this.field(struct, name);
    const size = { u8: 1, i8: 1, u16: 2, i16: 2, u64: 8, i64: 8, f64: 8 }[type] ?? 4;
    return Array.from({ length: count }, (_, i) => this.#number(type, at + offset + i * size));
  }

  /** @param {number} at */
  u32(at) {
    this.refresh();
    return this.view.getUint32(at, true);
  }

  /** NUL-terminated UTF-8. @param {number} at @returns {string} '' for a null pointer */
  cstring(at) {
    this.refresh();
    if (!at) return '';
    return this.text(at, this.u8.indexOf(0, at) - at);
  }

  /** UTF-8 text of n bytes; what is not UTF-8 becomes U+FFFD. @param {number} at @param {number} n */
  text(at, n) {
    this.refresh();
    const bytes = this.u8.subarray(at, at + n);
    return this.decoder.decode(this.shared ? bytes.slice() : bytes); // TextDecoder refuses shared memory
  }

  /** @param {number} at @param {number} n @returns {Uint8Array<ArrayBuffer>} a copy */
  bytes(at, n) {
    this.refresh();
    return new Uint8Array(this.u8.subarray(at, at + n));
  }

  /** @param {number} at @param {number} n @returns {Float32Array<ArrayBuffer>} a copy */
  floats(at, n) {
    this.refresh();
    return new Float32Array(new Float32Array(this.buffer, at, n));
  }

  /** @param {number} at @param {number} n @returns {Float64Array<ArrayBuffer>} a copy */
  doubles(at, n) {
    this.refresh();
    return new Float64Array(new Float64Array(this.buffer, at, n));
  }

  /** @param {number} at @param {number} n @returns {Int32Array<ArrayBuffer>} a copy */
  ints(at, n) {
    this.refresh();
    return new Int32Array(new Int32Array(this.buffer, at, n));
  }

  /** Puts bytes at an address. @param {number} at @param {ArrayLike<number>} bytes */
  putBytes(at, bytes) {
    this.refresh();
    this.u8.set(bytes, at);
  }

  /** @param {number} at @param {ArrayLike<number>} ints */
  putInts(at, ints) {
    this.refresh();
    new Int32Array(this.buffer, at, ints.length).set(ints);
  }

  /** A NUL-terminated copy of a string. @param {(bytes: number) => number} alloc @param {string} text */
  putCString(alloc, text) {
    const bytes = this.encoder.encode(text);
    const at = alloc(bytes.length + 1);
    this.putBytes(at, bytes);
    this.u8[at + bytes.length] = 0;
    return at;
  }

  /** Calls a function that fills an mt_buf and returns the text. @param {string} name @param {...number} args the buffer comes last */
  printed(name, ...args) {
    const buf = this.make('mt_buf');
    try {
      this.call(name, ...args, buf);
      const { data, len } = this.read('mt_buf', buf);
      return this.text(data, len);
    } finally {
      this.exports.buf_free(buf);
      this.release(buf);
    }
  }
}
