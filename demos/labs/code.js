/**
 * The run that the knobs describe, as a program with the package.
 */

/** A string as JavaScript, in single quotes. @param {string} text */
const quoted = (text) => `'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`;
/** @param {string} key */
const named = (key) => (/^[A-Za-z_]\w*$/.test(key) ? key : quoted(key));
/** @param {Record<string, import('../../web/lab/define.js').ConfigValue>} values */
const record = (values) => `{ ${Object.entries(values).map(([key, value]) => `${named(key)}: ${typeof value === 'string' ? quoted(value) : value}`).join(', ')} }`;

/** @param {Pick<import('./session.js').Session, 'key' | 'preset' | 'seed' | 'overrides' | 'texts'>} session @returns {string} */
export function codeOf({ key, preset, seed, overrides, texts }) {
    const files = Object.fromEntries(Object.entries(texts).map(([name, file]) => [name, file.name]));
    return `import { LabClient } from 'microtome/lab';

const lab = await LabClient.open(${quoted(key)}, {
    seed: ${Number.isNaN(seed) ? 1 : seed},
    preset: ${quoted(preset)},
${Object.keys(overrides).length ? `    config: ${record(overrides)},\n` : ''}${Object.keys(files).length ? `    texts: ${record(files)},\n` : ''}});
const { title, claim, published } = lab.about;
console.log(title, '|', claim);
lab.on('metrics', ({ where }) => console.log(\`\${where.name}: step \${where.step} of \${where.steps}\`));

const { headline, verdict } = await lab.start();     // in a worker; pause(), step(n), set(key, value) and checkpoint() work meanwhile
for (const { name, last } of lab.results) console.log(name, last);
console.log('published:', published);
console.log('here:', headline.label, headline.value, headline.unit ?? '');
for (const { what, value, bound, pass } of verdict.checks) console.log(pass ? 'holds' : 'fails', what, value, 'must be', bound);
await lab.terminate();
`;
}
