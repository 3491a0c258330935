/**
 * The state of a page in the hash of its address, so that a link restores it.
 */
const PAUSE = 250; // browsers refuse more than a few changes a second
let timer = 0;
/** @type {string | null} what is written when the pause is over */ let waiting = null;
let known = location.hash; // when that was decided

/** @returns {URLSearchParams} what the hash says */
export const readState = () => new URLSearchParams(location.hash.slice(1));

/**
 * Writes the hash after a pause, without a step in the history. Empty values are left out.
 * @param {Record<string, string | number | boolean | null | undefined>} state
 */
export function writeState(state) {
    const given = Object.entries(state).filter(([, value]) => value !== '' && value !== null && value !== undefined);
    known = location.hash;
    waiting = `#${new URLSearchParams(given.map(([key, value]) => [key, String(value)]))}`;
    clearTimeout(timer);
    timer = window.setTimeout(flush, PAUSE);
}

/** An address that somebody has entered meanwhile stays: the page is about to hear of it. */
function flush() {
    clearTimeout(timer);
    if (waiting !== null && location.hash === known) history.replaceState(null, '', waiting);
    waiting = null;
}

/**
 * A button that copies the address. Where the clipboard is closed to the page, it says so: the address bar has it.
 * @param {HTMLElement} button @param {HTMLElement} status where it is said @param {() => void} [before] writes the state, where that is not done all along
 */
export function copyLink(button, status, before) {
    button.addEventListener('click', async () => {
        before?.();
        flush();
        try {
            await navigator.clipboard.writeText(location.href);
            status.textContent = 'The link is in the clipboard.';
        } catch {
            status.textContent = 'The browser gives no access to the clipboard; the address bar holds the link.';
        }
    });
}
