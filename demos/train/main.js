/**
 * The page: a text, a method, a size; what comes of it, and several results beside each other. Training runs in one
 * worker; what has been trained is encoded with in another one, so that a long training keeps nobody waiting.
 */
import '../../web/elements/chart.js';
import '../../web/elements/token-strip.js';
import '../../web/elements/export.js';
import { toCsv } from '../../web/elements/export.js';
import { visible } from '../../web/elements/format.js';
import { TEXTS } from '../../web/lab/texts.js';
import { WorkerClient } from '../../web/runtime/client.js';
import { wholeFile } from '../../web/runtime/gzip.js';
import { toSource } from '../../web/runtime/source.js';
import { copyLink, readState, writeState } from '../kit/address.js';
import { onDrop } from '../kit/drop.js';
import { leave } from '../kit/handover.js';
import { $, make, words } from '../kit/page.js';
import { openWorker } from '../tokenizers/client.js';
import { short } from '../tokenizers/names.js';
import { Panel } from '../tokenizers/panel.js';
import { KINDS, NORMALIZERS, SPLITTERS } from './kinds.js';

/**
 * @typedef {import('./worker.js').Rung} Rung
 * @typedef {import('./worker.js').Result} Result
 * @typedef {import('./worker.js').Word} Word
 * @typedef {import('./kinds.js').Kind} Kind
 * @typedef {{ name: string, key: string, kind: Kind, rungs: Rung[], result: Result | null, panel: Panel | null }} Run
 */

/** What a press of a preset trains, one after the other. @type {{ label: string, runs: [kind: string, size: number][] }[]} */
const PRESETS = [
    { label: 'BPE, 2,000 tokens', runs: [['bpe', 2000]] },
    { label: 'three methods, one size', runs: [['bpe', 2000], ['unigram', 2000], ['pathpiece', 2000]] },
    { label: 'BPE, and picky', runs: [['bpe', 3000], ['picky-bpe', 3000]] },
    { label: 'as SentencePiece does', runs: [['sentencepiece-bpe', 2000], ['sentencepiece-unigram', 2000]] },
    { label: 'far too large', runs: [['bpe', 8000]] },
];
const SAMPLE = 'Tokenizers learn the pieces that a text is made of.';
const COMPARED = 'The unreadable handwriting of an absent-minded tokenizer costs 1,234 tokens.';
const [SMALLEST, LARGEST] = [260, 100_000];
const NEWEST = 36; // tokens shown as new at a size
const ROWS = 100; // of the vocabulary at once
const PATIENCE_MS = 1500; // a training that does not stop by itself is ended with its worker

const select = (/** @type {string} */ id) => /** @type {HTMLSelectElement} */ ($(id)), box = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ ($(id));
const chart = /** @type {import('../../web/elements/chart.js').MtChart} */ ($('curve')), strip = /** @type {import('../../web/elements/token-strip.js').TokenStrip} */ ($('strip'));
const kind = select('kind'), size = box('size'), range = box('size-range'), own = /** @type {HTMLTextAreaElement} */ ($('own')), sample = /** @type {HTMLTextAreaElement} */ ($('sample')), compare = /** @type {HTMLTextAreaElement} */ ($('compare'));

const encoder = openWorker();
/** @type {WorkerClient | null} */ let trainer = null;
/** @type {Run[]} */ const runs = [];
/** @type {Run | null} the training under way */ let running = null;
/** @type {AbortController | null} */ let controller = null;
/** @type {File[]} */ let files = [];
let made = 0;

/** @param {string} id @param {unknown} [error] */
function problem(id, error) {
    const text = error === undefined || error === null ? '' : words(error);
    $(id).hidden = !text;
    $(id).textContent = text;
}

// ---- the form ----------------------------------------------------------------------------------------------------

const chosen = () => /** @type {Kind} */ (KINDS.find((k) => k.kind === kind.value) ?? KINDS[0]);
const source = () => /** @type {HTMLInputElement | null} */ (document.querySelector('input[name=source]:checked'))?.value ?? 'prose';
const toRange = (/** @type {number} */ n) => Math.round((100 * Math.log(n / SMALLEST)) / Math.log(LARGEST / SMALLEST));
/** Two digits, as people choose sizes. @param {number} x 0 to 100 */
const fromRange = (x) => {
    const n = SMALLEST * (LARGEST / SMALLEST) ** (x / 100), digits = 10 ** Math.max(0, Math.floor(Math.log10(n)) - 1);
    return Math.max(SMALLEST, Math.min(LARGEST, Math.round(n / digits) * digits));
};
const sizeNow = () => (Number.isInteger(size.valueAsNumber) && size.valueAsNumber >= SMALLEST && size.valueAsNumber <= LARGEST ? size.valueAsNumber : null);

function showForm() {
    const { about, splits, normalizes, frequency } = chosen();
    $('kind-about').textContent = about;
    for (const [id, applies] of /** @type {[string, boolean][]} */ ([['splitter', splits], ['normalizer', normalizes], ['frequency', frequency]])) box(id).disabled = !applies;
    $('own-part').hidden = source() !== 'own';
    $('files-part').hidden = source() !== 'files';
    const bytes = source() === 'own' ? new Blob([own.value]).size : files.reduce((n, f) => n + f.size, 0);
    $('text-size').textContent = source() === 'prose' ? '' : source() === 'own' ? `${bytes.toLocaleString('en')} bytes` : files.length ? `${files.map((f) => f.name).slice(0, 5).join(', ')}${files.length > 5 ? ' …' : ''}: ${bytes.toLocaleString('en')} bytes` : 'No file is chosen.';
    problem('size-wrong', sizeNow() === null ? `The vocabulary is a whole number from ${SMALLEST} to ${LARGEST.toLocaleString('en')}.` : undefined);
    const n = sizeNow();
    if (n !== null && document.activeElement !== range) range.value = String(toRange(n));
    writeState({
        kind: kind.value, size: size.value, splitter: select('splitter').value, normalizer: select('normalizer').value, frequency: box('frequency').value === '0' ? null : box('frequency').value,
        sample: sample.value === SAMPLE ? null : sample.value.slice(0, 500), compare: compare.value === COMPARED ? null : compare.value.slice(0, 500),
    });
}

/** @returns {Promise<{ texts: Blob[], name: string }>} */
async function textsToLearn() {
    if (source() === 'own') {
        if (!own.value.trim()) throw new Error('Your text is empty: paste one, or choose another source.');
        return { texts: [new Blob([own.value])], name: 'my text' };
    }
    if (source() === 'files') {
        if (!files.length) throw new Error('No file is chosen yet.');
        const unpacked = await Promise.all(files.map(async (f) => (/\.gz$/i.test(f.name) ? new Blob([/** @type {BlobPart} */ (await wholeFile(toSource(f)))]) : f)));
        return { texts: unpacked, name: files[0].name };
    }
    return { texts: [new Blob([/** @type {BlobPart} */ (await wholeFile(toSource(TEXTS.prose.url())))])], name: 'guides' };
}

/** @returns {import('../../web/train/options.js').TrainOptions} */
function options() {
    const { kind: of, splits, normalizes, frequency, more = {} } = chosen();
    const splitter = select('splitter').value, normalizer = select('normalizer').value, least = box('frequency').valueAsNumber;
    return /** @type {any} */ ({
        kind: of, vocabSize: sizeNow(), ...more,
        ...(splits && splitter && { preTokenizer: splitter }), ...(normalizes && normalizer && { normalizer }), ...(frequency && least > 0 && { minFrequency: Math.floor(least) }),
    });
}

// ---- training ----------------------------------------------------------------------------------------------------

/** @returns {Promise<boolean>} has it been trained? */
async function train() {
    problem('problem');
    if (sizeNow() === null) {
        size.focus();
        return false;
    }
    const wanted = options(), of = chosen(), key = source() === 'prose' ? JSON.stringify([wanted, sample.value]) : '';
    const same = runs.findIndex((r) => key && r.key === key);
    if (same >= 0) {
        $('where').textContent = `${runs[same].name} is here already.`;
        listRuns(String(same));
        return true;
    }
    /** @type {Run} */ const run = (running = { name: '', key, kind: of, rungs: [], result: null, panel: null });
    const stop = (controller = new AbortController());
    $('go').textContent = 'Cancel';
    box('progress').removeAttribute('value');
    $('where').textContent = 'Reading the text.';
    try {
        const { texts, name } = await textsToLearn();
        run.name = `${of.name} ${Number(wanted.vocabSize).toLocaleString('en')}, ${name}${runs.some((r) => r.kind === of) ? ` (${made + 1})` : ''}`;
        trainer ??= new WorkerClient(new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'trainer' }));
        run.result = await trainer.call('train', { texts, options: wanted, sample: sample.value }, { signal: stop.signal, onEvent: (event, value) => running === run && heard(run, event, value) });
        made++;
        runs.push(run);
        const { seen, seconds } = /** @type {Result} */ (run.result);
        $('where').textContent = `Done in ${short(seconds)} s: ${run.result?.words.length.toLocaleString('en')} tokens from ${seen.distinctWords.toLocaleString('en')} distinct words (${seen.words.toLocaleString('en')} in all)${seen.skipped ? `; ${seen.skipped} texts were too long and left out` : ''}.`;
        box('progress').value = '1';
        await keep(run);
    } catch (error) {
        box('progress').value = '0';
        if (stop.signal.aborted) $('where').textContent = 'The training was cancelled.';
        else {
            $('where').textContent = 'The training failed.';
            problem('problem', error);
        }
        if (!(trainer && error instanceof Error && /** @type {any} */ (error).code !== 'EWORKER')) trainer = null; // a worker that died
    } finally {
        if (running === run) running = null;
        controller = null;
        $('go').textContent = 'Train';
        drawCurve();
        listRuns(run.result ? String(runs.length - 1) : undefined);
    }
    return run.result !== null;
}

function cancel() {
    const stop = controller, busy = trainer;
    if (!stop || !busy) return void stop?.abort();
    stop.abort(new DOMException('cancelled', 'AbortError'));
    $('where').textContent = 'Stopping.';
    setTimeout(() => {
        if (controller !== stop) return;
        trainer = null;
        void busy.terminate();
    }, PATIENCE_MS);
}

/** @param {Run} run @param {string} event @param {any} value */
function heard(run, event, value) {
    if (event === 'progress') {
        const { phase, done, total } = value;
        $('where').textContent = phase === 'read' ? `Counting words: ${done.toLocaleString('en')} lines are read.` : `Training${run.rungs.length ? `; ${run.rungs.length} sizes are done, the last ${run.rungs.at(-1)?.size.toLocaleString('en')}` : ''}.`;
        if (total) box('progress').value = String(done / total);
        return;
    }
    run.rungs.push(/** @type {Rung} */ (value));
    frame ||= requestAnimationFrame(drawRungs); // small vocabularies come faster than pictures
}

let frame = 0;
function drawRungs() {
    frame = 0;
    if (!running) return; // the end has drawn them
    drawCurve();
    if (select('rung-of').value === 'now') showRung(true);
    else listRuns('now');
    $('vocabulary-note').textContent = `Training: ${running.rungs.at(-1)?.size.toLocaleString('en')} tokens so far.`;
}

// ---- what is on show ---------------------------------------------------------------------------------------------

const shownRuns = () => (running?.rungs.length && !runs.includes(running) ? [...runs, running] : runs);

function drawCurve() {
    chart.plot = {
        type: 'line', title: 'Tokens per byte of the training text', x: 'vocabulary size (logarithmic)', y: 'tokens per byte', logX: true,
        lines: shownRuns().map((run) => ({ name: run.name, points: run.rungs.map((rung) => /** @type {[number, number]} */ ([rung.size, rung.tokensPerByte])) })),
    };
}

/** @param {string} [chosenRun] */
function listRuns(chosenRun) {
    for (const id of ['rung-of', 'vocabulary-of']) {
        const list = select(id), before = chosenRun ?? (list.value === 'now' ? String(runs.length - 1) : list.value);
        const items = runs.map((run, i) => make('option', { value: String(i) }, run.name));
        if (id === 'rung-of' && running && !runs.includes(running)) items.push(make('option', { value: 'now' }, 'the one in training'));
        list.replaceChildren(...items);
        list.value = before;
        if (list.selectedIndex < 0) list.selectedIndex = items.length - 1;
    }
    showRung(true);
    if (!running) drawWords();
    drawRuns();
}

const rungRun = () => (select('rung-of').value === 'now' ? running : runs[Number(select('rung-of').value)] ?? null);

/** @param {boolean} [last] go to the largest size */
function showRung(last = false) {
    const run = rungRun(), bar = box('rung'), rungs = run?.rungs ?? [];
    bar.max = String(Math.max(0, rungs.length - 1));
    if (last) bar.value = bar.max;
    const rung = rungs[Number(bar.value)];
    $('rung-size').textContent = rung ? rung.size.toLocaleString('en') : '–';
    bar.setAttribute('aria-valuetext', rung ? `${rung.size} tokens in the vocabulary, ${rung.sample.length} in the sentence` : 'nothing yet');
    strip.tokens = rung?.sample ?? [];
    $('newest-title').textContent = rung ? `New at size ${rung.size.toLocaleString('en')}` : 'New at this size';
    const merged = (rung?.merges ?? []).slice(-NEWEST).reverse().map(([left, right]) => make('li', {}, make('bdi', {}, visible(left), make('span', { className: 'plus' }, ' + '), visible(right))));
    const joined = (rung?.added ?? []).slice(-NEWEST).reverse().map((token) => make('li', {}, make('bdi', {}, visible(token))));
    $('newest').replaceChildren(...merged, ...joined);
}

/** @type {Word[]} the vocabulary on show, found and ordered */ let found = [];
let page = 0;
const ORDERS = /** @type {Record<string, (a: Word, b: Word) => number>} */ ({
    newest: (a, b) => b.id - a.id, id: (a, b) => a.id - b.id, count: (a, b) => b.count - a.count || a.id - b.id, length: (a, b) => b.length - a.length || a.id - b.id, unused: (a, b) => a.count - b.count || b.id - a.id,
    score: (a, b) => (Number.isNaN(b.score) ? 0 : b.score) - (Number.isNaN(a.score) ? 0 : a.score) || a.id - b.id,
});

function drawWords() {
    const result = runs[Number(select('vocabulary-of').value)]?.result;
    if (!result) {
        $('words').replaceChildren();
        $('words-place').textContent = '';
        $('vocabulary-note').textContent = 'Train a tokenizer to see its vocabulary.';
        found = [];
        return;
    }
    const needle = box('find').value, all = result.words;
    found = all.filter(({ name, piece }) => name.includes(needle) || piece.includes(needle)).sort(ORDERS[select('order').value] ?? ORDERS.id);
    page = Math.max(0, Math.min(page, Math.ceil(found.length / ROWS) - 1));
    const unused = all.filter((w) => w.count === 0 && w.kind === 'normal').length, longest = all.reduce((a, b) => (b.kind === 'normal' && b.length > a.length ? b : a), all[0]);
    $('vocabulary-note').textContent = `${all.length.toLocaleString('en')} tokens${needle ? `, ${found.length.toLocaleString('en')} with ‘${needle}’` : ''}; ${unused.toLocaleString('en')} never used in the training text; the longest has ${longest?.length ?? 0} bytes: ‘${visible(longest?.name ?? '')}’.`;
    const from = page * ROWS, rows = found.slice(from, from + ROWS);
    $('words').replaceChildren(...rows.map((w) => make('tr', {}, make('th', { scope: 'row' }, make('bdi', {}, visible(w.name))), make('td', {}, String(w.id)), make('td', {}, make('bdi', {}, visible(w.from).replaceAll('␣+␣', ' + '))), make('td', {}, w.kind === 'special' ? '' : String(w.length)), make('td', {}, w.count.toLocaleString('en')), make('td', {}, Number.isNaN(w.score) ? '' : w.score.toFixed(3)))));
    $('words-place').textContent = found.length ? `${(from + 1).toLocaleString('en')} to ${(from + rows.length).toLocaleString('en')} of ${found.length.toLocaleString('en')}` : 'nothing found';
    $('fewer').setAttribute('aria-disabled', String(page === 0));
    $('more').setAttribute('aria-disabled', String(from + ROWS >= found.length));
}
/** @type {any} */ ($('keep-words')).formats = {
    CSV: () => toCsv(['id', 'token', 'piece', 'kind', 'bytes', 'count', 'score', 'merged of'], found.map((w) => [w.id, w.name, w.piece, w.kind, w.length, w.count, Number.isNaN(w.score) ? '' : w.score, w.from])),
    JSON: () => JSON.stringify(found.map((w) => ({ ...w, score: Number.isNaN(w.score) ? null : w.score }))),
};

// ---- several of them ---------------------------------------------------------------------------------------------

/** A finished run as a file, a row and a strip. @param {Run} run */
async function keep(run) {
    const { tokenizerJson, sentencePieceModel, binary } = /** @type {Result} */ (run.result);
    const stem = run.name.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-|-$/g, '');
    const json = tokenizerJson === null ? null : new File([tokenizerJson], `${stem}.json`, { type: 'application/json' });
    const model = sentencePieceModel && new File([/** @type {BlobPart} */ (sentencePieceModel)], `${stem}.model`);
    const file = model ?? json ?? new File([/** @type {BlobPart} */ (binary)], `${stem}.mtok`);
    const files = /** @type {any} */ (document.createElement('mt-export'));
    files.setAttribute('name', stem);
    files.setAttribute('label', run.name);
    files.formats = { ...(json && { JSON: () => json }), ...(model && { MODEL: () => model }), MTOK: () => new Blob([/** @type {BlobPart} */ (binary)]) };
    const open = make('button', { type: 'button', className: 'quiet' }, 'Open with others');
    open.addEventListener('click', async () => {
        try {
            await leave(file);
            const link = make('a', { href: `../tokenizers/#open=${encodeURIComponent(file.name)}` });
            document.body.append(link);
            link.click();
            link.remove();
        } catch (error) {
            problem('problem', `The browser keeps no files for other pages here (${words(error)}): save the file and open it there.`);
        }
    });
    run.panel = new Panel({ key: `run-${made}`, name: run.name, about: 'trained here', source: { file }, own: true, file: file.name }, encoder, { changed: drawRuns, pointed, leave: () => forget(run) });
    run.panel.addTools(files, open);
    $('panels').append(run.panel.element);
    if (await run.panel.open()) run.panel.ask(question());
}

/** @param {Run} run */
function forget(run) {
    run.panel?.close();
    runs.splice(runs.indexOf(run), 1);
    drawCurve();
    listRuns();
    $('go').focus();
}

/** @returns {import('../tokenizers/panel.js').Question} */
const question = () => ({ text: compare.value, how: { special: 'text', template: false } });

/** @param {Panel} from @param {number} index */
function pointed(from, index) {
    const span = from.span(index);
    for (const { panel } of runs) if (panel && panel !== from) panel.mark(span);
}

const figures = (/** @type {Run} */ run) => ({ name: run.name, kind: run.kind.kind, tokens: run.result?.words.length ?? 0, bytesPerToken: 1 / (run.rungs.at(-1)?.tokensPerByte ?? NaN), unknown: run.rungs.at(-1)?.unknown ?? 0, efficiency: run.result?.efficiency ?? NaN, seconds: run.result?.seconds ?? NaN });

function drawRuns() {
    $('runs').replaceChildren(...runs.map((run) => {
        const { name, tokens, bytesPerToken, unknown, efficiency, seconds } = figures(run);
        return make('tr', {}, make('th', { scope: 'row' }, make('bdi', {}, name)), make('td', {}, tokens.toLocaleString('en')), make('td', {}, short(bytesPerToken)), make('td', {}, `${(100 * unknown).toFixed(unknown ? 2 : 0)}%`), make('td', {}, efficiency.toFixed(3)), make('td', {}, short(seconds)),
            make('td', {}, run.panel?.shown ? run.panel.shown.count.toLocaleString('en') : ''));
    }));
}
/** @type {any} */ ($('keep-runs')).formats = {
    CSV: () => toCsv(['tokenizer', 'kind', 'vocabulary', 'bytes per token', 'unknown', 'efficiency', 'seconds', 'tokens of the text below'], runs.map((run) => [...Object.values(figures(run)), run.panel?.shown?.count ?? ''])),
    JSON: () => JSON.stringify({ text: compare.value, runs: runs.map((run) => ({ ...figures(run), curve: run.rungs.map(({ size: n, tokensPerByte }) => [n, tokensPerByte]), count: run.panel?.shown?.count ?? null })) }, null, 1),
};

// ---- wiring ------------------------------------------------------------------------------------------------------

kind.replaceChildren(...KINDS.map((k) => make('option', { value: k.kind }, k.name)));
for (const [id, list] of /** @type {[string, [string, string][]][]} */ ([['splitter', SPLITTERS], ['normalizer', NORMALIZERS]])) select(id).replaceChildren(...list.map(([value, name]) => make('option', { value }, name)));

const state = readState();
/** @param {HTMLSelectElement} list @param {string | null} value */
const choose = (list, value) => { if (value !== null && [...list.options].some((o) => o.value === value)) list.value = value; };
choose(kind, state.get('kind'));
choose(select('splitter'), state.get('splitter'));
choose(select('normalizer'), state.get('normalizer'));
if (state.get('size')) size.value = String(state.get('size'));
if (state.get('frequency')) box('frequency').value = String(state.get('frequency'));
sample.value = state.get('sample') ?? SAMPLE;
compare.value = state.get('compare') ?? COMPARED;

$('go').addEventListener('click', () => (running ? cancel() : void train()));
for (const id of ['kind', 'splitter', 'normalizer', 'frequency', 'size', 'own', 'sample']) $(id).addEventListener('input', showForm);
for (const radio of document.querySelectorAll('input[name=source]')) radio.addEventListener('change', showForm);
range.addEventListener('input', () => {
    size.value = String(fromRange(range.valueAsNumber));
    showForm();
});
compare.addEventListener('input', () => {
    for (const { panel } of runs) panel?.ask(question());
    showForm();
});
box('files').addEventListener('change', () => {
    files = [...(box('files').files ?? [])];
    showForm();
});
box('rung').addEventListener('input', () => showRung());
select('rung-of').addEventListener('change', () => showRung(true));
for (const id of ['find', 'order', 'vocabulary-of']) $(id).addEventListener('input', () => { page = 0; drawWords(); });
$('fewer').addEventListener('click', () => { page--; drawWords(); });
$('more').addEventListener('click', () => { page++; drawWords(); });
copyLink($('copy-link'), $('where'), showForm);

onDrop($('over'), (dropped) => {
    files = dropped;
    const radio = /** @type {HTMLInputElement | null} */ (document.querySelector('input[name=source][value=files]'));
    if (radio) radio.checked = true;
    showForm();
});

$('presets').replaceChildren(...PRESETS.map(({ label, runs: list }) => {
    const button = make('button', { type: 'button' }, label);
    button.addEventListener('click', async () => {
        if (running) return;
        for (const [method, n] of list) {
            kind.value = method;
            size.value = String(n);
            showForm();
            if (!(await train())) break;
        }
    });
    return button;
}));

showForm();
drawCurve();
listRuns();
void train(); // what the link says, or the first preset: of the bundled text
