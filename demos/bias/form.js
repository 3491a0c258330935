/**
 * Controls with a name are the state of the page. What they say in the document is what they say by default; only what
 * is not so goes into the address.
 */

/** @typedef {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} Control */

/** @param {ParentNode} [within] @returns {Control[]} */
const controls = (within = document) => [...within.querySelectorAll(':is(input, select, textarea)[name]')].map((el) => /** @type {Control} */ (el));

const isBox = (/** @type {Control} */ el) => el instanceof HTMLInputElement && (el.type === 'checkbox' || el.type === 'radio');

/** What a control says by default; a radio that is not chosen by default says nothing. @param {Control} el @returns {string | null} */
function usual(el) {
    if (el instanceof HTMLSelectElement) return ([...el.options].find((o) => o.defaultSelected) ?? el.options[0])?.value ?? '';
    if (!isBox(el)) return el.defaultValue;
    const box = /** @type {HTMLInputElement} */ (el);
    if (box.type === 'radio') return box.defaultChecked ? box.value : null;
    return box.defaultChecked ? 'on' : 'off';
}

/** @param {Control} el @returns {string | null} null: a radio that is not chosen */
function said(el) {
    if (!isBox(el)) return el.value;
    const box = /** @type {HTMLInputElement} */ (el);
    if (box.type === 'radio') return box.checked ? box.value : null;
    return box.checked ? 'on' : 'off';
}

/** @param {ParentNode} [within] @returns {Record<string, string>} by name */
export function valuesOf(within) {
    /** @type {Record<string, string>} */ const out = {};
    for (const el of controls(within)) {
        const value = said(el);
        if (value !== null) out[el.name] = value;
    }
    return out;
}

/** @returns {Record<string, string>} what is not as usual, by name */
export function changesOf() {
    /** @type {Record<string, string>} */ const usually = {};
    for (const el of controls()) {
        const value = usual(el);
        if (value !== null) usually[el.name] = value;
    }
    return Object.fromEntries(Object.entries(valuesOf()).filter(([name, value]) => value !== usually[name]));
}

/**
 * Sets controls: to what is given, all others to the usual. What a list does not have is left out.
 * @param {(name: string) => string | null | undefined} given @param {ParentNode} [within]
 */
export function restore(given, within) {
    for (const el of controls(within)) {
        const wanted = given(el.name);
        if (isBox(el)) {
            const box = /** @type {HTMLInputElement} */ (el);
            box.checked = wanted === null || wanted === undefined ? box.defaultChecked : box.type === 'radio' ? wanted === box.value : wanted === 'on';
        } else if (el instanceof HTMLSelectElement) el.value = [...el.options].some((o) => o.value === wanted) ? /** @type {string} */ (wanted) : /** @type {string} */ (usual(el));
        else el.value = wanted ?? el.defaultValue;
    }
}
