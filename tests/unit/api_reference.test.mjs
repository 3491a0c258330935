// The API reference is what the sources' comments say, and they say what every public function takes, gives and throws.
import { before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { anchorOf, makeApi } from '../../docs/make_api.mjs';
import { ROOT } from '../support/shared.mjs';

describe('docs/api', () => {
  /** @type {ReturnType<typeof makeApi>} */ let made;
  before(() => { made = makeApi(); });

  test('nothing public is without a description, a parameter or a result without a word (node docs/make_api.mjs --gaps)', () => assert.deepEqual(made.gaps, []));

  test('the files are what the script makes (node docs/make_api.mjs)', () => {
    assert.deepEqual(readdirSync(join(ROOT, 'docs/api')).sort(), [...made.pages.keys()].sort());
    for (const [page, text] of made.pages) assert.ok(readFileSync(join(ROOT, 'docs/api', page), 'utf8') === text, `docs/api/${page} is not what the sources say`);
  });

  test('every name that a module exports is on its page, or the page says where else', async () => {
    const { exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    for (const [key, { default: target }] of Object.entries(exports)) {
      if (!target?.endsWith('.js') || target.includes('*')) continue;
      const page = made.pages.get(`${key === '.' ? 'microtome' : key.slice(2)}.md`) ?? assert.fail(key), names = Object.keys(await import(pathToFileURL(join(ROOT, target)).href));
      assert.ok(names.length > 0, key);
      for (const name of names) assert.ok(new RegExp(`^### ${name}(\\(|$)|\\[\`${name}\`\\]\\([a-z]+\\.md`, 'm').test(page), `${key}: ${name}`);
    }
  });

  test('links between the pages have their headings', () => {
    const anchors = new Map(Array.from(made.pages, ([page, text]) => [page, Array.from(text.matchAll(/^#+ (.*)$/gm), ([, title]) => anchorOf(title))]));
    let count = 0;
    for (const [page, text] of made.pages)
      for (const [, to, anchor] of text.matchAll(/\]\(([a-z-]+\.md)?#([^)]+)\)/g)) {
        count++;
        assert.ok(anchors.get(to ?? page)?.includes(anchor), `${page}: ${to ?? ''}#${anchor}`);
      }
    assert.ok(count > 500, String(count));
    for (const [page, list] of anchors) {
      const twice = list.filter((anchor, i) => anchor.startsWith('type-') && list.indexOf(anchor) !== i);
      assert.deepEqual(twice, [], page);
    }
  });
});
