"""GGUF v3, written and read with nothing but numpy.

Layout (all little-endian): "GGUF", u32 version, u64 tensor count, u64 pair count, the key/value pairs, the tensor
descriptions (name, dims with the contiguous one first, type, offset), padding to the alignment, tensor data.

Q8_0 stores 32 values in 34 bytes: d as a half, then 32 signed bytes; value = d * q. The reference rule: d = max|x| / 127
in float32, q = x / d rounded half away from zero with that float32 d, and only then d becomes a half.
"""

import struct

import numpy as np

F32, Q5_0, Q8_0 = 0, 6, 8
U8, I8, U16, I16, U32, I32, FLOAT32, BOOL, STRING, ARRAY, U64, I64, FLOAT64 = range(13)
SCALARS = {U8: "<B", I8: "<b", U16: "<H", I16: "<h", U32: "<I", I32: "<i", FLOAT32: "<f", U64: "<Q", I64: "<q", FLOAT64: "<d"}
ALIGNMENT = 32


def quantize_q8_0(x):
    """x [..., 32 k] float32 -> uint8 array of 34-byte blocks, [rows, 34 * blocks per row]."""
    x = np.ascontiguousarray(x, dtype=np.float32)
    if x.shape[-1] % 32:
        raise ValueError(f"Q8_0: rows of {x.shape[-1]} values; the length must be a multiple of 32")
    blocks = x.reshape(-1, 32)
    d = (np.abs(blocks).max(axis=1) / np.float32(127)).astype(np.float32)
    ratio = np.divide(blocks, d[:, None], out=np.zeros_like(blocks), where=d[:, None] > 0).astype(np.float64)
    q = np.trunc(ratio + np.copysign(0.5, ratio)).astype(np.int8)
    out = np.empty((len(blocks), 34), dtype=np.uint8)
    out[:, :2] = d.astype("<f2").view(np.uint8).reshape(-1, 2)
    out[:, 2:] = q.view(np.uint8)
    return out.reshape(int(np.prod(x.shape[:-1])), -1)


def dequantize_q5_0(raw, shape):
    """22 bytes hold 32 values: d as a half, 32 fifth bits, 32 nibbles (the first 16 values low); value = d * (q - 16)."""
    blocks = np.frombuffer(raw, dtype=np.uint8).reshape(-1, 22)
    d = blocks[:, :2].copy().view("<f2").astype(np.float32)
    high = np.unpackbits(blocks[:, 2:6].copy(), axis=1, bitorder="little")
    low = np.concatenate([blocks[:, 6:] & 15, blocks[:, 6:] >> 4], axis=1)
    return (d * ((low | high << 4).astype(np.float32) - 16)).reshape(shape)


def dequantize_q8_0(raw, shape):
    blocks = np.frombuffer(raw, dtype=np.uint8).reshape(-1, 34)
    d = blocks[:, :2].copy().view("<f2").astype(np.float32)
    return (blocks[:, 2:].view(np.int8).astype(np.float32) * d).reshape(shape)


def _string(s):
    data = s.encode("utf-8")
    return struct.pack("<Q", len(data)) + data


def _value(v):
    """(type, bytes) of a metadata value. bool -> bool, int -> u32, float -> f32, lists by their first element; lists of
    int become i32 arrays (the token types)."""
    if isinstance(v, bool):
        return BOOL, struct.pack("<B", v)
    if isinstance(v, int):
        return U32, struct.pack("<I", v)
    if isinstance(v, float):
        return FLOAT32, struct.pack("<f", v)
    if isinstance(v, str):
        return STRING, _string(v)
    if isinstance(v, list):
        if v and isinstance(v[0], int):
            kind, body = I32, struct.pack(f"<{len(v)}i", *v)
        else:
            kind, body = STRING, b"".join(map(_string, v))
        return ARRAY, struct.pack("<IQ", kind, len(v)) + body
    raise TypeError(f"GGUF metadata cannot hold {type(v).__name__}")


def write(path, metadata, tensors):
    """tensors: list of (name, float32 array, F32 or Q8_0)."""
    metadata = {**metadata, "general.alignment": ALIGNMENT}
    head = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(metadata))]
    for key, v in metadata.items():
        kind, body = _value(v)
        head += [_string(key), struct.pack("<I", kind), body]
    data, offset = [], 0
    for name, array, kind in tensors:
        array = np.ascontiguousarray(array, dtype="<f4")
        body = array.tobytes() if kind == F32 else quantize_q8_0(array).tobytes()
        dims = array.shape[::-1]
        head += [_string(name), struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)]
        body += b"\0" * (-len(body) % ALIGNMENT)
        data.append(body)
        offset += len(body)
    start = b"".join(head)
    with open(path, "wb") as f:
        f.write(start + b"\0" * (-len(start) % ALIGNMENT))
        f.writelines(data)


class _Cursor:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if n > len(self.data) - self.at:
            raise ValueError(f"GGUF: {n} bytes wanted at offset {self.at}, {len(self.data) - self.at} left")
        self.at += n
        return self.data[self.at - n : self.at]

    def scalar(self, fmt):
        return struct.unpack(fmt, self.take(struct.calcsize(fmt)))[0]

    def string(self):
        return self.take(self.scalar("<Q")).decode("utf-8")

    def value(self, kind):
        if kind == STRING:
            return self.string()
        if kind == BOOL:
            return bool(self.scalar("<B"))
        if kind == ARRAY:
            inner, count = self.scalar("<I"), self.scalar("<Q")
            return [self.value(inner) for _ in range(count)]
        if kind not in SCALARS:
            raise ValueError(f"GGUF: value type {kind} at offset {self.at}")
        return self.scalar(SCALARS[kind])


def read(path):
    """(metadata, {name: float32 array}) with every tensor dequantised."""
    with open(path, "rb") as f:
        c = _Cursor(f.read())
    if c.take(4) != b"GGUF" or c.scalar("<I") != 3:
        raise ValueError(f"{path}: not a GGUF v3 file")
    n_tensors, n_pairs = c.scalar("<Q"), c.scalar("<Q")
    metadata = {}
    for _ in range(n_pairs):
        key = c.string()
        metadata[key] = c.value(c.scalar("<I"))
    infos = []
    for _ in range(n_tensors):
        name = c.string()
        dims = [c.scalar("<Q") for _ in range(c.scalar("<I"))]
        infos.append((name, tuple(dims[::-1]), c.scalar("<I"), c.scalar("<Q")))
    align = metadata.get("general.alignment", 32)
    start = -(-c.at // align) * align
    tensors = {}
    for name, shape, kind, offset in infos:
        count = int(np.prod(shape))
        if kind not in (F32, Q5_0, Q8_0) or offset % align:
            raise ValueError(f"{path}: tensor {name}: type {kind} at offset {offset}; F32, Q5_0 or Q8_0 at a multiple of {align} expected")
        c.at = start + offset
        raw = c.take({F32: count * 4, Q5_0: count // 32 * 22, Q8_0: count // 32 * 34}[kind])
        if kind == F32:
            tensors[name] = np.frombuffer(raw, dtype="<f4").reshape(shape).copy()
        else:
            tensors[name] = (dequantize_q8_0 if kind == Q8_0 else dequantize_q5_0)(raw, shape)
    return metadata, tensors
