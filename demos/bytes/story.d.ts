/**
 * @param {any} model
 * @param {string} text
 * @param {AbortSignal} signal
 * @returns {Promise<string>}
 */
export function writeTokens(model: any, text: string, signal: AbortSignal): Promise<string>;
/**
 * @param {any} byteModel
 * @param {string} text
 * @param {AbortSignal} signal
 * @returns {Promise<string>}
 */
export function writeBytes(byteModel: any, text: string, signal: AbortSignal): Promise<string>;
