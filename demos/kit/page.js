/**
 * The few things that the pages share.
 */

/** @template {HTMLElement} T @param {string} id @returns {T} */
export const $ = (id) => /** @type {T} */ (document.getElementById(id));

/** @type {<K extends keyof HTMLElementTagNameMap>(tag: K, properties?: object, ...children: (Node | string)[]) => HTMLElementTagNameMap[K]} */
export const make = (tag, properties = {}, ...children) => {
    const el = document.createElement(tag);
    for (const [key, value] of Object.entries(properties)) {
        // Properties of ARIA are reflected late in Firefox; the attributes always work.
        if (key === 'role') el.setAttribute('role', value);
        else if (key.startsWith('aria')) el.setAttribute(`aria-${key.slice(4).toLowerCase()}`, value);
        else Object.assign(el, { [key]: value });
    }
    el.append(...children);
    return el;
};

/** Lets the browser draw and answer before what follows. @returns {Promise<void>} */
export const turn = () => new Promise((resolve) => setTimeout(resolve));

/** @param {unknown} error */
export const words = (error) => (error instanceof Error ? error.message : String(error));
