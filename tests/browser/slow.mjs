/**
 * Slow browsers, on purpose: what is right only because a machine is fast fails here.
 *
 *   SLOW=6 node --test tests/browser/bytes.test.mjs      the pages' own threads in Chromium compute at a sixth of their speed, workers do not
 *   HELD=6 node --test tests/browser/bytes.test.mjs      every process of a browser stands still five sixths of the time; Firefox and WebKit under SLOW too
 */
import { readFileSync, readdirSync } from 'node:fs';

const TURN = 12; // milliseconds that a browser runs before it stands still again

/** How many times slower pages of Chromium compute. */
export const PAGE_RATE = Number(process.env.SLOW ?? 1);
const HELD = Number(process.env.HELD ?? 1);

/** How many times slower a program runs. @param {string} name */
const rateOf = (name) => (HELD > 1 ? HELD : /chrom/.test(name) ? 1 : PAGE_RATE);

/** The process groups that this process leads to: every browser is one. @returns {{ group: number, rate: number }[]} */
function browsers() {
    return readdirSync('/proc').filter((entry) => /^\d+$/.test(entry)).flatMap((pid) => {
        try {
            const [, name, rest] = /^\d+ \((.*)\) (.*)/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? [], [, parent, group] = (rest ?? '').split(' ').map(Number);
            return parent === process.pid && group === Number(pid) && rateOf(name) > 1 ? [{ group, rate: rateOf(name) }] : [];
        } catch {
            return []; // it has ended
        }
    });
}

/** @param {{ group: number }[]} list @param {'SIGSTOP' | 'SIGCONT'} signal */
function send(list, signal) {
    for (const { group } of list)
        try {
            process.kill(-group, signal);
        } catch {
            // it has ended
        }
}

if (HELD > 1 || PAGE_RATE > 1) {
    let held = browsers(), looked = 0;
    const turn = () => {
        if (Date.now() - looked > 500) {
            held = browsers();
            looked = Date.now();
        }
        send(held, 'SIGSTOP');
        setTimeout(() => {
            send(held, 'SIGCONT');
            setTimeout(turn, TURN).unref();
        }, TURN * (Math.max(1, ...held.map(({ rate }) => rate)) - 1)).unref();
    };
    turn();
    process.on('exit', () => send(held, 'SIGCONT'));
}
