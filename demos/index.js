/**
 * The front page: one card for each entry of demos.json. An entry is { path, title, summary, tags }; its picture is
 * card.svg in the demo's folder.
 */

/** @typedef {{ path: string, title: string, summary: string, tags?: string[] }} Demo */

/** @type {<K extends keyof HTMLElementTagNameMap>(tag: K, properties?: object, ...children: (Node | string)[]) => HTMLElementTagNameMap[K]} */
const make = (tag, properties = {}, ...children) => {
    const el = Object.assign(document.createElement(tag), properties);
    el.append(...children);
    return el;
};

/** @param {Demo} demo */
function card({ path, title, summary, tags = [] }) {
    return make('li', {},
        make('article', { className: 'demo' },
            make('img', { src: `${path}card.svg`, alt: '', width: 640, height: 360, loading: 'lazy' }),
            make('div', {},
                make('h3', {}, make('a', { href: path }, title)),
                make('p', {}, summary),
                make('p', { className: 'tags' }, tags.join(' · ')))));
}

try {
    const response = await fetch(new URL('demos.json', import.meta.url));
    if (!response.ok) throw new Error(`demos.json: HTTP ${response.status}`);
    /** @type {Demo[]} */
    const demos = await response.json();
    document.getElementById('demos')?.replaceChildren(...demos.map(card));
} catch (error) {
    const problem = document.getElementById('problem');
    if (problem) problem.textContent = `The list of demos could not be read: ${error instanceof Error ? error.message : error}`;
}
