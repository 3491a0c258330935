/**
 * One lab on the page: what its knobs say, and the run in a worker that was begun with them. No document here: the page
 * listens to `changed` and shows what stands in the fields.
 */
import { checkValue, configOf } from '../../web/lab/define.js';
import { LabClient } from '../../web/lab/client.js';

/**
 * @typedef {import('../../web/lab/define.js').Lab} Lab
 * @typedef {import('../../web/lab/define.js').Config} Config
 * @typedef {import('../../web/lab/define.js').ConfigValue} ConfigValue
 * @typedef {import('../../web/lab/client.js').Ended} Ended
 * @typedef {'idle' | 'opening' | 'running' | 'paused' | 'done' | 'failed'} Phase
 */

export class Session {
    /** @type {Readonly<Lab>} */ lab;
    /** The lab's name, or its module's URL. @type {string} */ key;
    preset = 'quick';
    /** NaN: what stands in the box is none. */
    seed = 1;
    /** Each knob's value. @type {Config} */ values = {};
    /** Files in place of bundled texts. @type {Record<string, File>} */ texts = {};
    /** @type {Phase} */ phase = 'idle';
    /** @type {LabClient | null} */ client = null;
    /** Headline and verdict, when all arms are done. @type {Ended | null} */ ended = null;
    /** @type {unknown} */ error = null;
    #changed;
    #shown;
    /** What the run began with, as text. */ #began = '';
    #opening = new AbortController();

    /** @param {string} key @param {Readonly<Lab>} lab @param {(session: Session) => void} changed the phase has @param {(session: Session) => void} shown there is something new to draw */
    constructor(key, lab, changed, shown) {
        this.key = key;
        this.lab = lab;
        this.#changed = changed;
        this.#shown = shown;
        this.values = this.#presetValues(this.preset);
    }

    /** Every knob as the preset has it; a run under way hears of those that may change. @param {string} preset @throws {Error} EUNKNOWN */
    async usePreset(preset) {
        const before = this.values;
        this.values = this.#presetValues(preset);
        this.preset = preset;
        for (const [key, value] of Object.entries(this.values)) if (value !== before[key]) await this.set(key, value);
    }

    /** @param {string} preset */
    #presetValues(preset) {
        const all = configOf(this.lab, { preset });
        return Object.fromEntries(Object.keys(this.lab.config).map((key) => [key, all[key]]));
    }

    /** Values that are not the preset's. @returns {Config} */
    get overrides() {
        const plain = this.#presetValues(this.preset);
        return Object.fromEntries(Object.entries(this.values).filter(([key, value]) => value !== plain[key]));
    }

    /** Whether a run that begins now would be another than the one under way, live values aside. */
    get differs() { return this.client !== null && this.#began !== this.#beginning(); }

    #beginning() {
        const fixed = Object.entries(this.values).filter(([key]) => !this.lab.config[key].live);
        return JSON.stringify([this.seed, fixed, Object.entries(this.texts).map(([name, { name: file, size, lastModified }]) => [name, file, size, lastModified])]);
    }

    /** @param {string} key @param {ConfigValue} value @throws {Error} ERANGE: it does not fit */
    async set(key, value) {
        checkValue(this.lab, key, value);
        this.values[key] = value;
        if (this.client && this.lab.config[key].live && (this.phase === 'running' || this.phase === 'paused')) await this.client.set(key, value);
    }

    /** @param {Phase} phase @param {unknown} [error] */
    #to(phase, error = null) {
        this.phase = phase;
        this.error = error;
        this.#changed(this);
    }

    /** @param {import('../../web/lab/client.js').ClientOptions} options @returns {Promise<LabClient | null>} null: it failed, or something newer has begun */
    async #open(options) {
        this.close();
        const { signal } = (this.#opening = new AbortController());
        this.#to('opening');
        try {
            const client = await LabClient.open(this.key, { ...options, texts: this.texts, signal });
            if (signal.aborted) {
                void client.terminate();
                return null;
            }
            this.client = client;
            client.on('metrics', () => this.client === client && this.#shown(this));
            client.on('picture', () => this.client === client && this.#shown(this));
            return client;
        } catch (error) {
            if (!signal.aborted) this.#to('failed', error);
            return null;
        }
    }

    /** Begins anew with what the knobs say. */
    async #begin() {
        const began = this.#beginning();
        const client = await this.#open({ seed: this.seed, preset: this.preset, config: this.overrides });
        if (client) this.#began = began;
        return client;
    }

    /** @param {LabClient} client @param {Promise<Ended>} playing */
    async #follow(client, playing) {
        this.#to('running');
        try {
            const ended = await playing;
            if (this.client !== client) return;
            if (ended.where.done) this.ended = ended;
            this.#to(ended.where.done ? 'done' : 'paused');
        } catch (error) {
            if (this.client === client) this.#to('failed', error);
        }
    }

    /** Begins, or goes on. */
    async start() {
        const client = this.phase === 'paused' ? this.client : await this.#begin();
        if (client) await this.#follow(client, client.start());
    }

    /** One step. */
    async step() {
        const client = this.phase === 'paused' ? this.client : await this.#begin();
        if (client) await this.#follow(client, client.step());
    }

    async pause() {
        if (this.phase === 'opening') {
            this.close();
            this.#to('idle');
        } else if (this.phase === 'running') await this.client?.pause();
    }

    async restart() {
        this.close();
        await this.start();
    }

    /** Stands where a saved run stood. @param {Uint8Array} checkpoint */
    async restore(checkpoint) {
        const client = await this.#open({ checkpoint });
        if (!client) return;
        this.seed = client.seed;
        for (const key of Object.keys(this.lab.config)) if (client.config[key] !== undefined) this.values[key] = client.config[key];
        this.#began = this.#beginning();
        if (client.where.done) await this.#follow(client, client.start()); // only its verdict is missing
        else this.#to('paused');
    }

    /** Ends the run; the knobs stay. */
    close() {
        this.#opening.abort();
        void this.client?.terminate();
        this.client = null;
        this.ended = null;
        this.error = null;
        this.phase = 'idle';
    }
}
