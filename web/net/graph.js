// Graphs of tensor operations over parameters: values forwards, gradients backwards. The operations are src/tensor/general.h's.
import { MicrotomeError, globExpression } from '../runtime/errors.js';

/** @typedef {import('./params.js').Params} Params */
/** @typedef {import('./params.js').Init} Init */
/** @typedef {Tensor | number} Operand */
/** What is done to a value right after it is computed: one number for each element, or one for all. @typedef {{replace: ArrayLike<number> | number} | {add: ArrayLike<number> | number} | {scale: ArrayLike<number> | number}} Change */

const axisOf = (/** @type {Tensor} */ x, /** @type {number} */ axis) => {
  const n = x.dims.length, at = axis < 0 ? n + axis : axis;
  if (!Number.isInteger(axis) || at < 0 || at >= n) throw new MicrotomeError(`axis ${axis} of a tensor of ${n} dimensions (${x.dims.join(' x ')})`, { code: 'ERANGE' });
  return at;
};

/** A value in a graph: its shape, and the operations that lead on. Row-major, float32, up to 4 dimensions. */
export class Tensor {
  /** @param {Graph} graph @param {number} id @param {number[]} dims @param {number} [at] inputs: where their values lie @internal */
  constructor(graph, id, dims, at = 0) {
    this.graph = graph;
    this.id = id;
    this.dims = dims;
    this.at = at;
  }
  /** Elements. */
  get size() { return this.dims.reduce((a, b) => a * b, 1); }

  /** @param {string} op @param {Tensor[]} [more] @param {number[]} [ints] @param {number[]} [floats] @param {number[]} [dims] */
  #op(op, more = [], ints = [], floats = [], dims = []) { return this.graph.op(op, [this, ...more], ints, floats, dims); }
  /** @param {string} kind @param {number} [f0] @param {number} [f1] */
  #unary(kind, f0 = 0, f1 = 0) { return this.#op('UNARY', [], [this.graph.enum(`MT_UNARY_${kind}`)], [f0, f1]); }
  /** @param {string} kind @param {Tensor} b */
  #binary(kind, b) { return this.#op('BINARY', [b], [this.graph.enum(`MT_BINARY_${kind}`)]); }

  // arithmetic, with broadcasting as in NumPy
  /** Sum. @param {Operand} b */
  add(b) { return typeof b === 'number' ? this.affine(1, b) : this.#binary('ADD', b); }
  /** Difference. @param {Operand} b */
  sub(b) { return typeof b === 'number' ? this.affine(1, -b) : this.#binary('SUB', b); }
  /** Product, element by element. @param {Operand} b */
  mul(b) { return typeof b === 'number' ? this.affine(b, 0) : this.#binary('MUL', b); }
  /** Quotient. @param {Operand} b */
  div(b) { return typeof b === 'number' ? this.affine(1 / b, 0) : this.#binary('DIV', b); }
  /** The larger of each two. @param {Tensor} b */
  maximum(b) { return this.#binary('MAX', b); }
  /** The smaller of each two. @param {Tensor} b */
  minimum(b) { return this.#binary('MIN', b); }
  /** a x + b @param {number} a @param {number} b */
  affine(a, b) { return this.#unary('AFFINE', a, b); }
  /** -x */
  neg() { return this.#unary('NEG'); }
  /** e^x */
  exp() { return this.#unary('EXP'); }
  /** Natural logarithm. */
  log() { return this.#unary('LOG'); }
  /** Square root. */
  sqrt() { return this.#unary('SQRT'); }
  /** 1 / square root. */
  rsqrt() { return this.#unary('RSQRT'); }
  /** x^2 */
  square() { return this.#unary('SQUARE'); }
  /** 1 / x */
  reciprocal() { return this.#unary('RECIPROCAL'); }
  /** Without its sign. */
  abs() { return this.#unary('ABS'); }
  /** Sine, of radians. */
  sin() { return this.#unary('SIN'); }
  /** Cosine, of radians. */
  cos() { return this.#unary('COS'); }
  /** Hyperbolic tangent. */
  tanh() { return this.#unary('TANH'); }
  /** 1 / (1 + e^-x) */
  sigmoid() { return this.#unary('SIGMOID'); }
  /** ln(1 + e^x) */
  softplus() { return this.#unary('SOFTPLUS'); }
  /** x where it is above 0, else 0. */
  relu() { return this.#unary('RELU'); }
  /** x where it is above 0, else slope x. @param {number} [slope] default 0.01 */
  leakyRelu(slope = 0.01) { return this.#unary('LEAKY_RELU', slope); }
  /** Hendrycks & Gimpel 2016. @param {{exact?: boolean}} [options] exact: by the error function instead of tanh */
  gelu({ exact = false } = {}) { return this.#unary(exact ? 'GELU_ERF' : 'GELU_TANH'); }
  /** x sigmoid(x) (Elfwing et al. 2017). */
  silu() { return this.#unary('SILU'); }
  /** x^exponent @param {number} exponent */
  pow(exponent) { return this.#unary('POW', exponent); }
  /** low where x is below it, high where it is above; no gradient there. @param {number} low @param {number} high */
  clamp(low, high) { return this.#unary('CLAMP', low, high); }
  /** -1, 0 or 1; no gradient. */
  sign() { return this.#unary('SIGN'); }
  /** To the nearest whole number; no gradient (see straightThrough). */
  round() { return this.#unary('ROUND'); }

  // reductions: over one axis, or over everything when none is given (the result is then [1])
  /** @param {string} kind @param {number | undefined} axis @param {boolean} keep the axis stays, with width 1 @returns {Tensor} */
  #reduce(kind, axis, keep) {
    if (axis === undefined) return (this.dims.length === 1 ? this : this.reshape([this.size])).#reduce(kind, 0, true);
    const at = axisOf(this, axis);
    const y = this.#op('REDUCE', [], [this.graph.enum(`MT_REDUCE_${kind}`), at]);
    return keep || this.dims.length === 1 ? y : y.reshape(this.dims.filter((_, d) => d !== at));
  }
  /** Sum. @param {number} [axis] @param {{keep?: boolean}} [options] */
  sum(axis, { keep = false } = {}) { return this.#reduce('SUM', axis, keep); }
  /** Mean. @param {number} [axis] @param {{keep?: boolean}} [options] */
  mean(axis, { keep = false } = {}) { return this.#reduce('MEAN', axis, keep); }
  /** The largest. @param {number} [axis] @param {{keep?: boolean}} [options] */
  amax(axis, { keep = false } = {}) { return this.#reduce('MAX', axis, keep); }
  /** Mean square distance from the mean (divided by n). @param {number} [axis] @param {{keep?: boolean}} [options] */
  variance(axis, { keep = false } = {}) { return this.#reduce('VARIANCE', axis, keep); }
  /** ln of the sum of e^x. @param {number} [axis] @param {{keep?: boolean}} [options] */
  logSumExp(axis, { keep = false } = {}) { return this.#reduce('LOG_SUM_EXP', axis, keep); }
  /** Sums so far. @param {number} axis @param {{fromEnd?: boolean}} [options] fromEnd: they begin with the last; default false */
  cumsum(axis, { fromEnd = false } = {}) { return this.#op('CUMSUM', [], [axisOf(this, axis), Number(fromEnd)]); }

  // over the last axis
  /** e^x over the sum of them. */
  softmax() { return this.#op('SOFTMAX', [], [0]); }
  /** ln of the softmax, without computing it first. */
  logSoftmax() { return this.#op('SOFTMAX', [], [1]); }
  /** Ba et al. 2016. @param {Tensor | null} [gain] [width] @param {Tensor | null} [bias] [width] @param {number} [epsilon] added to the variance */
  layerNorm(gain = null, bias = null, epsilon = 1e-5) { return this.graph.op('LAYER_NORM', [this, gain, bias], [], [epsilon]); }
  /** Zhang & Sennrich 2019. @param {Tensor | null} [gain] [width] @param {number} [epsilon] added to the mean square */
  rmsNorm(gain = null, epsilon = 1e-5) { return this.graph.op('RMS_NORM', [this, gain], [], [epsilon]); }
  /** Rows of length 1. @param {number} [epsilon] added to the squared length */
  unit(epsilon = 1e-12) { return this.mul(this.square().sum(-1, { keep: true }).add(epsilon).rsqrt()); }
  /** -log softmax at the targets, in nats: one loss for each row; -1: none, and no gradient. @param {Index} targets @param {{smoothing?: number}} [options] smoothing: share of the target that all tokens have alike (Szegedy et al. 2016), default 0 */
  crossEntropy(targets, { smoothing = 0 } = {}) { return this.#op('CROSS_ENTROPY', [targets], [], [smoothing]); }
  /** One element of each row of the last axis. @param {Index} index -1: zero */
  pick(index) { return this.#op('PICK', [index]); }

  /** scale * x b over the last two axes, those before them equal, or missing in b. @param {Tensor} b @param {{ta?: boolean, tb?: boolean, scale?: number}} [options] ta, tb: the last two axes change places first */
  matmul(b, { ta = false, tb = false, scale = 1 } = {}) { return this.#op('DOT', [b], [Number(ta) | (Number(tb) << 1)], [scale]); }

  // look-ups and shapes
  /** Rows along the first axis. @param {Index} index -1: zeros @returns {Tensor} [...index.dims, ...dims after the first] */
  take(index) { return this.#op('TAKE', [index]); }
  /** The same values in another shape. @param {number[]} dims one of them may be -1: what is left */
  reshape(dims) {
    const known = dims.reduce((a, b) => (b === -1 ? a : a * b), 1);
    return this.#op('COPY', [], [], [], dims.map((n) => (n === -1 ? this.size / known : n)));
  }
  /** Axis d of the result is axis axes[d] of this. @param {...number} axes */
  permute(...axes) { return this.#op('PERMUTE', [], axes.map((a) => axisOf(this, a))); }
  /** The last two axes change places. */
  transpose() {
    const n = this.dims.length;
    return this.permute(...this.dims.map((_, d) => (d === n - 1 ? n - 2 : d === n - 2 ? n - 1 : d)));
  }
  /** b behind this. @param {Tensor} b as wide along the other dimensions @param {number} [axis] */
  concat(b, axis = -1) { return this.#op('CONCAT', [b], [axisOf(this, axis)]); }
  /** Elements first .. first + count along an axis. @param {number} axis @param {number} first @param {number} count */
  cut(axis, first, count) { return this.#op('CUT', [], [axisOf(this, axis), first, count]); }
  /** y[t] = x[t - by] along an axis; what comes in is zero, or (around) what went out. @param {number} axis @param {number} by @param {{around?: boolean}} [options] */
  shift(axis, by, { around = false } = {}) { return this.#op('MOVE', [], [axisOf(this, axis), by, Number(around)]); }
  /** From the last to the first. @param {number} axis */
  flip(axis) { return this.#op('FLIP', [], [axisOf(this, axis)]); }
  /** Axes of width 1 repeated. @param {number[]} dims */
  expand(dims) { return this.#op('EXPAND', [], [], [], dims); }
  /** The same value, but no gradient goes back through it. */
  stop() { return this.#op('STOP'); }
  /** The value of `value` with the gradient of this (Bengio et al. 2013). @param {Tensor} value */
  straightThrough(value) { return this.graph.op('STRAIGHT', [value, this]); }

  /** Gives the value a name by which it is read, traced and patched. @param {string} name @returns {this} */
  named(name) {
    this.graph.name(name, this);
    return this;
  }
  /** The value can be read after a run; before the graph is planned. @param {{gradient?: boolean}} [options] gradient: its gradient too, after a step @returns {this} */
  keep({ gradient = false } = {}) {
    this.graph.keep(this, gradient);
    return this;
  }
  /** The value of the last run, as it lies in memory: valid until something is allocated. @returns {Float32Array} */
  get value() { return this.graph.valueOf(this); }
  /** The gradient of the last step. @returns {Float32Array} */
  get grad() { return this.graph.gradOf(this); }
  /** @returns {Float32Array<ArrayBuffer>} a copy */
  read() { return new Float32Array(this.value); }
  /** The value of a tensor of one element. @returns {number} @throws {MicrotomeError} ERANGE: it has more */
  item() {
    if (this.size !== 1) throw new MicrotomeError(`a tensor of ${this.dims.join(' x ')} is no single number`, { code: 'ERANGE' });
    return this.value[0];
  }
  /** New values of an input, for the runs from now on. @param {ArrayLike<number>} values one for each element @throws {MicrotomeError} ESTATE: it is computed, not given; ERANGE: more or fewer values */
  set(values) {
    if (!this.at) throw new MicrotomeError('only inputs are set: a value that is computed can be patched (Graph.patch)', { code: 'ESTATE' });
    if (values.length !== this.size) throw new MicrotomeError(`${values.length} values for an input of ${this.dims.join(' x ')}`, { code: 'ERANGE' });
    this.graph.setInput(this, values);
  }
}

/** Whole numbers that go into a graph: tokens, targets, places. */
export class Index extends Tensor {}

/** A graph of operations: built, planned once with train() or ready(), then run as often as wanted. free() it, or its Params. */
export class Graph {
  #at = 0;
  #struct = 0;
  #planned = false;
  /** @type {Tensor | null} */ #loss = null;
  /** @type {Map<string, Tensor>} */ #names = new Map();
  /** @type {Map<string, Tensor>} */ #params = new Map();
  #forget;

  /** Use Params.graph. @param {Params} params @param {(graph: Graph) => void} forget @internal */
  constructor(params, forget) {
    this.params = params;
    this.heap = params.heap;
    this.#forget = forget;
    this.#at = this.heap.scope((alloc) => {
      const out = alloc(4);
      this.heap.call('net_new', params.at, out);
      return this.heap.u32(out);
    });
    this.#struct = this.heap.make('mt_net_node');
  }

  /** Its place in memory. @returns {number} @internal */
  get at() {
    if (!this.#at) throw new MicrotomeError('the graph was freed', { code: 'ESTATE' });
    return this.#at;
  }
  /** @param {string} name of a constant of the core @internal */
  enum(name) {
    const value = this.heap.enums[name];
    if (value === undefined) throw new MicrotomeError(`this build of the module does not know ${name}`, { code: 'EUNSUPPORTED' });
    return value;
  }

  /** @template {Tensor} T @param {'net_input' | 'net_index'} what @param {new (graph: Graph, id: number, dims: number[], at: number) => T} Kind @param {string} name @param {number[]} dims @returns {T} */
  #leaf(what, Kind, name, dims) {
    const { heap } = this;
    const [at, id] = heap.scope((alloc) => {
      const list = alloc(4 * dims.length + 4), out = alloc(8);
      heap.putInts(list, dims);
      heap.call(what, this.at, dims.length, list, out, out + 4);
      return [heap.u32(out), heap.u32(out + 4)];
    });
    const tensor = new Kind(this, id, [...dims], at);
    if (name) this.#names.set(name, tensor);
    return tensor;
  }
  /** Float values that are set before a run (zeros at first). @param {string} name '': none @param {number[]} dims @returns {Tensor} */
  input(name, dims) { return this.#leaf('net_input', Tensor, name, dims); }
  /** Whole numbers that are set before a run. @param {string} name '': none @param {number[]} dims @returns {Index} */
  index(name, dims) { return this.#leaf('net_index', Index, name, dims); }
  /** A tensor that never changes. @param {ArrayLike<number>} values @param {number[]} dims */
  constant(values, dims) {
    const tensor = this.input('', dims);
    tensor.set(values);
    return tensor;
  }
  /** A parameter: of that name, made where there is none yet. @param {string} name @param {number[]} dims @param {Init} [init] default 0 @returns {Tensor} */
  param(name, dims, init) {
    const there = this.#params.get(name), param = this.params.param(name, dims, init), { heap } = this;
    if (there) return there;
    const id = heap.scope((alloc) => {
      const out = alloc(4);
      heap.call('net_variable', this.at, param.at, out);
      return heap.u32(out);
    });
    const tensor = new Tensor(this, id, param.dims);
    this.#params.set(name, tensor);
    return tensor;
  }

  /** Adds an operation of the core. @param {string} op @param {(Tensor | null)[]} inputs @param {number[]} [ints] @param {number[]} [floats] @param {number[]} [dims] @returns {Tensor} @internal */
  op(op, inputs, ints = [], floats = [], dims = []) {
    const { heap } = this, struct = this.#struct;
    const field = (/** @type {string} */ name) => struct + heap.field('mt_net_node', name).offset;
    for (const x of inputs) if (x && x.graph !== this) throw new MicrotomeError(`${op.toLowerCase()}: an operand belongs to another graph`, { code: 'ESTATE' });
    heap.refresh();
    heap.u8.fill(0, struct, struct + heap.sizeOf('mt_net_node'));
    heap.view.setInt32(field('op'), this.enum(`MT_OP_${op}`), true);
    for (let k = 0; k < 4; k++) heap.view.setInt32(field('in') + 4 * k, inputs[k]?.id ?? -1, true);
    ints.forEach((value, k) => heap.view.setInt32(field('i') + 4 * k, value, true));
    floats.forEach((value, k) => heap.view.setFloat32(field('f') + 4 * k, value, true));
    dims.forEach((value, k) => heap.view.setInt32(field('dims') + 4 * k, value, true));
    heap.view.setInt32(field('n_dims'), dims.length, true);
    return heap.scope((alloc) => {
      const out = alloc(4);
      heap.call('net_op', this.at, struct, out);
      return new Tensor(this, heap.u32(out), heap.array('mt_net_node', struct, 'dims').slice(0, heap.read('mt_net_node', struct).n_dims));
    });
  }
  /** condition is not 0 ? a : b, with broadcasting. @param {Tensor} condition @param {Tensor} a @param {Tensor} b */
  where(condition, a, b) { return this.op('WHERE', [condition, a, b]); }

  /** What Tensor.named does. @param {string} name @param {Tensor} tensor @internal */
  name(name, tensor) {
    if (this.#names.has(name)) throw new MicrotomeError(`there is a value "${name}" already`, { code: 'ESTATE' });
    this.keep(tensor, false);
    this.#names.set(name, tensor);
  }
  /** Names of values, in the order of computation. @param {string} [glob] @returns {string[]} */
  names(glob = '*') {
    const match = globExpression(glob);
    return [...this.#names.keys()].filter((name) => match.test(name));
  }
  /** A value by its name. @param {string} name as input, index or Tensor.named gave it @returns {Tensor} @throws {MicrotomeError} EMISSING: there is none */
  get(name) {
    const found = this.#names.get(name);
    if (!found) throw new MicrotomeError(`there is no value "${name}" (${[...this.#names.keys()].join(', ') || 'none has a name'})`, { code: 'EMISSING' });
    return found;
  }
  /** What Tensor.keep does. @param {Tensor} tensor @param {boolean} gradient @internal */
  keep(tensor, gradient) { if (!tensor.at) this.heap.call('net_keep', this.at, tensor.id, Number(gradient)); }

  /**
   * Plans the graph for training. @param {Tensor} loss its elements are summed
   * @param {{segments?: number}} [options] segments: gradient checkpointing (Chen et al. 2016) in so many segments; -1: about the square root of the blocks
   * @returns {this}
   */
  train(loss, { segments = 0 } = {}) {
    this.heap.call('net_plan', this.at, loss.id, segments);
    this.#planned = true;
    this.#loss = loss;
    return this;
  }
  /** Plans the graph for runs forwards alone. @returns {this} */
  ready() {
    this.heap.call('net_plan', this.at, -1, 0);
    this.#planned = true;
    return this;
  }
  /** Memory of all values and gradients between, in bytes. @returns {number} */
  get bytes() { return this.heap.exports.net_bytes(this.at); }
  /** Computes all values. */
  run() { this.heap.call('net_run', this.at, this.params.pool); }
  /** After run(): adds gradients of the loss to those of the parameters. */
  backward() { this.heap.call('net_backward', this.at, this.params.pool); }
  /** Gradients from zero, values, gradients, one step of the optimizer. @param {import('./params.js').Update} update @returns {number} the loss before the step */
  step(update) {
    this.params.zero();
    this.run();
    const loss = this.loss;
    this.backward();
    this.params.step(update);
    return loss;
  }
  /** The loss of the last run. */
  get loss() {
    if (!this.#loss) throw new MicrotomeError('the graph has no loss: see train()', { code: 'ESTATE' });
    return this.valueOf(this.#loss).reduce((a, b) => a + b, 0);
  }

  /** What Tensor.value is. @param {Tensor} tensor @returns {Float32Array} @internal */
  valueOf(tensor) {
    if (!this.#planned && !tensor.at) throw new MicrotomeError('the graph has not been run yet', { code: 'ESTATE' });
    const at = tensor.at || this.heap.exports.net_value(this.at, tensor.id) >>> 0;
    if (!at) throw new MicrotomeError('the value is not kept: call keep() or named() before the graph is planned', { code: 'ESTATE' });
    this.heap.refresh();
    return new Float32Array(this.heap.buffer, at, tensor.size);
  }
  /** What Tensor.grad is. @param {Tensor} tensor @returns {Float32Array} @internal */
  gradOf(tensor) {
    const at = this.heap.exports.net_grad(this.at, tensor.id) >>> 0;
    if (!at) throw new MicrotomeError('there is no gradient: call keep({gradient: true}) before the graph is planned, and step() or backward() before it is read', { code: 'ESTATE' });
    this.heap.refresh();
    return new Float32Array(this.heap.buffer, at, tensor.size);
  }
  /** What Tensor.set does. @param {Tensor} tensor @param {ArrayLike<number>} values @internal */
  setInput(tensor, values) {
    this.heap.refresh();
    const Kind = tensor instanceof Index ? Int32Array : Float32Array;
    new Kind(this.heap.buffer, tensor.at, tensor.size).set(values);
  }
  /** Copies of all named values that match. @param {string[]} [globs] @returns {Record<string, {dims: number[], data: Float32Array}>} */
  trace(globs = ['*']) {
    return Object.fromEntries(globs.flatMap((glob) => this.names(glob)).map((name) => [name, { dims: this.get(name).dims, data: this.get(name).read() }]));
  }
  /** From now on this value is changed right after it is computed, and what follows sees the change. @param {string} name of the value @param {Change | null} change null: no longer @throws {MicrotomeError} EMISSING: there is no such value; EUNKNOWN: another kind of change */
  patch(name, change) {
    const tensor = this.get(name), { heap } = this;
    if (!change) return heap.call('net_patch', this.at, tensor.id, 0, 0, 0);
    const kind = Object.keys(change)[0];
    if (!['replace', 'add', 'scale'].includes(kind)) throw new MicrotomeError(`patch of "${name}": ${JSON.stringify(kind)} is not one of replace, add, scale`, { code: 'EUNKNOWN' });
    const given = Object.values(change)[0], values = Float32Array.from(typeof given === 'number' ? [given] : given);
    heap.scope((alloc) => {
      const at = alloc(values.byteLength);
      new Float32Array(heap.buffer, at, values.length).set(values);
      heap.call('net_patch', this.at, tensor.id, this.enum(`MT_NET_${kind.toUpperCase()}`), at, values.length);
    });
  }

  /** Frees the graph, not its parameters. */
  free() {
    if (!this.#at) return;
    this.heap.exports.net_free(this.#at);
    this.heap.release(this.#struct);
    this.#at = 0;
    this.#forget(this);
  }
}
