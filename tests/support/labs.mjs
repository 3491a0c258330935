// A lab that labs' hosts are tested with: a transformer that is wide enough for several threads to share its products.

/** The module's text. @param {string} index of web/lab/index.js @param {string} net of web/net.js */
export const transformerLab = (index, net) => `
import { above, defineLab, nextTokens, repeats } from '${index}';
import { transformer } from '${net}';
export default defineLab({
  id: 9003, name: 'wide', title: 'Wide', claim: 'It learns.', published: 'They do.', source: 'here', notes: [],
  config: { steps: { value: 5, min: 1, max: 100, label: 'steps' } }, presets: { quick: {}, full: {} },
  setup(run) {
    const g = run.params.graph(), tokens = g.index('tokens', [4, 32]), targets = g.index('targets', [4, 32]);
    g.train(transformer(g, tokens, { vocab: 32, width: 64, layers: 2, heads: 4 }).logits.crossEntropy(targets).mean());
    return { g, tokens, targets };
  },
  step(run, { g, tokens, targets }) {
    const rows = nextTokens(repeats(run.rng('data'), { batch: 4, length: 33, symbols: 32 }).tokens, 33);
    tokens.set(rows.inputs);
    targets.set(rows.targets);
    return { loss: g.step({ rule: 'adamw', rate: 3e-3, decay: 0.01, clip: 1 }) };
  },
  measure: (run) => ({ pictures: { norms: { bars: ['final'], values: run.params.list().at(-1).value.slice(0, 1) } } }),
  series: { loss: { label: 'loss', unit: 'nats' } },
  plots: [{ type: 'line', series: ['loss'], title: 'Loss' }],
  headline: ([arm]) => ({ label: 'loss', value: arm.last.loss }),
  verdict: ([arm]) => [above('loss', arm.last.loss, 0)],
});`;
