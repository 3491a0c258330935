/**
 * A few more words, written in two ways from the same model: token by token after the tokenized prompt, and byte by byte
 * from the exact distribution. Both always take the likeliest.
 */

const MAX_BYTES = 28;
const MAX_TOKENS = 14;

/** A sentence's end is a good place to stop. @param {string} text */
const ended = (text) => /[.!?]["”]?\s?$|\n/.test(text);

/** What was cut off for want of room, up to its last whole word. @param {string} text */
const unfinished = (text) => `${/^(.*\S)\s\S*$/su.exec(text)?.[1] ?? text.replace(/\ufffd+$/, '')} …`;

/**
 * @param {any} model
 * @param {string} text
 * @param {AbortSignal} signal
 * @returns {Promise<string>}
 */
export async function writeTokens(model, text, signal) {
    let made = '';
    let count = 0;
    for await (const piece of model.generate(text, { temperature: 0, maxTokens: MAX_TOKENS, signal })) {
        made += piece.text;
        if (ended(made)) return made;
        if (made.length >= MAX_BYTES || ++count >= MAX_TOKENS) break;
        if (piece.last) return made; // the model ended the text
    }
    return unfinished(made);
}

/**
 * @param {any} byteModel
 * @param {string} text
 * @param {AbortSignal} signal
 * @returns {Promise<string>}
 */
export async function writeBytes(byteModel, text, signal) {
    const given = new TextEncoder().encode(text);
    const decoder = new TextDecoder();
    /** @type {number[]} */ const made = [];
    let written = '';
    while (!ended(written)) {
        if (made.length >= MAX_BYTES) return unfinished(written);
        const { bytes, end } = await byteModel.next(Uint8Array.of(...given, ...made), { signal });
        let best = 0;
        for (let b = 1; b < 256; b++) if (bytes[b] > bytes[best]) best = b;
        if (end > bytes[best]) break;
        made.push(best);
        written += decoder.decode(Uint8Array.of(best), { stream: true }); // half a character waits
    }
    return written;
}
