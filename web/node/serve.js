// A small static server for the demos: right MIME types, the headers that shared memory and a strict policy need, ranges.
import { createServer } from 'node:http';
import { createReadStream } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { extname, join, resolve, sep } from 'node:path';

/** @type {Record<string, string>} */
const TYPES = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.mjs': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8',
  '.json': 'application/json', '.jsonl': 'application/x-ndjson', '.map': 'application/json', '.wasm': 'application/wasm', '.svg': 'image/svg+xml', '.png': 'image/png',
  '.jpg': 'image/jpeg', '.webp': 'image/webp', '.ico': 'image/x-icon', '.txt': 'text/plain; charset=utf-8', '.md': 'text/markdown; charset=utf-8', '.gguf': 'application/octet-stream',
  '.ts': 'text/plain; charset=utf-8', '.woff2': 'font/woff2', '.webmanifest': 'application/manifest+json',
};

/** For every answer. The policy allows our own files, WebAssembly and nothing else; data: and blob: are for pictures that pages make. */
const HEADERS = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Content-Security-Policy': "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; img-src 'self' data: blob:; style-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'",
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cache-Control': 'no-cache',
};

/**
 * @param {{root: string, port: number, host?: string}} options port 0: any that is free
 * @returns {Promise<{url: string, close: () => Promise<void>}>}
 */
export async function serve({ root, port, host = '127.0.0.1' }) {
  const base = await realpath(resolve(root));
  if (!(await stat(base)).isDirectory()) throw new Error(`${root} is not a directory`);
  const server = createServer((request, response) => {
    answer(base, request, response).catch((error) => {
      if (!response.headersSent) response.writeHead(500, HEADERS);
      response.end();
      process.stderr.write(`microtome: serve: ${error.message}\n`);
    });
  });
  await new Promise((done, failed) => {
    server.once('error', failed);
    server.listen(port, host, () => done(undefined));
  });
  const address = /** @type {import('node:net').AddressInfo} */ (server.address());
  return { url: `http://${host === '127.0.0.1' ? 'localhost' : host}:${address.port}/`, close: () => new Promise((done) => { server.close(() => done()); server.closeAllConnections(); }) };
}

/** @param {string} base @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response */
async function answer(base, request, response) {
  /** @param {number} status @param {string} text @param {Record<string, string | number>} [more] */
  const say = (status, text, more = {}) => void response.writeHead(status, { ...HEADERS, 'Content-Type': 'text/plain; charset=utf-8', ...more }).end(request.method === 'HEAD' ? undefined : `${text}\n`);
  if (request.method !== 'GET' && request.method !== 'HEAD') return say(405, 'only GET and HEAD', { Allow: 'GET, HEAD' });
  const target = (request.url ?? '/').split(/[?#]/)[0];
  let path;
  try {
    path = decodeURIComponent(target);
  } catch {
    return say(400, 'a malformed address');
  }
  if (path.includes('\0') || path.includes('\\') || path.split('/').some((part) => part === '..' || (part.startsWith('.') && part.length > 1))) return say(404, 'no such file');
  let file = join(base, path);
  try {
    file = await realpath(file);
    if (file !== base && !file.startsWith(base + sep)) return say(404, 'no such file'); // a link that leads out
    let found = await stat(file);
    if (found.isDirectory()) {
      if (!path.endsWith('/')) return say(301, 'moved', { Location: `${target}/` });
      file = await realpath(join(file, 'index.html'));
      if (!file.startsWith(base + sep)) return say(404, 'no such file');
      found = await stat(file);
    }
    if (!found.isFile()) return say(404, 'no such file');
    return send(file, found, request, response, say);
  } catch (error) {
    const code = /** @type {NodeJS.ErrnoException} */ (error).code;
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES' || code === 'ENAMETOOLONG' || code === 'ELOOP') return say(404, 'no such file');
    throw error;
  }
}

/**
 * @param {string} file @param {import('node:fs').Stats} found @param {import('node:http').IncomingMessage} request
 * @param {import('node:http').ServerResponse} response @param {(status: number, text: string, more?: Record<string, string | number>) => void} say
 */
function send(file, found, request, response, say) {
  const size = found.size;
  const etag = `"${size.toString(36)}-${Math.round(found.mtimeMs).toString(36)}"`;
  const headers = { ...HEADERS, 'Content-Type': TYPES[extname(file).toLowerCase()] ?? 'application/octet-stream', 'Accept-Ranges': 'bytes', ETag: etag, 'Last-Modified': found.mtime.toUTCString() };
  if (request.headers['if-none-match']?.split(/\s*,\s*/).includes(etag)) return void response.writeHead(304, headers).end();
  let status = 200, begin = 0, end = size - 1;
  const ifRange = request.headers['if-range'];
  const range = !ifRange || ifRange === etag ? /^bytes=(\d*)-(\d*)$/.exec(request.headers.range ?? '') : null; // several ranges: the whole file
  if (range && (range[1] || range[2])) {
    if (range[1]) {
      begin = Number(range[1]);
      if (range[2]) end = Math.min(end, Number(range[2]));
    } else begin = Math.max(0, size - Number(range[2]));
    if (begin > end || (!range[1] && Number(range[2]) === 0)) return say(416, 'no such range', { 'Content-Range': `bytes */${size}` });
    status = 206;
  }
  response.writeHead(status, { ...headers, 'Content-Length': Math.max(0, end - begin + 1), ...(status === 206 && { 'Content-Range': `bytes ${begin}-${end}/${size}` }) });
  if (request.method === 'HEAD' || size === 0) return void response.end();
  const stream = createReadStream(file, { start: begin, end });
  stream.on('error', () => response.destroy());
  response.on('close', () => stream.destroy());
  stream.pipe(response);
}
