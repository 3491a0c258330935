/**
 * The page's tokenizers live here, in a worker: nothing of them blocks the page. Calls and replies go as in
 * web/runtime/wire.js, whose protocol this is; client.js is the page's end.
 */
import { Lattice, languagePremiums, mergeOf, MicrotomeError, replayMerges, Tokenizer } from '../../web/index.js';
import { wholeFile } from '../../web/runtime/gzip.js';
import { toSource } from '../../web/runtime/source.js';
import { serve } from '../../web/runtime/wire.js';
import { TEXTS } from '../../web/lab/texts.js';
import { spokenHere } from './locales.js';
import { nameOf } from './names.js';
import { medianOf } from './scripts.js';

/** @typedef {import('../../web/study.js').LanguageTexts} LanguageTexts */
/** @typedef {{ url: string } | { file: Blob, merges?: Blob } | { builtin: 'byt5' | 'canine' }} Source */
/** How text is encoded. @typedef {{ special: 'own' | 'tokens' | 'text', template: boolean }} How */
/** @typedef {{ id: number, bytes: Uint8Array, piece: string, kind: string }} WindowToken */
/**
 * Some tokens of a text, with what is said of all.
 * @typedef {object} Encoded
 * @property {number} count @property {number} bytes @property {number} characters code points @property {number} units UTF-16 @property {number} unknown
 * @property {number} start the first token of the window @property {WindowToken[]} tokens of the window
 * @property {Uint32Array} byteSpans begin and end of each, in bytes @property {Uint32Array} unitSpans the same in UTF-16
 */

const LONGEST_WORD = 96; // bytes, for pictures of a word
const SPEED_BYTES = 1 << 20;
const SPEED_MS = 120;
const AT_ONCE = 16; // languages between two breaths

/** @param {How} how */
const optionsOf = ({ special, template }) => ({ addSpecialTokens: template, ...(special !== 'own' && { specialAsText: special === 'text' }) });

class TokenizerEngine {
    /** @type {any[]} */ helpers = [];
    /** @type {Map<string, Tokenizer>} */ #open = new Map();
    /** @type {Promise<Uint8Array> | null} */ #prose = null;

    /** @param {string} key */
    #get(key) {
        const tokenizer = this.#open.get(key);
        if (!tokenizer) throw new MicrotomeError(`the tokenizer "${key}" is not open`, { code: 'ESTATE' });
        return tokenizer;
    }

    /** @param {{ key: string, source: Source, name?: string }} args @param {import('../../web/runtime/wire.js').Task} task */
    async load({ key, source, name }, { signal }) {
        const options = { signal, ...(name !== undefined && { name }) };
        const made = 'builtin' in source ? await Tokenizer.builtin(source.builtin, { signal })
            : 'url' in source ? await Tokenizer.load(source.url, { signal })
            : await Tokenizer.load(source.file, { ...options, ...(source.merges && { merges: source.merges }) });
        this.#open.get(key)?.dispose();
        this.#open.set(key, made);
        const { traits, specialTokens } = made;
        return {
            model: made.model, vocabSize: made.vocabSize, bos: made.bos, eos: made.eos, specialIsText: made.specialIsText, warnings: made.warnings,
            special: specialTokens.slice(0, 2000).map((piece) => ({ piece, id: made.findPiece(piece) })), specialCount: specialTokens.length,
            byteComplete: traits.byteComplete, merges: /^(SentencePiece )?BPE/.test(made.model),
        };
    }

    /** @param {{ key: string }} args */
    unload({ key }) {
        this.#open.get(key)?.dispose();
        this.#open.delete(key);
    }

    /** @param {{ key: string, text: string, how: How, start: number, most: number }} args @returns {Encoded} */
    encode({ key, text, how, start, most }) {
        const tokenizer = this.#get(key), options = optionsOf(how);
        const { ids, offsets } = tokenizer.encode(text, { ...options, offsets: 'bytes' });
        const units = tokenizer.encode(text, { ...options, offsets: 'utf16' }).offsets;
        const from = Math.max(0, Math.min(start, Math.floor(Math.max(0, ids.length - 1) / most) * most)), to = Math.min(ids.length, from + most);
        /** @type {Map<number, WindowToken>} */ const known = new Map();
        const tokens = Array.from(ids.subarray(from, to), (id) => {
            const token = known.get(id) ?? tokenizer.token(id);
            known.set(id, token);
            return { ...token };
        });
        let unknown = 0, characters = 0;
        const unk = new Map();
        for (const id of ids) {
            if (!unk.has(id)) unk.set(id, tokenizer.token(id).kind === 'unknown');
            if (unk.get(id)) unknown++;
        }
        for (let i = 0; i < text.length; i++) if ((text.charCodeAt(i) & 0xfc00) !== 0xdc00) characters++;
        const bytes = new TextEncoder().encode(text).length;
        return { count: ids.length, bytes, characters, units: text.length, unknown, start: from, tokens, byteSpans: /** @type {Uint32Array} */ (offsets).slice(2 * from, 2 * to), unitSpans: /** @type {Uint32Array} */ (units).slice(2 * from, 2 * to) };
    }

    /** @param {{ key: string, text: string, how: How }} args */
    ids({ key, text, how }) {
        return this.#get(key).encode(text, { ...optionsOf(how), offsets: false }).ids;
    }

    /** All segmentations of a word, and the tokenizer's own among them. @param {{ key: string, word: string }} args */
    lattice({ key, word }) {
        const tokenizer = this.#get(key);
        checkWord(word);
        const lattice = new Lattice(tokenizer, word, { specialAsText: true });
        try {
            const found = lattice.edges, text = new TextDecoder().decode(lattice.bytes), scored = found.some((e) => e.weight !== 0);
            const edges = found.map(({ from, to, id, weight }) => ({ from, to, id, label: nameOf(tokenizer.token(id)), best: false, ...(scored && { weight }) }));
            // The tokenizer's own path, token by token through the edges.
            let at = 0;
            for (const id of tokenizer.encode(word, { offsets: false, specialAsText: true }).ids) {
                const edge = edges.find((e) => e.from === at && e.id === id);
                if (!edge) break;
                edge.best = true;
                at = edge.to;
            }
            return { text, edges };
        } finally {
            lattice.dispose();
        }
    }

    /** The merges of a word, with the ranks of all pairs before each. @param {{ key: string, word: string }} args */
    merges({ key, word }) {
        const tokenizer = this.#get(key);
        checkWord(word);
        const { symbols, steps, direct, ids } = replayMerges(tokenizer, word, { specialAsText: true });
        const name = (/** @type {number} */ id) => nameOf(tokenizer.token(id));
        const now = [...symbols];
        const ranks = (/** @type {number} */ least) => now.slice(1).map((right, i) => {
            const merge = mergeOf(tokenizer, now[i], right);
            return merge && merge.rank >= least ? merge.rank : null; // a lower rank would have gone first: a word ends between the two
        });
        const shown = steps.map(({ at, id, rank }) => {
            const pairs = ranks(rank);
            now.splice(at, 2, id);
            return { at, id, rank, label: name(id), pairs };
        });
        return { symbols: Array.from(symbols, name), steps: shown, last: ranks(Infinity), direct: direct.map((i) => name(ids[i])) };
    }

    /** Megabytes of text a second, over about a megabyte. @param {{ key: string, text?: string }} args @param {import('../../web/runtime/wire.js').Task} task */
    async speed({ key, text }, { breathe }) {
        const tokenizer = this.#get(key);
        const given = text ? new TextEncoder().encode(text) : await (this.#prose ??= wholeFile(toSource(TEXTS.prose.url())));
        const bytes = new Uint8Array(Math.max(given.length, Math.floor(SPEED_BYTES / given.length) * given.length));
        for (let at = 0; at < bytes.length; at += given.length) bytes.set(given, at);
        tokenizer.count(bytes); // tables that are made on demand
        let best = Infinity;
        for (let spent = 0, runs = 0; spent < SPEED_MS || runs < 3; runs++) {
            const began = performance.now();
            tokenizer.count(bytes);
            const took = performance.now() - began;
            best = Math.min(best, took);
            spent += took;
            await breathe();
        }
        return { megabytesPerSecond: bytes.length / 1e6 / (Math.max(best, 1e-3) / 1e3), bytes: bytes.length };
    }

    /** What the browser knows of languages, as parallel texts. @param {{ more: boolean }} args @param {import('../../web/runtime/wire.js').Task} task */
    locales({ more }, { breathe, event }) {
        return spokenHere({ more, breathe, progress: (done) => event('progress', done) });
    }

    /**
     * What languagePremiums says, of a few languages at a time: other calls are answered in between, and it can be stopped.
     * @param {{ key: string, languages: LanguageTexts[], reference: string }} args @param {import('../../web/runtime/wire.js').Task} task @returns {Promise<import('../../web/study.js').Premiums>}
     */
    async premiums({ key, languages, reference }, { breathe, event }) {
        const base = languages.filter((l) => l.language === reference), whole = languagePremiums(this.#get(key), base, { reference });
        /** @type {Map<string, import('../../web/study.js').LanguagePremium>} */ const found = new Map(whole.languages.map((l) => [l.language, l]));
        for (let at = 0; at < languages.length; at += AT_ONCE) {
            const part = languagePremiums(this.#get(key), [...base, ...languages.slice(at, at + AT_ONCE).filter((l) => l.language !== reference)], { reference });
            for (const one of part.languages) found.set(one.language, one);
            whole.left.push(...part.left);
            event('progress', Math.min(1, (at + AT_ONCE) / languages.length));
            await breathe();
        }
        const all = languages.flatMap((l) => found.get(l.language) ?? []), ranked = all.filter((l) => l.counted && l.language !== reference).sort((a, b) => a.premium - b.premium);
        return { ...whole, languages: all, median: ranked.length ? medianOf(ranked.map((l) => l.premium)) : 0, most: ranked.at(-1) ?? null, least: ranked[0] ?? null };
    }
}

/** @param {string} word */
function checkWord(word) {
    const bytes = new TextEncoder().encode(word).length;
    if (bytes > LONGEST_WORD) throw new MicrotomeError(`a word of ${bytes} bytes is too long to draw: at most ${LONGEST_WORD}`, { code: 'ELIMIT' });
}

const scope = /** @type {any} */ (globalThis);
serve(scope, (handler) => { scope.onmessage = (/** @type {MessageEvent} */ event) => handler(event.data); }, new TokenizerEngine());
