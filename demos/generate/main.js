/**
 * The page: a prompt and a sampler in, a tree of texts out.
 */
import '../../web/elements/chart.js';
import '../../web/elements/export.js';
import '../../web/elements/model-picker.js';
import '../../web/elements/run-control.js';
import { toCsv } from '../../web/elements/export.js';
import { formatProbability, hexBytes } from '../../web/elements/format.js';
import { visibleText } from '../../web/elements/grid.js';
import { copyLink, readState, writeState } from '../kit/address.js';
import { latest } from '../kit/latest.js';
import { $, make, turn, words } from '../kit/page.js';
import { showBeside, showSums, showTree } from './branches.js';
import { ChainClient } from './chain_client.js';
import { ChainView } from './chain_view.js';
import { NEUTRAL } from './chain.js';
import { KNOBS, Knobs, settingOf } from './knobs.js';
import { Reader } from './reader.js';
import { COLOURINGS, TextView } from './text_view.js';
import { Tree } from './tree.js';

/**
 * @typedef {import('./tree.js').Node} Node
 * @typedef {import('./chain.js').Settings} Settings
 * @typedef {import('./chain.js').Ladder} Ladder
 * @typedef {import('../../web/elements/model-picker.js').ModelPicker} ModelPicker
 * @typedef {import('../../web/elements/run-control.js').RunControl} RunControl
 * @typedef {import('../../web/elements/chart.js').MtChart} MtChart
 * @typedef {import('../../web/elements/export.js').MtExport} MtExport
 * @typedef {import('../../web/elements/token-strip.js').StripToken} StripToken
 */

/** @type {{ label: string, text: string }[]} */
const PROMPTS = [
    { label: 'a tale', text: 'Once upon a time' },
    { label: 'a speech', text: '“My dear sir,” said' },
    { label: 'a list', text: 'He bought bread, cheese, ' },
    { label: 'from nothing', text: '' },
];
/** @type {{ label: string, settings: Partial<Settings> }[]} */
const SAMPLERS = [
    { label: 'everything', settings: {} },
    { label: 'greedy', settings: { temperature: 0 } },
    { label: 'cooler', settings: { temperature: 0.7 } },
    { label: 'top-k 40', settings: { topK: 40 } },
    { label: 'nucleus', settings: { temperature: 0.9, topP: 0.9 } },
    { label: 'typical', settings: { typicalP: 0.5 } },
    { label: 'hot, min-p', settings: { temperature: 1.6, minP: 0.1 } },
    { label: 'against loops', settings: { temperature: 0.7, topK: 40, repeatPenalty: 1.3 } },
];
const FIRST = SAMPLERS[4].settings;
const MOST_CONTEXT = 4096; // tokens that a session has room for without being asked for more
const LONGEST_LINK = 4000; // characters of a path in the address

const picker = /** @type {ModelPicker} */ ($('picker'));
const control = /** @type {RunControl} */ ($('run'));
const chart = /** @type {MtChart} */ ($('chart'));
const prompt = /** @type {HTMLTextAreaElement} */ ($('prompt'));
const stopBox = /** @type {HTMLTextAreaElement} */ ($('stop'));
const seedBox = /** @type {HTMLInputElement} */ ($('seed'));
const countBox = /** @type {HTMLInputElement} */ ($('count'));
const paceBox = /** @type {HTMLSelectElement} */ ($('pace'));
const byBox = /** @type {HTMLSelectElement} */ ($('by'));
const otherBox = /** @type {HTMLSelectElement} */ ($('other'));

/** @type {any} */ let model = null;
/** @type {Reader | null} */ let reader = null;
/** @type {ChainClient | null} */ let chain = null;
/** @type {number[]} the prompt's tokens */ let given = [];
let tree = new Tree();
/** The end of the text that is shown. @type {Node} */ let tip = tree.root;
/** A place of the text: what stands there, or, at its end, what comes next. */ let place = 0;
let seed = 1, count = 40;
/** @type {Node | null} */ let other = null;
/** @type {number[] | null} a link's tokens, until they are read */ let linked = null;

// ---- tokens as text ----------------------------------------------------------------------------------------------

/** @type {Map<number, StripToken>} */ let tokens = new Map();
/** @param {number} id @returns {StripToken} */
function tokenOf(id) {
    const known = tokens.get(id);
    if (known) return known;
    const token = model.tokenizer.token(id);
    tokens.set(id, token);
    return token;
}
const ofNode = (/** @type {Node} */ node) => tokenOf(/** @type {any} */ (node.taken).id);

/** A token alone: what is no whole text stands as bytes. @param {number} id */
function textOf(id) {
    const { bytes, kind, piece } = tokenOf(id);
    if (kind === 'special' || !bytes.length) return piece || `#${id}`;
    try {
        return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
        return `⟨${hexBytes(bytes)}⟩`;
    }
}

/** @param {number[]} ids */
const textOfAll = (ids) => new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(ids.flatMap((id) => (tokenOf(id).kind === 'special' ? [] : [...tokenOf(id).bytes]))));
const idsOf = (/** @type {Node[]} */ nodes) => nodes.map(({ taken }) => /** @type {any} */ (taken).id);
const textOfNodes = (/** @type {Node[]} */ nodes) => textOfAll(idsOf(nodes));

// ---- where a text ends -------------------------------------------------------------------------------------------

const limit = () => Math.min(model?.info.context || MOST_CONTEXT, MOST_CONTEXT);
const stops = () => stopBox.value.split('\n').map((line) => line.replace(/\\n/g, '\n').replace(/\\t/g, '\t')).filter(Boolean);

/** Why the text cannot go on from a node; null: it can. @param {Node} node @returns {{ short: string, long: string } | null} */
function ended(node) {
    if (node.taken && model.endTokens.includes(node.taken.id)) return { short: 'the text ends', long: 'The model ended the text.' };
    const nodes = tree.path(node), tail = nodes.slice(-64), text = textOfNodes(tail), before = textOfNodes(tail.slice(0, -1));
    for (const stop of stops()) {
        const at = text.lastIndexOf(stop);
        if (at >= 0 && at + stop.length > before.length) return { short: `stopped at ${visibleText(stop, 12)}`, long: `The text “${visibleText(stop, 24)}” stopped it.` };
    }
    if (given.length + node.depth >= limit())
        return { short: 'the context is full', long: `All ${limit().toLocaleString('en')} tokens are used: ${model.info.context && model.info.context <= MOST_CONTEXT ? 'the length that the model was trained for' : 'the most that this page keeps'}.` };
    return null;
}

// ---- showing -----------------------------------------------------------------------------------------------------

const text = new TextView($('given'), $('tokens'), (at) => {
    place = at;
    show();
});
const chainView = new ChainView(/** @type {any} */ ($('chain')), $('told'), (id) => void pick(id));

/** @param {unknown} [error] */
function tell(error) {
    $('problem').hidden = error === undefined;
    $('problem').textContent = error === undefined ? '' : words(error);
}

const knobs = new Knobs($('knobs'), $('penalties'), () => settingsChanged());

/** @param {Settings} a @param {Settings} b */
const same = (a, b) => KNOBS.every(({ key }) => a[key] === b[key]);

function settingsChanged() {
    for (const [i, button] of [...$('samplers').children].entries()) button.setAttribute('aria-pressed', String(same(knobs.values, { ...NEUTRAL, ...SAMPLERS[i].settings })));
    showFact(tree.path(tip), model ? ended(tip) : null);
    look();
    keep();
}

/** Everything that depends on the text. */
function show() {
    const nodes = tree.path(tip), end = model ? ended(tip) : null, colouring = COLOURINGS[byBox.value];
    text.show({ prompt: prompt.value, nodes, focus: place, end: end?.short ?? '?', token: ofNode, colouring });
    $('light').textContent = `${colouring.name}: ${colouring.ends[0]}`;
    $('dark').textContent = colouring.ends[1];
    $('ramp').className = `ramp ${colouring.hue}`;
    control.disabled = !model || !given.length;
    control.ended = !!end;
    control.text = model ? `${nodes.length} written, ${given.length + nodes.length} of ${limit().toLocaleString('en')} tokens${end ? `. ${end.long}` : ''}` : '';
    showFact(nodes, end);
    showBranches();
    look();
    keep();
}

/** @param {Node[]} nodes @param {{ long: string } | null} end */
function showFact(nodes, end) {
    const node = nodes[place], b = (/** @type {string} */ t) => make('b', {}, make('bdi', {}, visibleText(t, 24)));
    const off = (/** @type {string} */ id, /** @type {boolean} */ on) => (on ? $(id).setAttribute('aria-disabled', 'true') : $(id).removeAttribute('aria-disabled'));
    off('back', !node);
    off('again', !model || (!node && !!end));
    $('again').textContent = node ? 'Draw another here' : 'Draw one here';
    if (!model) return $('fact').replaceChildren('Open a model to begin.');
    if (!node) return $('fact').replaceChildren(end ? end.long : 'Nothing stands here yet: this is what the next token is drawn from.');
    const { taken, how } = node, { id, logProb, rank, share, entropy, left } = /** @type {import('./chain.js').Taken} */ (taken);
    const came = how === 'picked' ? 'picked by hand' : how === 'given' ? 'from a link' : `drawn from ${left.toLocaleString('en')} with seed ${node.seed}`;
    $('fact').replaceChildren(b(textOf(id)), `, token ${place + 1}, ${came}: the model gave it ${formatProbability(Math.exp(logProb), true)} (${(-logProb / Math.LN2).toFixed(2)} bits, rank ${rank.toLocaleString('en')}), the sampler ${formatProbability(share, true)}${node.settings && !same(node.settings, knobs.values) ? ', as it was set then' : ''}. Entropy ${entropy.toFixed(2)} bits.`);
}

let branchTimer = 0;
/** Lists and curves lag a little behind while it writes. */
function showBranches() {
    if (branchTimer) return;
    branchTimer = window.setTimeout(() => {
        branchTimer = 0;
        showTree($('tree'), { tree, tip, text: textOfNodes, go, remove });
        $('branches-none').hidden = !!tree.root.children.length;
        const leaves = tree.leaves().filter((leaf) => leaf !== tip && !tree.path(leaf).includes(tip));
        if (!other || !leaves.includes(other)) other = leaves[0] ?? null;
        $('compare').hidden = !other;
        otherBox.replaceChildren(...leaves.map((leaf, i) => {
            const path = tree.path(leaf);
            return make('option', { value: String(leaf.key), selected: leaf === other }, `${i + 1}: …${[...textOfNodes(path.slice(-12)).replace(/\s+/g, ' ')].slice(-32).join('')} (${path.length} tokens)`);
        }));
        if (other) showBeside($('beside'), { tree, one: tip, two: other, text: textOfNodes });
        showCurve();
    }, control.playing ? 400 : 30);
}

function showCurve() {
    const nodes = tree.path(tip);
    $('curve').hidden = !nodes.length;
    if (!nodes.length) return;
    showSums($('sums'), nodes);
    const line = (/** @type {Node[]} */ list, /** @type {(taken: import('./chain.js').Taken) => number} */ of) => list.map((node, i) => /** @type {[number, number]} */ ([i + 1, of(/** @type {any} */ (node.taken))]));
    const surprisal = (/** @type {import('./chain.js').Taken} */ { logProb }) => -logProb / Math.LN2;
    chart.plot = {
        type: 'line', title: 'Surprisal and entropy', x: 'token', y: 'bits',
        lines: [{ name: 'surprisal', points: line(nodes, surprisal) }, { name: 'entropy', points: line(nodes, ({ entropy }) => entropy) }, ...(other ? [{ name: 'surprisal of the other', points: line(tree.path(other), surprisal) }] : [])],
    };
}

/** The laws at the place that is chosen. */
const ask = latest(
    async (/** @type {{ path: number[], at: number, chosen: number | null, settings: Settings }} */ { path, chosen, settings }, signal) => {
        if (!reader || !chain) throw new DOMException('no model', 'AbortError');
        const slow = setTimeout(() => ($('place').dataset.stale = ''), 200);
        try {
            const logits = await reader.logits(path, signal);
            return await chain.ladder(logits, path, settings, { show: chosen === null ? [] : [chosen] });
        } finally {
            clearTimeout(slow);
        }
    },
    (/** @type {Ladder} */ ladder, { path, at, chosen, settings }) => {
        delete $('place').dataset.stale;
        $('place').dataset.place = String(at);
        chainView.show({ ladder, settings, text: textOf, chosen, here: `…${[...visibleText(textOfAll(path.slice(-8)))].slice(-28).join('')}` });
    },
    (error) => {
        if (!(error instanceof DOMException && error.name === 'AbortError')) tell(error);
    },
    $('place'),
);

function look() {
    if (!model || !given.length) return chainView.clear();
    const nodes = tree.path(tip), node = nodes[place];
    ask({ path: [...given, ...idsOf(nodes.slice(0, place))], at: place, chosen: node ? /** @type {any} */ (node.taken).id : null, settings: knobs.values });
}

// ---- the address -------------------------------------------------------------------------------------------------

function keep() {
    if (linked) return; // what the link says is not read yet
    const nodes = tree.path(tip), path = idsOf(nodes).map((id) => id.toString(36)).join('.');
    writeState({
        prompt: prompt.value.length <= LONGEST_LINK ? prompt.value : null,
        ...Object.fromEntries(KNOBS.map(({ key, letter }) => [letter, knobs.values[key] === NEUTRAL[key] ? null : knobs.values[key]])),
        sampler: same(knobs.values, NEUTRAL) ? 'none' : null,
        seed, stop: stopBox.value, count: count === 40 ? null : count, by: byBox.value === 'probability' ? null : byBox.value,
        path: path.length <= LONGEST_LINK ? path : null, at: place === nodes.length ? null : place,
        empty: prompt.value ? null : 1,
    });
}

function restore() {
    const state = readState();
    const settings = Object.fromEntries(KNOBS.flatMap((knob) => {
        const value = settingOf(knob, state.get(knob.letter) ?? '');
        return Number.isNaN(value) ? [] : [[knob.key, value]];
    }));
    knobs.write(Object.keys(settings).length || state.get('sampler') === 'none' ? settings : FIRST);
    /** @type {HTMLDetailsElement} */ ($('penalties-fold')).open = ['r', 'f', 'a'].some((letter) => state.has(letter));
    prompt.value = state.get('prompt') ?? (state.has('empty') ? '' : PROMPTS[0].text);
    stopBox.value = state.get('stop') ?? '';
    byBox.value = Object.hasOwn(COLOURINGS, state.get('by') ?? '') ? /** @type {string} */ (state.get('by')) : 'probability';
    setSeed(whole(state.get('seed') ?? '', 0, Number.MAX_SAFE_INTEGER) ?? 1);
    setCount(whole(state.get('count') ?? '', 1, MOST_CONTEXT) ?? 40);
    const path = state.get('path');
    linked = path ? path.split('.').map((id) => parseInt(id, 36)) : null;
    linkedPlace = whole(state.get('at') ?? '', 0, MOST_CONTEXT);
}
/** @type {number | null} */ let linkedPlace = null;

/** @param {string} text @param {number} least @param {number} most @returns {number | null} */
function whole(text, least, most) {
    const value = text.trim() === '' ? NaN : Number(text);
    return Number.isSafeInteger(value) && value >= least && value <= most ? value : null;
}

// ---- writing -----------------------------------------------------------------------------------------------------

let stopper = new AbortController();
/** @type {Promise<void>} */ let current = Promise.resolve();

/** One thing at a time: what is under way is stopped. @param {(signal: AbortSignal) => Promise<void>} body */
function work(body) {
    stopper.abort();
    stopper = new AbortController();
    const { signal } = stopper;
    current = current.then(async () => {
        try {
            signal.throwIfAborted();
            tell();
            await body(signal);
        } catch (error) {
            if (!(error instanceof DOMException && error.name === 'AbortError')) tell(error);
        } finally {
            if (stopper.signal === signal) control.playing = false;
            show();
        }
    });
    return current;
}

/** @param {number} ms @param {AbortSignal} signal @returns {Promise<void>} */
const sleep = (ms, signal) => new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const stop = () => {
        clearTimeout(timer);
        reject(signal.reason);
    };
    const timer = setTimeout(() => {
        signal.removeEventListener('abort', stop);
        resolve();
    }, ms);
    signal.addEventListener('abort', stop, { once: true });
});

/** One token more after a node. @param {Node} parent @param {{ id: number } | { seed: number }} what @param {import('./tree.js').How} how @param {AbortSignal} signal */
async function write(parent, what, how, signal) {
    if (!reader || !chain) throw new DOMException('no model', 'AbortError');
    const path = [...given, ...idsOf(tree.path(parent))];
    const settings = knobs.values, logits = await reader.logits(path, signal);
    const taken = await chain.take(logits, path, settings, 'id' in what ? what : { seed: what.seed, depth: parent.depth });
    signal.throwIfAborted();
    return tree.add(parent, taken, how, 'seed' in what ? what.seed : seed, settings);
}

/** @param {Node} node */
function stand(node) {
    tip = node;
    place = node.depth;
}

/** Writes on from the end of the text. @param {number} most */
function play(most) {
    return work(async (signal) => {
        if (most > 1) control.playing = true;
        place = tip.depth;
        for (let written = 0; written < most && !ended(tip); ) {
            const began = performance.now(), perSecond = Number(paceBox.value);
            stand(await write(tip, { seed }, 'drawn', signal));
            control.max = most > 1 ? most : 0;
            control.value = ++written;
            show();
            const rest = perSecond && most > 1 ? 1000 / perSecond - (performance.now() - began) : 0;
            if (written < most) await sleep(Math.max(0, rest), signal);
        }
    });
}

/** Writes a given token at the place. @param {number} id */
function pick(id) {
    return work(async (signal) => {
        const parent = tree.path(tip)[place - 1] ?? tree.root;
        if (place === tip.depth && ended(tip)) return;
        const node = await write(parent, { id }, 'picked', signal);
        stand(tree.path(tip).includes(node) ? tip : tree.end(node));
        place = node.depth;
    });
}

/** Another draw at the place, with seeds that follow until it is another token. */
function again() {
    return work(async (signal) => {
        const nodes = tree.path(tip), parent = nodes[place - 1] ?? tree.root, here = nodes[place]?.taken?.id;
        if (ended(parent)) return;
        for (let tries = 0; tries < 100; tries++) {
            if (here !== undefined || tries) setSeed(seed + 1);
            const node = await write(parent, { seed }, 'drawn', signal);
            if (node.taken?.id === here) {
                if (node.taken?.left === 1) break;
                continue;
            }
            stand(node);
            place = here === undefined ? node.depth : node.depth - 1;
            return;
        }
        throw new Error('No other token was drawn: the sampler leaves nothing else here, or next to nothing. Press the name of one, or loosen the sampler.');
    });
}

/** @param {Node} node */
function go(node) {
    stopper.abort();
    stand(node);
    show();
}

/** @param {Node} leaf */
function remove(leaf) {
    void work(async () => {
        const gone = tree.path(tip).includes(leaf), left = tree.remove(leaf);
        if (gone || !tree.nodes().includes(tip)) stand(left);
    });
}

/** @param {HTMLInputElement} box @param {string} [why] what is wrong with it */
function refuse(box, why = '') {
    $(`${box.id}-wrong`).textContent = why;
    if (why) box.setAttribute('aria-invalid', 'true');
    else box.removeAttribute('aria-invalid');
}

/** @param {number} to */
function setSeed(to) {
    seed = to;
    seedBox.value = String(to);
    refuse(seedBox);
}

/** @param {number} to */
function setCount(to) {
    count = to;
    countBox.value = String(to);
    refuse(countBox);
}

// ---- prompt and model --------------------------------------------------------------------------------------------

/** The prompt's tokens: as Model.generate reads it. */
function encode() {
    const { tokenizer } = model, ids = Array.from(tokenizer.encode(prompt.value, { addSpecialTokens: true, offsets: false }).ids);
    return ids.length ? ids : [tokenizer.bos ?? tokenizer.eos ?? 0];
}

/** Another prompt, or another model: the tree begins anew. */
function begin() {
    for (const button of $('prompts').querySelectorAll('button')) button.setAttribute('aria-pressed', String(button.dataset.text === prompt.value));
    tree = new Tree();
    stand(tree.root);
    control.max = 0;
    other = null;
    void work(async (signal) => {
        given = [];
        if (!model) return;
        if (model.info.bidirectional || model.info.encoderLayers) throw new Error(`A model of the kind “${model.info.architecture}” does not write from left to right: open one that does.`);
        await turn(); // a model has just been opened, or a key pressed; and its tokenizer may have to be made
        signal.throwIfAborted();
        const ids = encode();
        if (ids.length > limit()) throw new Error(`The prompt has ${ids.length.toLocaleString('en')} tokens; the most is ${limit().toLocaleString('en')}.`);
        given = ids;
        const path = linked, at = linkedPlace;
        if (path) {
            try {
                await readLinked(path, signal);
                if (at !== null && at <= tip.depth) place = at;
            } finally {
                if (linked === path) linked = null;
            }
        }
    });
    show();
}

/** The tokens of a link: read again, so that all numbers are there. @param {number[]} path @param {AbortSignal} signal */
async function readLinked(path, signal) {
    const { vocab } = model.info;
    for (const id of path) {
        if (!(id >= 0 && id < vocab)) throw new Error(`The link’s text was written by another model: there is no token ${id} among ${vocab}.`);
        if (ended(tip)) break;
        stand(await write(tip, { id }, 'given', signal));
        show();
    }
}

/** @param {any} opened */
async function useModel(opened) {
    const old = model, oldReader = reader;
    stopper.abort();
    chain ??= new ChainClient();
    tokens = new Map();
    tree = new Tree();
    stand(tree.root);
    given = []; // the other model's
    model = opened;
    reader = new Reader(opened);
    begin();
    await oldReader?.dispose().catch(() => {});
    await old?.dispose();
}

// ---- files -------------------------------------------------------------------------------------------------------

/** All branches, as an object of plain values. */
function exported() {
    const { name, architecture, parameters, vocab } = model.info;
    /** Those that tokens came with; a token names its own by its place. @type {Settings[]} */ const settings = [];
    const placeOf = (/** @type {Settings | null} */ one) => {
        if (!one) return null;
        const at = settings.findIndex((other) => same(other, one));
        return at < 0 ? settings.push(one) - 1 : at;
    };
    const nodes = tree.nodes().map(({ key, parent, taken, how, seed: drawnWith, settings: then }) => {
        const { id, logProb, rank, share, entropy, left } = /** @type {import('./chain.js').Taken} */ (taken);
        return { key, parent: parent?.key ?? 0, id, text: textOf(id), logProb, rank, probabilityAfterSampler: share, entropyBits: entropy, tokensLeft: left, how, ...(how === 'drawn' && { seed: drawnWith }), settings: placeOf(then) };
    });
    return {
        format: 'microtome-tree', version: 1, model: { name, file: model.file, architecture, parameters, vocab },
        prompt: { text: prompt.value, ids: given }, stop: stops(), shown: tip.key, settings, nodes,
    };
}

/** @type {MtExport} */ ($('keep')).formats = {
    JSON: () => {
        if (!model) throw new Error('no model is open');
        return JSON.stringify(exported(), null, 1);
    },
    CSV: () => toCsv(['place', 'id', 'token', 'probability', 'ln p', 'bits', 'rank', 'after the sampler', 'entropy in bits', 'tokens left', 'how', 'seed'], tree.path(tip).map(({ taken, how, seed: drawnWith }, i) => {
        const { id, logProb, rank, share, entropy, left } = /** @type {import('./chain.js').Taken} */ (taken);
        return [i + 1, id, textOf(id), Math.exp(logProb), logProb, -logProb / Math.LN2, rank, share, entropy, left, how, how === 'drawn' ? drawnWith : ''];
    })),
    TXT: () => prompt.value + textOfNodes(tree.path(tip)),
};

// ---- start -------------------------------------------------------------------------------------------------------

/** A button of a list of choices. @param {string} label @param {() => void} pressed */
const pill = (label, pressed) => {
    const button = make('button', { type: 'button', ariaPressed: 'false' }, label);
    button.addEventListener('click', pressed);
    return button;
};
$('prompts').append(...PROMPTS.map(({ label, text: words }) => {
    const button = pill(label, () => {
        prompt.value = words;
        begin();
    });
    button.dataset.text = words;
    return button;
}));
$('samplers').append(...SAMPLERS.map(({ label, settings }) => pill(label, () => {
    knobs.write(settings);
    if (settings.repeatPenalty) /** @type {HTMLDetailsElement} */ ($('penalties-fold')).open = true;
    settingsChanged();
})));
byBox.append(...Object.entries(COLOURINGS).map(([value, { name }]) => make('option', { value }, name)));

let typing = 0;
prompt.addEventListener('input', () => {
    clearTimeout(typing);
    typing = window.setTimeout(begin, 250);
});
stopBox.addEventListener('input', show);
byBox.addEventListener('change', show);
otherBox.addEventListener('change', () => {
    other = tree.leaves().find(({ key }) => String(key) === otherBox.value) ?? null;
    showBranches();
});
seedBox.addEventListener('change', () => {
    const value = whole(seedBox.value, 0, Number.MAX_SAFE_INTEGER);
    if (value !== null) setSeed(value);
    else refuse(seedBox, 'A whole number from 0 on is needed.');
    keep();
});
countBox.addEventListener('change', () => {
    const value = whole(countBox.value, 1, MOST_CONTEXT);
    if (value !== null) setCount(value);
    else refuse(countBox, `A whole number from 1 to ${MOST_CONTEXT.toLocaleString('en')} is needed.`);
    keep();
});
$('new-seed').addEventListener('click', () => {
    setSeed(Math.floor(Math.random() * 1e6));
    keep();
});
for (const [name, many, boxes] of /** @type {[string, () => number, string][]} */ ([['mt-play', () => count, '.sampler, .pace'], ['mt-step', () => 1, '.sampler']]))
    control.addEventListener(name, (event) => {
        const wrong = /** @type {HTMLElement | null} */ (document.querySelector(`:is(${boxes}) [aria-invalid]`)), fold = wrong?.closest('details');
        if (!wrong) return void play(many());
        event.preventDefault(); // nothing is drawn by numbers that the page does not show
        if (fold) fold.open = true;
        wrong.focus();
    });
control.addEventListener('mt-pause', () => stopper.abort());
control.addEventListener('mt-reset', () => begin());
$('back').addEventListener('click', () => {
    const node = tree.path(tip)[place];
    if (!node) return;
    stopper.abort();
    stand(node.parent ?? tree.root);
    show();
});
$('again').addEventListener('click', () => $('again').getAttribute('aria-disabled') === 'true' || void again());
copyLink($('copy'), $('status'), keep);
picker.addEventListener('mt-model', (event) => void useModel(/** @type {CustomEvent} */ (event).detail.model));
window.addEventListener('hashchange', () => {
    restore();
    settingsChanged();
    begin();
});
restore();
settingsChanged();
begin();
void picker.load(picker.src, picker.bundledName);
