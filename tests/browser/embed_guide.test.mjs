// The page of docs/guides/embed-a-component.md as it stands, in a project that has the packed package, on a server that sends no policy.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { installPacked } from '../support/packed.mjs';
import { scratch } from '../support/wasm.mjs';
import { CHROMIUM, chromium, ROOT, serve, visit } from './support.mjs';

test('the page of the guide draws its tokens and tells which one is pointed at', { skip: CHROMIUM ? false : 'there is no Chromium', timeout: 120_000 }, async () => {
  const project = scratch().folder, [, page] = /^```html\n([^]*?)^```$/m.exec(readFileSync(path.join(ROOT, 'docs/guides/embed-a-component.md'), 'utf8')) ?? assert.fail('the guide has no page');
  mkdirSync(project, { recursive: true });
  await installPacked(project);
  writeFileSync(path.join(project, 'index.html'), page);
  const server = await serve({ isolated: false, policy: '', mount: { 'project/': project } }), browser = await chromium();
  try {
    await visit(browser, server.url('project/'), async (tab) => {
      await tab.waitForFunction(() => /** @type {any} */ (document.querySelector('mt-token-strip')).tokens?.length === 5);
      await tab.getByRole('listitem').nth(2).hover();
      await tab.waitForFunction(() => document.querySelector('output')?.value === '2');
    });
    assert.ok(server.requests.every((request) => request.startsWith('/project/')), server.requests.join(' '));
  } finally {
    await browser.close();
    await server.close();
  }
});
