/**
 * A file that one page leaves for another one of this site, on this machine.
 *
 *   await leave(new File([json], 'mine.json'));      open('../tokenizers/#open=mine.json')
 *   const file = await take('mine.json');            as often as one likes: a page can be loaded again
 *
 * The last few files are kept.
 */
const DATABASE = 'microtome', FILES = 'handover', KEPT = 8;

/** @returns {Promise<IDBDatabase>} */
const opened = () => new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(FILES);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
});

/** @template T @param {IDBTransactionMode} mode @param {(store: IDBObjectStore) => IDBRequest<T>} act @returns {Promise<T>} */
async function inStore(mode, act) {
    const database = await opened();
    try {
        return await new Promise((resolve, reject) => {
            const transaction = database.transaction(FILES, mode), request = act(transaction.objectStore(FILES));
            transaction.oncomplete = () => resolve(request.result);
            transaction.onabort = transaction.onerror = () => reject(transaction.error);
        });
    } finally {
        database.close();
    }
}

/** @param {File} file @returns {Promise<void>} */
export async function leave(file) {
    await inStore('readwrite', (store) => store.put({ file, at: Date.now() }, file.name));
    const all = await inStore('readonly', (store) => store.getAll()), names = all.sort((a, b) => b.at - a.at).slice(KEPT).map((item) => item.file.name);
    for (const name of names) await inStore('readwrite', (store) => store.delete(name));
}

/** @param {string} name @returns {Promise<File | null>} null: it is not there */
export const take = async (name) => (await inStore('readonly', (store) => store.get(name)))?.file ?? null;
