// What models and byte models take and give, as types. Nothing here is loaded when a program runs.

/** @typedef {{phase: 'download' | 'prepare' | 'ready', loaded: number, total: number | null, file: string}} Progress loaded, total: bytes; total null: not known */
/**
 * @typedef {object} ModelOptions
 * @property {(progress: Progress) => void} [onProgress]
 * @property {AbortSignal} [signal] stops the loading
 * @property {boolean} [cache] keep files of URLs on this machine (ModelStore): the next load needs no network, and one that was cut goes on. Where nothing can be kept
 *   (Node, pages that are not secure, no room) the file is loaded as without it
 * @property {number} [threads] how many at most; 1 where shared memory is not allowed. Default: the machine's cores, 4 at most. Results do not depend on it
 * @property {'ref' | 'simd' | 'relaxed'} [isa] which kernels. Default: the best that the platform has
 * @property {string | URL} [workerUrl] where worker.js is, when it is not beside the other files
 */
/**
 * @typedef {object} ModelInfo
 * @property {string} architecture "llama", "gpt2"...
 * @property {string} name as the file says, or ''
 * @property {number} layers
 * @property {number} width
 * @property {number} heads
 * @property {number} kvHeads
 * @property {number} headWidth
 * @property {number} ffnWidth
 * @property {number} vocab
 * @property {number} context trained length, tokens; a limit only where positions were learned one by one
 * @property {number} parameters
 * @property {number} weightBytes
 * @property {string} weightType of most weights: "Q8_0"...
 * @property {number} [segments] of encoders that know them: kinds of text (BERT's sentences A and B) that `typeIds` may name
 * @property {true} [bidirectional] an encoder: every token sees the whole text
 * @property {true} [headless] the file holds hidden layers alone: there are traces and embeddings, but no logits
 * @property {number} [encoderLayers] of encoder-decoder models alone, whose `layers` are the decoder's
 * @property {number | null} [decoderStart] the token that such a decoder starts from; null: not known
 */
/** @typedef {{shape: number[], data: Float32Array}} Traced row-major, the first dimension is the slowest */
/** @typedef {{logits: Float32Array, vocab: number, traces: Record<string, Traced>}} RunResult logits: [vocab] of the last token, with `all` [tokens][vocab]; empty after `stopAt` */
/**
 * Sampling, in `sampling.js`, and:
 * @typedef {import('./sampling.js').SamplingOptions & GenerateOnly} GenerateOptions
 */
/**
 * @typedef {object} GenerateOnly
 * @property {number} [maxTokens] default 128
 * @property {AbortSignal} [signal]
 * @property {(number | string)[]} [stop] ids or texts that end the generation. Default: the model's end tokens. An id is given out
 *   before the end, a text is not. []: nothing stops it
 * @property {boolean} [logProbs] give each token's log-probability (natural, under the model, before temperature)
 * @property {'f32' | 'f16' | 'q8'} [kv] how keys and values are kept, see SessionOptions; default f32
 */
/**
 * @typedef {object} Perplexity
 * @property {number} tokens how many were scored
 * @property {number} bytes UTF-8 bytes that they spell
 * @property {number} nats -ln p of all of them together
 * @property {number} natsPerToken
 * @property {number} perplexity exp(natsPerToken)
 * @property {number} bitsPerByte nats / ln 2 / bytes: comparable between vocabularies
 * @property {number} window @property {number} stride
 * @property {number | null} bos the token that each document followed
 */
/** @typedef {{id: number, text: string, logProb?: number, last: boolean}} Piece text: what is now certain; '' while a character is unfinished, or without a tokenizer */

/**
 * @typedef {object} NextBytes
 * @property {Float64Array} bytes natural log-probabilities of the 256 possible next bytes; -Infinity: impossible
 * @property {number} end log-probability that the text ends here; exp of the 257 sums to 1 (less missingMass)
 * @property {Float64Array | null} naive 257: the same as a prompt of the text's usual tokens gives it, the first byte of the next
 *   token; [256]: the end. All -Infinity when the usual tokens are no spelling of the text; null with `naive: false`
 * @property {number} missingMass proven upper bound on the probability that was left out; 0: exact
 * @property {number} textLogProb log-probability that a text starts with this one (valid: the sum over its spellings, before normalisation)
 * @property {'valid' | 'masked' | 'all'} target which spellings count
 * @property {number} liveContexts token sequences that the text may be the beginning of
 * @property {ByteTree | null} tree for pictures, with the option `tree`
 */
/**
 * Token sequences as a tree; node 0 is the beginning. `bytes`: of the token; `end`: bytes of text up to the token's end; `live`: the text's end
 * cuts or touches it; `weight`: log-probability, null: none; a live one also says how many `tokens` may go on from it and their `mass`.
 * @typedef {{id: number, parent: number, token: number, bytes: number[], end: number, live: boolean, weight: number | null, tokens?: number, mass?: number | null}} ByteNode
 * @typedef {{length: number, prefix: number, text_logprob: number | null, nodes: ByteNode[]}} ByteTree
 */

/**
 * @typedef {object} BytesScore
 * @property {number} textLogProb log-probability that a text starts with this one @property {number} missingMass as in NextBytes
 * @property {Float64Array | null} bytes with perByte: log-probability of each byte after those before it; -Infinity from the first on that cannot be
 * @property {number | null} end with perByte: of the text ending there @property {'valid' | 'masked' | 'all'} target
 */
/**
 * @typedef {object} BytesGenerateOptions
 * @property {number} [maxBytes] default 256
 * @property {number} [temperature] of the bytes: their probabilities to the power of 1 / temperature; default 1; 0: always the likeliest (of equals the lowest)
 * @property {number} [topP] only the likeliest bytes that reach this probability together; default 1
 * @property {number} [seed] the same seed, the same bytes; default: random
 * @property {boolean} [logProbs] give each byte's log-probability (before temperature); then every context is evaluated
 * @property {AbortSignal} [signal]
 */
/** @typedef {{bytes: Uint8Array, text: string, logProbs?: Float64Array}} BytesPiece text: the characters that are now complete */
/** @typedef {{reason: 'length' | 'end' | 'context', missingMass: number, target: 'valid' | 'masked' | 'all', endLogProb?: number}} BytesEnd reason: maxBytes, the text ended, or contextTokens were used up */
/** @typedef {BytesEnd & {bytes: Uint8Array, text: string, logProbs: Float64Array | null}} BytesSample */
/**
 * @typedef {object} BytesBeam
 * @property {{bytes: Uint8Array, text: string, ends: boolean, logProb: number, proven: boolean}[]} paths best first; ends: the text ends after them;
 *   logProb: the sum over its bytes (and the end) as `next` gives them; proven: no continuation that was let go can be better
 * @property {number} prunedLogProb the largest log-probability that what was let go can have; -Infinity: nothing was
 * @property {'valid' | 'masked' | 'all'} target
 */

export {};
