/**
 * One system: a mark in the overview, and a card that unfolds: what it claims, whether it runs, and the numbers of a run beside the published ones.
 */
import { LABS } from '../../web/labs/index.js';
import { formatNumber } from '../../web/lab/plots.js';
import { make, words } from '../kit/page.js';

/**
 * @typedef {import('./fields.js').System} System
 * @typedef {import('../../web/atlas/run.js').SystemRun} SystemRun
 * @typedef {'idle' | 'waiting' | 'running'} Phase
 */

const LAB_NAMES = new Map(LABS.map(({ id, name }) => [id, name]));
const STATES = { works: 'runs here', missing: 'not yet', waiting: 'waits', running: 'runs now', holds: 'holds', fails: 'does not hold' };
const VERDICTS = { holds: 'The claim holds in this run', fails: 'The claim does not hold in this run' };

export class Card {
    /** @type {System} */ system;
    /** @type {HTMLDetailsElement} */ element;
    /** In the overview. @type {HTMLAnchorElement} */ cell;
    /** @type {Phase} */ phase = 'idle';
    #button = make('button', { type: 'button' });
    #said = make('span', { className: 'said small' });
    #bar = make('progress', { max: 1, value: 0, hidden: true });
    #outcome = make('div', { className: 'outcome', hidden: true });
    #mark = make('i', { className: 'mark', ariaHidden: 'true' });
    #state = make('span', { className: 'state' });

    /** @param {System} system @param {(card: Card) => void} pressed the button: run, or cancel */
    constructor(system, pressed) {
        const { id, slug, title, claim, missing, run } = system;
        this.system = system;
        const lab = LAB_NAMES.get(id);
        this.#button.addEventListener('click', () => pressed(this));
        this.#bar.setAttribute('aria-label', `Progress of no. ${id}`);
        this.cell = make('a', { className: 'mark', href: `#system=${slug}`, tabIndex: -1 });
        this.element = make('details', { className: 'system', id: `system-${slug}` },
            make('summary', {}, this.#mark, make('h3', {}, title), make('span', { className: 'meta' }, this.#state, make('span', { className: 'no' }, `No. ${id}`))),
            make('div', { className: 'body' }, make('p', { className: 'claim' }, claim), ...(run
                ? [make('div', { className: 'go' }, this.#button, ...(lab ? [make('a', { className: 'button quiet', href: `../labs/#lab=${lab}` }, 'Open its lab')] : []), this.#said), this.#bar, this.#outcome]
                : [make('p', { className: 'lacks' }, make('span', {}, 'Missing: '), missing ?? '')]),
                make('p', { className: 'small' }, make('a', { href: `#system=${slug}` }, 'Link to this paper', make('span', { className: 'hidden' }, `: ${title}`)))));
        if (run) this.to('idle');
        else this.#tell('missing');
    }

    /** @param {keyof typeof STATES} state */
    #tell(state) {
        for (const { dataset } of [this.element, this.#mark, this.cell]) dataset.state = state;
        this.#state.textContent = STATES[state];
        this.cell.setAttribute('aria-label', `No. ${this.system.id}, ${this.system.title}: ${STATES[state]}`);
    }

    /** In words: runs here, not yet … */
    get state() {
        return this.#state.textContent ?? '';
    }

    /** @param {Phase} phase */
    to(phase) {
        this.phase = phase;
        this.element.dataset.phase = phase;
        this.#tell(phase === 'idle' ? (/** @type {'holds' | 'fails' | undefined} */ (this.element.dataset.verdict) ?? 'works') : phase);
        const again = !this.#outcome.hidden, name = make('span', { className: 'hidden' }, `: ${this.system.title}`);
        this.#button.replaceChildren(phase === 'idle' ? (again ? 'Run again' : 'Run') : 'Cancel', name);
        this.#bar.hidden = phase === 'idle';
        this.#bar.removeAttribute('value');
        this.#said.textContent = { idle: '', waiting: 'waits for its turn', running: 'begins …' }[phase];
    }

    /** @param {{ done: number, total: number }} progress */
    progress({ done, total }) {
        this.#bar.value = total ? Math.min(1, done / total) : 0;
        this.#said.textContent = `${formatNumber(done)} of ${formatNumber(total)}`;
    }

    /** @param {SystemRun} result @param {boolean} full */
    show({ published, obtained: { headline, checks, scope }, verdict, seconds }, full) {
        const holds = checks.filter(({ pass }) => pass).length;
        this.element.dataset.verdict = verdict;
        this.#outcome.hidden = false;
        this.#outcome.replaceChildren(
            make('p', { className: 'verdict' }, make('span', { className: verdict === 'holds' ? 'pass' : 'fail', ariaHidden: 'true' }, verdict === 'holds' ? '✓ ' : '✗ '), `${VERDICTS[verdict]}: ${holds} of ${checks.length} checks pass.`),
            make('div', { className: 'beside' },
                make('div', {}, make('p', { className: 'label' }, 'Obtained here'), make('p', { className: 'number' }, `${formatNumber(headline.value)}${headline.unit ? ` ${headline.unit}` : ''}`), make('p', { className: 'small' }, headline.label)),
                make('div', {}, make('p', { className: 'label' }, 'Published'), make('p', { className: 'small' }, published))),
            make('div', { className: 'checks scroll', tabIndex: 0, role: 'region', ariaLabel: `Checks of no. ${this.system.id}` }, make('table', {},
                make('thead', {}, make('tr', {}, ...['Check', 'Value', 'Must be', 'Result'].map((name) => make('th', { scope: 'col' }, name)))),
                make('tbody', {}, ...checks.map(({ what, value, bound, pass }) => make('tr', {}, make('th', { scope: 'row' }, what), make('td', {}, formatNumber(value)), make('td', {}, bound), make('td', { className: pass ? 'pass' : 'fail' }, pass ? '✓ passes' : '✗ fails')))))),
            make('p', { className: 'muted small' }, `${scope} ${formatNumber(seconds)} seconds${full ? ', in full' : ''}.`),
            ...(verdict === 'fails' && this.system.run === 'lab' && !full ? [make('p', { className: 'muted small' }, 'A lab’s bounds are meant for the run in full; a quick one ends too soon for many of them.')] : []));
    }

    /** @param {unknown} error */
    fail(error) {
        this.#outcome.hidden = false;
        delete this.element.dataset.verdict;
        this.#outcome.replaceChildren(make('p', { className: 'problem', role: 'alert' }, `It could not be run: ${words(error)}`));
    }
}
