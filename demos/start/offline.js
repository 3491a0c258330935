/**
 * Keeping the pages on this device: the service worker in the project's folder (sw.js), begun and ended by buttons only.
 */
import { formatSize } from '../../web/elements/format.js';
import { $, words } from '../kit/page.js';

const ROOT = new URL('../../', import.meta.url);
const CACHE = 'microtome-site-'; // service.js names its caches so

const keep = /** @type {HTMLButtonElement} */ ($('keep'));
const drop = /** @type {HTMLButtonElement} */ ($('drop'));
/** @param {string} text */
const say = (text) => { if ($('offline-state').textContent !== text) $('offline-state').textContent = text; };

/** Resolves when the worker is kept, rejects when it could not be. @param {ServiceWorker} worker @returns {Promise<void>} */
const settled = (worker) => new Promise((resolve, reject) => {
    const look = () => {
        if (worker.state === 'installed' || worker.state === 'activating' || worker.state === 'activated') resolve();
        if (worker.state === 'redundant') reject(new Error('a file could not be fetched, or there is no room for it'));
    };
    worker.addEventListener('statechange', look);
    look();
});

async function tell() {
    const registration = await navigator.serviceWorker.getRegistration(ROOT.href);
    const kept = !!registration && new URL(registration.scope).href === ROOT.href;
    keep.hidden = kept;
    drop.hidden = !kept;
    if (!kept) return say('');
    if (registration.waiting) return say('A newer version of the pages has been fetched; it is used once all of them have been closed and opened again.');
    const { usage } = (await navigator.storage?.estimate?.()) ?? {};
    say(`The pages are kept on this device${usage ? `, ${formatSize(usage)} in all` : ''}. They open without a network, and look for a newer version when there is one.`);
}

export async function offerOffline() {
    if (!('serviceWorker' in navigator) || location.protocol === 'file:') { // an insecure origin, a private window, or a page from a disk
        keep.hidden = true;
        return say(location.protocol === 'file:' ? 'These pages are on this device already: they have been opened from a file.' : 'This browser keeps no pages offline here: that needs https, or localhost.');
    }
    keep.addEventListener('click', async () => {
        keep.disabled = true;
        say('Fetching the pages and the bundled model …');
        try {
            const registration = await navigator.serviceWorker.register(new URL('sw.js', ROOT), { scope: ROOT.href, updateViaCache: 'none' });
            const worker = registration.installing ?? registration.waiting ?? registration.active;
            if (worker) await settled(worker);
            await tell();
            drop.focus();
        } catch (error) {
            say(`The pages could not be kept: ${words(error)}`);
        } finally {
            keep.disabled = false;
        }
    });
    drop.addEventListener('click', async () => {
        try {
            await (await navigator.serviceWorker.getRegistration(ROOT.href))?.unregister();
            for (const name of await caches.keys()) if (name.startsWith(CACHE + ROOT.href)) await caches.delete(name);
            await tell();
            say('The pages are no longer kept here.');
            keep.focus();
        } catch (error) {
            say(`They could not be removed: ${words(error)}`);
        }
    });
    (await navigator.serviceWorker.getRegistration(ROOT.href))?.addEventListener('updatefound', (event) => {
        const { installing } = /** @type {ServiceWorkerRegistration} */ (event.target);
        if (installing) void settled(installing).then(tell, () => {});
    });
    await tell();
}
