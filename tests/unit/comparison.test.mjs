// docs/comparison.md: every cell says what it rests on; of ours a test, a benchmark or the page of measurements, and its numbers are those of that page.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../support/shared.mjs';

const page = readFileSync(join(ROOT, 'docs/comparison.md'), 'utf8'), measured = readFileSync(join(ROOT, 'docs/performance.md'), 'utf8');
const rowsOf = (/** @type {string} */ text) => text.split('\n').filter((line) => line.startsWith('|') && !line.startsWith('|-')).map((line) => line.slice(1, -1).split(/(?<!\\)\|/).map((cell) => cell.trim()));
const linksOf = (/** @type {string} */ cell) => Array.from(cell.matchAll(/\]\(([^)]+)\)/g), ([, target]) => target);

test('every cell leads to what it rests on', () => {
  let cells = 0;
  for (const table of page.split(/^## /m).slice(1)) {
    const [head, ...rows] = rowsOf(table);
    assert.equal(head[1], 'Microtome');
    assert.ok(rows.length > 5);
    for (const row of rows) {
      assert.equal(row.length, head.length, row[0]);
      row.slice(1).forEach((cell, i) => {
        const links = linksOf(cell);
        assert.ok(links.length, `${row[0]}, ${head[i + 1]}: nothing behind "${cell}"`);
        for (const target of links) {
          cells++;
          if (/^https:\/\//.test(target)) assert.ok(i > 0, `${row[0]}: ours rests on somebody else's page`);
          else {
            assert.match(target, /^(\.\.\/tests\/[a-z]+\/[a-z_]+\.(test|bench)\.mjs|performance\.md#[a-z-]+)$/, `${row[0]}: ${target}`);
            assert.ok(existsSync(join(ROOT, 'docs', target.split('#')[0])), target);
          }
        }
      });
    }
  }
  assert.ok(cells > 80, String(cells));
});

test('its numbers are those of the page of measurements', () => {
  const row = (/** @type {string} */ text, /** @type {string} */ start) => rowsOf(text).find(([first]) => first.startsWith(start)) ?? assert.fail(start);
  const number = (/** @type {string} */ cell) => Number(/[\d.]+/.exec(cell.replace(/^\[/, ''))?.[0]);
  const cl100k = row(measured, 'cl100k'), llama3 = row(measured, 'llama3'), speeds = row(page, 'cl100k');
  const peer = (/** @type {string[]} */ of, /** @type {string} */ name) => Number(new RegExp(`(?:^|, )${name} ([\\d.]+)`).exec(of[5])?.[1]);
  assert.deepEqual(speeds.slice(1, 4).map(number), [number(cl100k[1]), peer(cl100k, 'tiktoken'), peer(cl100k, 'gpt-tokenizer')]);
  assert.ok(speeds[4].includes(`${peer(llama3, '@huggingface/tokenizers')} on llama3, where Microtome has ${number(llama3[1])}`));
  const engine = rowsOf(measured).find((cells) => cells[0] === 'SmolLM2-135M:Q8_0' && cells[2] === '1' && cells.length === 11) ?? assert.fail();
  for (const [start, at] of /** @type {const} */ ([['reading a prompt', 3], ['writing', 6]])) {
    const cells = row(page, start);
    assert.deepEqual([number(cells[1]), number(cells[3])], [Number(engine[at]), Number(engine[at + 1])], start);
  }
});
