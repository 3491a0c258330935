// What a lab is: one small file that trains something, measures it and says what must come out. docs/labs.md tells how to write one.
//
//   export default defineLab({ id, name, title, claim, published, source, notes, config, presets, arms, setup, step, measure, series, plots, headline, verdict });
//
// The runtime (run.js) calls  setup  once for each arm,  step  again and again,  measure  now and then, and  headline  and  verdict  at the end.
import { MicrotomeError } from '../runtime/errors.js';

/** @typedef {import('./rng.js').Rng} Rng */
/** @typedef {number | string | boolean} ConfigValue */
/** @typedef {Record<string, any>} Config by key; each value is of the type of its default */
/**
 * A knob.
 * @typedef {object} Knob
 * @property {ConfigValue} value the default; its type is the knob's
 * @property {number} [min] numbers: the least
 * @property {number} [max] numbers: the most
 * @property {boolean} [whole] numbers: whole ones only. Default: true when value, min and max are whole and min is 1 or more
 * @property {string[]} [choices] strings: what it may be; needed
 * @property {string} label for people
 * @property {string} [unit]
 * @property {string} [help] what it does, in a sentence
 * @property {boolean} [live] may be changed while a run is under way; step and measure read it from run.config each time
 * @property {boolean} [log] a slider moves it by factors
 */
/**
 * One of the runs that a claim compares.
 * @typedef {object} Arm
 * @property {string} name
 * @property {Config} [config] what differs from the lab's own; may name keys that are no knobs
 * @property {number} [seed] added to the run's seed: arms that repeat one another; default 0
 */
/**
 * What an arm has shown so far; headline and verdict are given one for each arm, begun or not.
 * @typedef {object} ArmResult
 * @property {string} name
 * @property {Config} config
 * @property {number} seed
 * @property {number} step steps made
 * @property {boolean} done
 * @property {Record<string, [step: number, value: number][]>} series every declared one, in order of steps; a value of step s is of the parameters after s updates
 * @property {Record<string, number>} last the newest value of each series that has one
 * @property {Record<string, Picture>} pictures the newest of each name
 */
/**
 * A table of numbers drawn as colours.
 * @typedef {object} HeatPicture
 * @property {number} rows
 * @property {number} cols
 * @property {ArrayLike<number>} values rows x cols
 * @property {string[] | {rows?: string[], cols?: string[]}} [labels] of rows and columns alike, or of each
 * @property {number} [min] of the scale; default: the least value, or 0
 * @property {number} [max] default: the largest value
 */
/**
 * @typedef {object} ScatterPicture
 * @property {ArrayLike<number>} x
 * @property {ArrayLike<number>} y as many
 * @property {ArrayLike<number>} [groups] of each point 0.. (its colour and shape)
 * @property {string[]} [groupNames]
 * @property {string[]} [labels] of each point
 */
/**
 * @typedef {object} BarPicture
 * @property {string[]} bars a label for each
 * @property {ArrayLike<number>} values as many
 */
/** @typedef {HeatPicture | ScatterPicture | BarPicture} Picture */
/** @typedef {{label: string, unit?: string}} Series */
/**
 * line: series over steps, all arms together. bar of series: the last values, arms side by side. heat, scatter, bar of a picture: one plot for each arm that has it.
 * @typedef {object} Plot
 * @property {'line' | 'heat' | 'scatter' | 'bar'} type
 * @property {string} title
 * @property {string[]} [series] line, bar
 * @property {string} [picture] heat, scatter, bar
 * @property {string[]} [arms] only these, by name
 * @property {string} [x] label of the axis; line: default "steps"
 * @property {string} [y]
 * @property {boolean} [logX]
 * @property {boolean} [logY]
 */
/** @typedef {{label: string, value: number, unit?: string}} Headline the one number that the claim is about */
/** @typedef {{what: string, value: number, bound: string, pass: boolean}} Check a condition on a value, with the bound in words: "< 1.0" */
/** Values of series by name, and pictures. @typedef {{[series: string]: number | Record<string, Picture> | undefined, pictures?: Record<string, Picture>}} Measured */
/** @typedef {Record<string, number>} Values of series by name; not all need to be there */
/**
 * Parameters of the nets of one arm, with what their optimiser remembers: web/net.js.
 * @typedef {object} Params
 * @property {() => Uint8Array<ArrayBuffer>} weights the values alone, as a safetensors file
 * @property {() => Uint8Array} save everything that training goes on from
 * @property {(bytes: Uint8Array) => void} restore
 * @property {() => void} free
 * @property {import('./rng.js').Rng} [rng] what initial values are drawn from: the runtime puts the arm's stream "init" there
 */
/**
 * An arm under way, as setup, step and measure see it. What influences its future is params, the positions of its random streams, state, step and config, and nothing else:
 * a lab that keeps changing things elsewhere cannot be continued from a checkpoint.
 * @typedef {object} Run
 * @property {string} arm its name
 * @property {Config} config this arm's; live knobs as they stand now
 * @property {number} seed
 * @property {number} step steps made so far
 * @property {(stream: string) => Rng} rng a random stream: "init", "data", "dropout", "sample" or any other name; always the same object, which goes on where it was. Arms with the same seed draw the same
 * @property {(stream: string) => Rng} fresh a random stream from its beginning, such as for the same test data at every measurement
 * @property {any} params the parameters: build nets over them in setup
 * @property {Record<string, any>} state what else must survive a checkpoint: plain data that JSON can hold
 * @property {(name: string) => Uint8Array} texts a text that the lab has asked for in `texts`
 * @property {() => void} finish called by step or measure: this arm ends after the step under way (early stopping)
 * @property {AbortSignal} signal
 */
/**
 * A lab. All texts are for people: the claim, what was published and where, and honest remarks on what this miniature shows and does not show.
 * @template [M=any]
 * @typedef {object} Lab
 * @property {number} id
 * @property {string} name lower case, words joined by "-": also the name of its file
 * @property {string} title
 * @property {string} claim what is claimed, in a sentence or two
 * @property {string} published what the paper reports
 * @property {string} source the paper: authors, year, title, where to find it
 * @property {string[]} notes what to know about this miniature
 * @property {Record<string, Knob>} config `steps` (of each arm) is needed; `every` (steps between measurements) is made when it is missing
 * @property {Record<string, Config>} presets `quick` and `full` are needed
 * @property {string[]} [texts] names of texts that the lab reads (texts.js)
 * @property {(config: Config) => Arm[]} [arms] default: a single one
 * @property {(run: Run) => M | Promise<M>} setup builds the nets over run.params; it runs again when a checkpoint is restored, so it must make the same things from the same run
 * @property {(run: Run, made: M) => Values | Promise<Values>} step one training step
 * @property {(run: Run, made: M) => Measured | Promise<Measured>} [measure] at step 0, after every config.every steps, and at the end
 * @property {(run: Run, made: M) => void} [dispose] frees what setup made besides run.params
 * @property {Record<string, Series>} series what step and measure may report
 * @property {Plot[]} plots
 * @property {(arms: ArmResult[]) => Headline} headline
 * @property {(arms: ArmResult[]) => Check[]} verdict one check or more; the lab's claim holds when all pass
 */

/** @param {string} name @param {string} what @returns {never} */
function wrong(name, what) {
  throw new MicrotomeError(`lab ${name}: ${what}`, { code: 'ERANGE', details: { lab: name } });
}

const FIELDS = ['id', 'name', 'title', 'claim', 'published', 'source', 'notes', 'config', 'presets', 'texts', 'arms', 'setup', 'step', 'measure', 'dispose', 'series', 'plots', 'headline', 'verdict'];
const PLOTS = { line: ['series'], bar: ['series', 'picture'], heat: ['picture'], scatter: ['picture'] };

/** @param {Knob} knob */
export const isWhole = (knob) => knob.whole ?? ([knob.value, knob.min, knob.max ?? 1].every((x) => Number.isInteger(x)) && Number(knob.min) >= 1);

/** The number of steps between measurements when a lab does not say: twenty of them. @param {Config} config */
export const everyOf = (config) => config.every ?? Math.max(1, Math.ceil(config.steps / 20));

/**
 * Checks a lab and gives it back. @template M @param {Lab<M>} lab @returns {Readonly<Lab<M>>}
 * @throws {MicrotomeError} ERANGE: something is missing or does not fit; EUNKNOWN: a field that labs do not have
 */
export function defineLab(lab) {
  const name = typeof lab?.name === 'string' ? lab.name : '?';
  if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(name)) wrong(name, 'name must be lower-case words joined by "-"');
  for (const field of Object.keys(lab)) if (!FIELDS.includes(field)) throw new MicrotomeError(`lab ${name}: unknown field "${field}": known are ${FIELDS.join(', ')}`, { code: 'EUNKNOWN', details: { lab: name, field } });
  if (!Number.isInteger(lab.id) || lab.id < 1) wrong(name, 'id must be a whole number from 1 on');
  for (const field of /** @type {const} */ (['title', 'claim', 'published', 'source'])) if (typeof lab[field] !== 'string' || !lab[field]) wrong(name, `${field} must be a text`);
  for (const field of /** @type {const} */ (['notes', 'plots'])) if (!Array.isArray(lab[field])) wrong(name, `${field} must be a list`);
  for (const field of /** @type {const} */ (['setup', 'step', 'headline', 'verdict'])) if (typeof lab[field] !== 'function') wrong(name, `${field} must be a function`);
  for (const field of /** @type {const} */ (['config', 'presets', 'series'])) if (!lab[field] || typeof lab[field] !== 'object') wrong(name, `${field} must be an object`);
  if (!Object.keys(lab.series).length) wrong(name, 'series must name what step reports');
  for (const [key, series] of Object.entries(lab.series)) if (typeof series?.label !== 'string') wrong(name, `series.${key} needs a label`);
  for (const [key, knob] of Object.entries(lab.config)) {
    if (typeof knob?.label !== 'string') wrong(name, `config.${key} needs a label`);
    if (typeof knob.value === 'string' && !knob.choices) wrong(name, `config.${key} needs choices`);
    checkValue(lab, key, knob.value);
  }
  if (!lab.config.steps || !isWhole(lab.config.steps)) wrong(name, 'config.steps must be a whole number');
  for (const needed of ['quick', 'full']) if (!lab.presets[needed]) wrong(name, `presets.${needed} is missing`);
  for (const [preset, values] of Object.entries(lab.presets))
    for (const [key, value] of Object.entries(values)) {
      if (!lab.config[key]) wrong(name, `presets.${preset}: config has no ${key}`);
      checkValue(lab, key, value);
    }
  lab.plots.forEach((plot, i) => {
    const from = PLOTS[plot?.type];
    if (!from) wrong(name, `plots[${i}]: type must be one of ${Object.keys(PLOTS).join(', ')}`);
    if (from.filter((field) => /** @type {any} */ (plot)[field] !== undefined).length !== 1) wrong(name, `plots[${i}] (${plot.type}) needs ${from.join(' or ')}`);
    if (typeof plot.title !== 'string') wrong(name, `plots[${i}] needs a title`);
    for (const key of plot.series ?? []) if (!lab.series[key]) wrong(name, `plots[${i}]: there is no series ${key}`);
  });
  return Object.freeze(lab);
}

/** Checks a value of a knob. @param {Pick<Lab, 'name' | 'config'>} lab @param {string} key @param {unknown} value @returns {ConfigValue} */
export function checkValue(lab, key, value) {
  const knob = lab.config[key];
  if (!knob) throw new MicrotomeError(`lab ${lab.name}: unknown config key "${key}": known are ${Object.keys(lab.config).join(', ')}`, { code: 'EUNKNOWN', details: { lab: lab.name, key } });
  const fail = (/** @type {string} */ wanted) => wrong(lab.name, `${key}: ${JSON.stringify(value) ?? String(value)} is not ${wanted}`);
  if (typeof knob.value === 'boolean') return typeof value === 'boolean' ? value : fail('true or false');
  if (typeof knob.value === 'string') return typeof value === 'string' && knob.choices?.includes(value) ? value : fail(`one of ${knob.choices?.join(', ')}`);
  const { min = -Infinity, max = Infinity } = knob, fits = typeof value === 'number' && value >= min && value <= max && (!isWhole(knob) || Number.isInteger(value));
  return fits ? value : fail(`${isWhole(knob) ? 'a whole number' : 'a number'}${min > -Infinity || max < Infinity ? ` in ${min}..${max}` : ''}`);
}

/**
 * The config of a run: defaults, then the preset's, then what is given. @param {Lab} lab @param {{preset?: string, config?: Config}} [options] preset: default "full" @returns {Config}
 * @throws {MicrotomeError} EUNKNOWN, ERANGE: a preset or key that is not there, a value that does not fit
 */
export function configOf(lab, { preset = 'full', config = {} } = {}) {
  if (!Object.hasOwn(lab.presets, preset)) throw new MicrotomeError(`lab ${lab.name}: unknown preset "${preset}": known are ${Object.keys(lab.presets).join(', ')}`, { code: 'EUNKNOWN', details: { lab: lab.name, preset } });
  const out = Object.fromEntries(Object.entries(lab.config).map(([key, knob]) => [key, knob.value]));
  for (const [key, value] of Object.entries({ ...lab.presets[preset], ...config })) out[key] = checkValue(lab, key, value);
  return { ...out, every: everyOf(out) };
}

/** What there is to know about a lab without running it: its data, as plain objects. @param {Lab} lab @returns {Pick<Lab, 'id' | 'name' | 'title' | 'claim' | 'published' | 'source' | 'notes' | 'config' | 'presets' | 'series' | 'plots'> & {texts: string[]}} texts: names of those that it reads */
export function describe({ id, name, title, claim, published, source, notes, config, presets, texts = [], series, plots }) {
  return { id, name, title, claim, published, source, notes, config, presets, texts, series, plots };
}
