// An origin-private file system in memory, as much of it as web/store.js uses, with room for so many bytes.

/** @param {{quota?: number}} [limits] */
export function fakeStorage({ quota = Infinity } = {}) {
  const state = { quota, used: 0 };
  const missing = (/** @type {string} */ name) => Object.assign(new Error(`${name} is not there`), { name: 'NotFoundError' });
  class FakeFile {
    kind = 'file';
    blob = new Blob([]);
    async getFile() { return this.blob; }
    async createWritable() {
      /** @type {any[]} */ const parts = [];
      return {
        write: async (/** @type {Blob | string} */ content) => {
          const size = new Blob([content]).size;
          if (state.used + size > state.quota) throw Object.assign(new Error('the quota has been exceeded'), { name: 'QuotaExceededError' });
          parts.push(content);
        },
        close: async () => {
          const next = new Blob(parts);
          state.used += next.size - this.blob.size;
          this.blob = next;
        },
        abort: async () => {},
      };
    }
  }
  class FakeFolder {
    kind = 'directory';
    /** @type {Map<string, any>} */ entries = new Map();
    async #get(/** @type {string} */ name, /** @type {boolean | undefined} */ create, /** @type {() => any} */ make) {
      if (!this.entries.has(name)) {
        if (!create) throw missing(name);
        this.entries.set(name, make());
      }
      return this.entries.get(name);
    }
    getDirectoryHandle(/** @type {string} */ name, /** @type {any} */ { create } = {}) { return this.#get(name, create, () => new FakeFolder()); }
    getFileHandle(/** @type {string} */ name, /** @type {any} */ { create } = {}) { return this.#get(name, create, () => new FakeFile()); }
    async removeEntry(/** @type {string} */ name) {
      const entry = this.entries.get(name);
      if (!entry) throw missing(name);
      const size = (/** @type {any} */ e) => (e.kind === 'file' ? e.blob.size : [...e.entries.values()].reduce((sum, x) => sum + size(x), 0));
      state.used -= size(entry);
      this.entries.delete(name);
    }
    async *keys() { yield* [...this.entries.keys()]; }
    async *[Symbol.asyncIterator]() { yield* [...this.entries]; }
  }
  const root = new FakeFolder();
  return { state, storage: { getDirectory: async () => root, estimate: async () => ({ quota: state.quota, usage: state.used }), persisted: async () => false, persist: async () => false } };
}
