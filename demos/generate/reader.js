/**
 * Logits after any text, with nothing read twice that is still at hand: sessions of the model, forked where texts part.
 *
 *   const reader = new Reader(model);
 *   await reader.logits([0, 17, 4]);      reads three tokens
 *   await reader.logits([0, 17, 4, 9]);   reads one more
 *   await reader.logits([0, 17, 5]);      forks after 17, reads one
 */

/** @typedef {{ append: (ids: number[], options?: any) => Promise<{ logits: Float32Array }>, fork: () => Promise<Session>, rewind: (length: number) => Promise<void>, dispose: () => Promise<void> }} Session */
/** @typedef {{ session: Session, tokens: number[] }} Held */

const CACHE_BYTES = 32e6; // of logits

export class Reader {
    #model;
    #most;
    /** The last is the one used last. @type {Held[]} */ #held = [];
    /** By their tokens. @type {Map<string, Float32Array>} */ #cache = new Map();
    #bytes = 0;
    /** @type {Promise<any>} */ #last = Promise.resolve();

    /** @param {{ session: () => Promise<Session> }} model @param {{ most?: number }} [options] most: sessions that are kept */
    constructor(model, { most = 8 } = {}) {
        this.#model = model;
        this.#most = most;
    }

    /**
     * @param {number[]} path one token at least @param {AbortSignal} [signal]
     * @returns {Promise<Float32Array>} [vocab]; not to be changed
     * @throws {MicrotomeError} ELIMIT: longer than the model or its memory allows; as Session.append
     */
    logits(path, signal) {
        const next = this.#last.then(async () => {
            signal?.throwIfAborted();
            const key = path.join(' '), found = this.#cache.get(key);
            const logits = found ?? (await this.#read(path, signal));
            if (found) this.#cache.delete(key);
            else this.#bytes += logits.byteLength;
            this.#cache.set(key, logits);
            for (const [oldest, { byteLength }] of this.#cache) {
                if (this.#bytes <= CACHE_BYTES || oldest === key) break;
                this.#cache.delete(oldest);
                this.#bytes -= byteLength;
            }
            return logits;
        });
        this.#last = next.catch(() => {});
        return next;
    }

    /** @param {number[]} path @param {AbortSignal} [signal] @returns {Promise<Float32Array>} */
    async #read(path, signal) {
        let held = await this.#near(path);
        for (;;) {
            try {
                if (!held) this.#held.push((held = { session: await this.#model.session(), tokens: [] }));
                const { logits } = await held.session.append(path.slice(held.tokens.length), { signal });
                held.tokens = path.slice();
                return logits;
            } catch (error) {
                // No room: what is only kept for later goes, the oldest first.
                const other = /** @type {any} */ (error)?.code === 'ELIMIT' && this.#held.find((h) => h !== held);
                if (other) await this.#drop(other);
                else {
                    if (held && !held.tokens.length) await this.#drop(held);
                    throw error;
                }
            }
        }
    }

    /** A session that has read a part of the path and nothing else, with at least one token to go; null: none shares any. @param {number[]} path @returns {Promise<Held | null>} */
    async #near(path) {
        /** @type {Held | null} */ let best = null;
        let shared = 0;
        for (const held of this.#held) {
            let n = 0;
            while (n < held.tokens.length && n < path.length - 1 && held.tokens[n] === path[n]) n++;
            if (n > shared || (n === shared && best && held.tokens.length === n)) [best, shared] = [held, n];
        }
        if (!best || !shared) return null;
        if (best.tokens.length > shared) {
            const session = await best.session.fork();
            try {
                await session.rewind(shared);
            } catch (error) {
                await session.dispose();
                throw error;
            }
            best = { session, tokens: path.slice(0, shared) };
            this.#held.push(best);
            if (this.#held.length > this.#most) await this.#drop(this.#held[0]);
        } else this.#held.push(...this.#held.splice(this.#held.indexOf(best), 1));
        return best;
    }

    /** @param {Held} held */
    async #drop(held) {
        this.#held.splice(this.#held.indexOf(held), 1);
        await held.session.dispose();
    }

    /** How many sessions are kept. */
    get sessions() {
        return this.#held.length;
    }

    /** Frees all. A model that has gone takes its sessions with it. @returns {Promise<void>} */
    async dispose() {
        await this.#last;
        for (const held of [...this.#held]) await this.#drop(held).catch(() => {});
        this.#cache.clear();
        this.#bytes = 0;
    }
}
