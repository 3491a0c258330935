// The reversal curse and training on permuted semantic units as its remedy.
import { defineLab } from '../lab/define.js';
import { atLeast, atMost } from '../lab/measures.js';
import { knobs, learn, pattern, permuted, prepare, questions, series, told } from './reversal.js';

/** @param {import('../lab/define.js').ArmResult[]} arms @param {string} permute @param {number} nameTokens */
const of = (arms, permute, nameTokens) => arms.find((a) => a.config.permute === permute && a.config.nameTokens === nameTokens)?.last.reversed ?? NaN;

export default defineLab({
  id: 116,
  name: 'spt-reversal-curse',
  title: 'The reversal curse: permuted units',
  claim: 'A causal model learns a fact in the direction in which it reads it. Reading the same sentences with their units (name, relation, name) in other orders removes the curse; shuffling single tokens does not, because names fall apart.',
  published: 'Training on sentences whose semantic units are reversed or permuted brings reversed questions close to forward ones.',
  source: 'Guo et al. 2024, Mitigating Reversal Curse in Large Language Models via Semantic-aware Permutation Training (arXiv:2403.00758)',
  notes: [
    'Sixty pairs; all are told as A R B, thirty of them also as B R′ A. Half of the rows that are read are permuted: half of those backwards, the others in any order.',
    'The control has names of three tokens, so that permuting tokens and permuting units differ; units are known here by construction, where the paper finds them with a language model.',
  ],
  config: { ...knobs, long: { value: 600, min: 10, max: 5000, label: 'steps with names of three tokens' } },
  presets: { quick: { steps: 150, long: 150 }, full: {} },
  arms: (config) => [
    { name: 'as told', config: { permute: 'none', nameTokens: 1 } },
    { name: 'units permuted', config: { permute: 'units', nameTokens: 1 } },
    { name: 'names of 3 tokens, units permuted', config: { permute: 'units', nameTokens: 3, steps: config.long } },
    { name: 'names of 3 tokens, tokens permuted', config: { permute: 'tokens', nameTokens: 3, steps: config.long } },
  ],
  setup: (run) => prepare(run, { mode: 'causal', nameTokens: run.config.nameTokens }),
  step(run, made) {
    const { permute, nameTokens } = run.config, rng = run.rng('permute'), rows = told(run, made.data);
    return { loss: learn(run, made, permute === 'none' ? rows : rows.map((row) => permuted(rng, row, nameTokens, permute))) };
  },
  measure: (run, made) => ({ ...questions(made), pictures: { attention: pattern(made) } }),
  series,
  plots: [
    { type: 'line', series: ['forward', 'reversed'], title: 'Questions answered', y: 'share' },
    { type: 'line', series: ['loss'], title: 'Training loss' },
    { type: 'heat', picture: 'attention', title: 'Attention of the second layer, first head, to a reversed question' },
  ],
  headline: (arms) => ({ label: 'reversed questions answered after reading permuted units', value: of(arms, 'units', 1) }),
  verdict: (arms) => [
    atMost('reversed questions, as told', of(arms, 'none', 1), 0.05),
    atLeast('reversed questions, units permuted', of(arms, 'units', 1), 0.95),
    atMost('names of 3 tokens: tokens permuted, as a share of units permuted', of(arms, 'tokens', 3) / of(arms, 'units', 3), 0.5),
  ],
});
