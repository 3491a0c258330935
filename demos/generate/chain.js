/**
 * The chain of a sampler, step by step: what each step leaves of what the one before left, and the draw from what is left at the end.
 * Every law is the package's own (Sampler.law), with the steps switched on one after the other.
 */
import { Sampler } from '../../web/sampling.js';

/**
 * @typedef {import('../../web/sampling.js').SamplingOptions} SamplingOptions
 * @typedef {Required<Omit<SamplingOptions, 'seed'>>} Settings
 * @typedef {{ key: string, options: (keyof Settings)[] }} Step
 * @typedef {object} StepResult what a step did; the first is the model's own law
 * @property {string} key
 * @property {number} left tokens that can still be drawn
 * @property {number} removed how many the step took away @property {number} removedMass their probability before it
 * @property {number} entropy of what is left, in bits
 * @property {number} others probability of the tokens that have no row
 * @property {number} [kept] of a step that removes: the least likely token that stays @property {number} [dropped] the likeliest that goes
 * @property {{ count: number, before: number, after: number }} [lowered] of the penalties: tokens that occurred, and their probability together
 * @typedef {{ id: number, p: number[] }} Row p: after each step
 * @typedef {{ steps: StepResult[], rows: Row[] }} Ladder
 * @typedef {object} Taken a token at its place
 * @property {number} id
 * @property {number} logProb ln p of the model, before any step
 * @property {number} rank 1: the model's likeliest
 * @property {number} share its probability after all steps; 0: the sampler would never have drawn it
 * @property {number} entropy of the model's law, in bits
 * @property {number} left tokens that could have been drawn
 */

/** What changes nothing. @type {Settings} */
export const NEUTRAL = { repeatPenalty: 1, frequencyPenalty: 0, presencePenalty: 0, lastN: 64, temperature: 1, topK: 0, typicalP: 1, topP: 1, minP: 0 };

/** In the order of the sampler. @type {Step[]} */
export const STEPS = [
    { key: 'penalties', options: ['repeatPenalty', 'frequencyPenalty', 'presencePenalty'] },
    { key: 'temperature', options: ['temperature'] },
    { key: 'topK', options: ['topK'] },
    { key: 'typicalP', options: ['typicalP'] },
    { key: 'topP', options: ['topP'] },
    { key: 'minP', options: ['minP'] },
];

/** The steps that do something. @param {Settings} settings */
export const activeSteps = (settings) => STEPS.filter(({ key, options }) => options.some((o) => settings[o] !== NEUTRAL[o]) && !(key === 'penalties' && settings.lastN === 0));

const EDGE = 2; // removed tokens of each step that are shown
const SAMPLERS = 16; // kept, for settings that come again

/** Entropy in bits. @param {ArrayLike<number>} p */
function entropyOf(p) {
    let bits = 0;
    for (let i = 0; i < p.length; i++) if (p[i] > 0) bits -= p[i] * Math.log2(p[i]);
    return Math.max(0, bits);
}

/** Ids of the largest, in order; equals: the smaller id. @param {ArrayLike<number>} p @param {number} count @param {(id: number) => boolean} [of] */
function largest(p, count, of = () => true) {
    /** @type {number[]} */ const best = [];
    for (let id = 0; id < p.length; id++) {
        if (!(p[id] > 0) || (best.length === count && p[id] <= p[best[count - 1]]) || !of(id)) continue;
        let at = best.length;
        while (at > 0 && p[best[at - 1]] < p[id]) at--;
        best.splice(at, 0, id);
        if (best.length > count) best.pop();
    }
    return best;
}

export class Chain {
    /** @type {Map<string, Sampler>} */ #samplers = new Map();
    /** The one that draws: its random numbers go on. @type {{ key: string, sampler: Sampler, drawn: number } | null} */ #drawer = null;
    /** Only its first token is possible: for going on without a law. @type {Float32Array} */ #certain = new Float32Array(0);

    /** @param {number} vocab @param {Partial<Settings>} options @returns {Promise<Sampler>} */
    async #sampler(vocab, options) {
        const key = JSON.stringify([vocab, options]);
        const found = this.#samplers.get(key) ?? (await Sampler.create(vocab, { ...options, seed: 0 }));
        this.#samplers.delete(key);
        this.#samplers.set(key, found); // last used, last thrown away
        if (this.#samplers.size > SAMPLERS) {
            const [oldest, sampler] = /** @type {[string, Sampler]} */ (this.#samplers.entries().next().value);
            this.#samplers.delete(oldest);
            sampler.dispose();
        }
        return found;
    }

    /** The tokens that the penalties look at. @param {ArrayLike<number>} path @param {Settings} settings @returns {number[]} */
    #window(path, { lastN }) {
        return lastN === 0 ? [] : Array.prototype.slice.call(path, lastN < 0 ? 0 : Math.max(0, path.length - lastN));
    }

    /** @param {Sampler} sampler @param {ArrayLike<number>} path @param {Settings} settings */
    #read(sampler, path, settings) {
        sampler.forget();
        sampler.accept(this.#window(path, settings));
    }

    /**
     * The law after each step that does something; the first is the model's.
     * @param {Float32Array} logits @param {ArrayLike<number>} path all tokens so far @param {Settings} settings
     * @returns {Promise<{ key: string, p: Float64Array }[]>}
     */
    async laws(logits, path, settings) {
        /** @type {{ key: string, p: Float64Array }[]} */ const out = [{ key: 'model', p: (await this.#sampler(logits.length, {})).law(logits) }];
        /** @type {Record<string, number>} */ const on = {};
        for (const { key, options } of activeSteps(settings)) {
            for (const option of options) on[option] = settings[option];
            if (key === 'penalties') on.lastN = settings.lastN;
            const sampler = await this.#sampler(logits.length, { ...on });
            this.#read(sampler, path, settings);
            out.push({ key, p: sampler.law(logits) });
        }
        return out;
    }

    /**
     * The laws in short: the likeliest tokens with their probability after each step, and what each step did.
     * @param {Float32Array} logits @param {ArrayLike<number>} path @param {Settings} settings @param {{ top?: number, show?: number[] }} [options] show: ids that get a row in any case
     * @returns {Promise<Ladder>}
     */
    async ladder(logits, path, settings, { top = 10, show = [] } = {}) {
        const laws = await this.laws(logits, path, settings), last = laws[laws.length - 1].p;
        // The likeliest of those that a step takes away have their rows too: where the line runs is the point.
        const edges = laws.flatMap(({ p }, i) => (i ? largest(laws[i - 1].p, EDGE, (id) => p[id] === 0) : []));
        const ids = [...new Set([...largest(laws[0].p, top), ...largest(last, 4), ...edges, ...show])];
        ids.sort((a, b) => laws[0].p[b] - laws[0].p[a] || a - b);
        const steps = laws.map(({ key, p }, i) => {
            const before = i ? laws[i - 1].p : p;
            let left = 0, removed = 0, removedMass = 0;
            for (let id = 0; id < p.length; id++) {
                if (p[id] > 0) left++;
                else if (before[id] > 0) {
                    removed++;
                    removedMass += before[id];
                }
            }
            const others = Math.max(0, 1 - ids.reduce((sum, id) => sum + p[id], 0));
            /** @type {StepResult} */ const step = { key, left, removed, removedMass, entropy: entropyOf(p), others: others < 1e-12 ? 0 : others };
            if (removed) {
                [step.dropped] = largest(before, 1, (id) => p[id] === 0);
                for (let id = 0; id < p.length; id++) if (p[id] > 0 && (step.kept === undefined || p[id] < p[step.kept])) step.kept = id;
            }
            if (key === 'penalties') {
                const seen = new Set(this.#window(path, settings)), mass = (/** @type {Float64Array} */ q) => [...seen].reduce((sum, id) => sum + q[id], 0);
                step.lowered = { count: seen.size, before: mass(before), after: mass(p) };
            }
            return step;
        });
        return { steps, rows: ids.map((id) => ({ id, p: laws.map(({ p }) => p[id]) })) };
    }

    /**
     * Draws the next token, or says of a given one how it stands.
     * The draw at depth d is the (d + 1)-th of the seed, whatever was drawn before: the same seed and settings write the same text, from any place.
     * @param {Float32Array} logits @param {ArrayLike<number>} path @param {Settings} settings @param {{ seed: number, depth: number } | { id: number }} how
     * @returns {Promise<Taken>}
     */
    async take(logits, path, settings, how) {
        const id = 'id' in how ? how.id : await this.#draw(logits, path, settings, how);
        const laws = await this.laws(logits, path, settings), p = laws[0].p, last = laws[laws.length - 1].p;
        let rank = 1, left = 0, high = -Infinity;
        for (let i = 0; i < p.length; i++) {
            if (p[i] > p[id] || (p[i] === p[id] && i < id)) rank++;
            if (last[i] > 0) left++;
            if (logits[i] > high) high = logits[i];
        }
        let sum = 0;
        for (let i = 0; i < p.length; i++) sum += Math.exp(logits[i] - high);
        return { id, logProb: logits[id] - high - Math.log(sum), rank, share: last[id], entropy: entropyOf(p), left };
    }

    /** @param {Float32Array} logits @param {ArrayLike<number>} path @param {Settings} settings @param {{ seed: number, depth: number }} place */
    async #draw(logits, path, settings, { seed, depth }) {
        const key = JSON.stringify([logits.length, settings, seed]);
        if (this.#drawer?.key !== key || this.#drawer.drawn > depth) {
            this.#drawer?.sampler.dispose();
            this.#drawer = null;
            this.#drawer = { key, sampler: await Sampler.create(logits.length, { ...settings, seed }), drawn: 0 };
        }
        const { sampler } = this.#drawer;
        if (this.#drawer.drawn < depth && this.#certain.length !== logits.length) {
            this.#certain = new Float32Array(logits.length).fill(-Infinity);
            this.#certain[0] = 0;
        }
        for (; this.#drawer.drawn < depth; this.#drawer.drawn++) sampler.draw(this.#certain);
        this.#read(sampler, path, settings);
        this.#drawer.drawn++;
        return sampler.draw(logits);
    }

    /** Frees all samplers. */
    dispose() {
        for (const sampler of this.#samplers.values()) sampler.dispose();
        this.#samplers.clear();
        this.#drawer?.sampler.dispose();
        this.#drawer = null;
    }
}
