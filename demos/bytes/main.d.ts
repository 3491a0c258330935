export type TokenStrip = import("../../web/elements/token-strip.js").TokenStrip;
export type ByteDistribution = import("../../web/elements/byte-distribution.js").ByteDistribution;
export type ByteResult = import("../../web/elements/byte-distribution.js").ByteResult;
export type ModelPicker = import("../../web/elements/model-picker.js").ModelPicker;
export type Piece = import("./verdict.js").Piece;
