// Command-line options: each command declares what it knows; anything else is an error that lists it.

/** @typedef {{name: string, kind: 'flag' | 'text' | 'texts' | 'int' | 'number' | 'ids', value?: string, help: string, min?: number, max?: number, choices?: string[]}} OptionSpec */
/** @typedef {{summary: string, usage: string, options: OptionSpec[], notes?: string}} CommandSpec */

/** A mistake in how the program was called: exit status 2. */
export class UsageError extends Error {}

/**
 * @param {string[]} argv @param {OptionSpec[]} specs
 * @returns {{options: Record<string, any>, rest: string[]}} options by their names without dashes
 */
export function parseArguments(argv, specs) {
  /** @type {Record<string, any>} */
  const options = {};
  /** @type {string[]} */
  const rest = [];
  const known = specs.map((s) => `--${s.name}`).join(', ');
  for (let i = 0; i < argv.length; i++) {
    const arg = argv[i];
    if (arg === '--') {
      rest.push(...argv.slice(i + 1));
      break;
    }
    if (!arg.startsWith('--') || arg.length < 3) {
      if (/^-[A-Za-z]$/.test(arg)) throw new UsageError(`unknown option ${arg}: known are ${known} (a text that starts with "-" goes after "--")`);
      rest.push(arg);
      continue;
    }
    const equals = arg.indexOf('=');
    const name = equals < 0 ? arg.slice(2) : arg.slice(2, equals);
    const spec = specs.find((s) => s.name === name);
    if (!spec) throw new UsageError(`unknown option --${name}: known are ${known}`);
    if (spec.kind === 'flag') {
      if (equals >= 0) throw new UsageError(`--${name} takes no value`);
      options[name] = true;
      continue;
    }
    const value = equals >= 0 ? arg.slice(equals + 1) : argv[++i];
    if (value === undefined) throw new UsageError(`--${name} needs ${spec.value ?? 'a value'}`);
    if (spec.kind === 'texts') (options[name] ??= []).push(value);
    else options[name] = convert(spec, value);
  }
  return { options, rest };
}

/** @param {OptionSpec} spec @param {string} value */
function convert(spec, value) {
  const { name, kind, min = -Infinity, max = Infinity, choices } = spec;
  if (kind === 'ids') return parseIds(value, `--${name}`);
  if (kind === 'text') {
    if (choices && !choices.includes(value)) throw new UsageError(`--${name}: unknown value "${value}": known are ${choices.join(', ')}`);
    return value;
  }
  const number = value.trim() === '' ? NaN : Number(value);
  if (Number.isNaN(number) || (kind === 'int' && !Number.isSafeInteger(number)) || number < min || number > max)
    throw new UsageError(`--${name}: "${value}" is not ${kind === 'int' ? 'a whole number' : 'a number'}${min > -Infinity || max < Infinity ? ` in ${min}..${max}` : ''}`);
  return number;
}

/** "1,2 3" -> [1, 2, 3]. Also a JSON list. @param {string} text @param {string} where */
export function parseIds(text, where) {
  const words = text.trim().replace(/^\[/, '').replace(/\]$/, '').split(/[\s,]+/).filter(Boolean);
  return words.map((word) => {
    const id = Number(word);
    if (!/^\d+$/.test(word) || id > 2 ** 31 - 1) throw new UsageError(`${where}: "${word}" is not a token id`);
    return id;
  });
}

/** @param {string} name @param {CommandSpec} command */
export function helpOf(name, { summary, usage, options, notes }) {
  const rows = options.map((o) => [`  --${o.name}${o.kind === 'flag' ? '' : ` ${o.value ?? 'X'}`}`, o.help]);
  const width = Math.max(...rows.map(([left]) => left.length)) + 2;
  return `microtome ${name}: ${summary}\n\nusage: microtome ${usage}\n\n${rows.map(([left, right]) => left.padEnd(width) + right).join('\n')}\n${notes ? `\n${notes}\n` : ''}`;
}
