/**
 * The front page: the specimen, one card for each entry of demos.json, and keeping it all offline. An entry is
 * { path, title, summary, tags }; its picture is card.svg in the demo's folder.
 */
import { offerOffline } from './start/offline.js';
import { SpecimenView } from './start/specimen.js';
import { $, make, words } from './kit/page.js';

/** @typedef {{ path: string, title: string, summary: string, tags?: string[] }} Demo */

/** @param {string} name beside this file @returns {Promise<any>} */
async function read(name) {
    const response = await fetch(new URL(name, import.meta.url));
    if (!response.ok) throw new Error(`${name}: HTTP ${response.status}`);
    return response.json();
}

/** @param {Demo} demo */
function card({ path, title, summary, tags = [] }) {
    return make('li', {},
        make('article', { className: 'demo' },
            make('img', { src: new URL(`${path}card.svg`, import.meta.url).href, alt: '', width: 640, height: 360, loading: 'lazy' }),
            make('div', {},
                make('h3', {}, make('a', { href: path }, title)),
                make('p', {}, summary),
                make('p', { className: 'tags' }, tags.join(' · ')))));
}

async function showSpecimen() {
    try {
        new SpecimenView(await read('start/specimen.json')).start();
    } catch (error) {
        $('problem').textContent = `The numbers of the specimen could not be read: ${words(error)}`;
    }
}

async function showDemos() {
    try {
        /** @type {Demo[]} */
        const demos = await read('demos.json');
        $('demos').replaceChildren(...demos.map(card));
    } catch (error) {
        $('problem').textContent = `The list of demos could not be read: ${words(error)}`;
    }
}

await Promise.all([showSpecimen(), showDemos()]);
await offerOffline();
