#!/usr/bin/env python3
"""Writes the fixture nomic-bert-moe here, for which the references have none.

    testdata/archs/nomic_moe.py

A second computation of Nomic's encoders in f64, without any library, after the models' published code. It is first
compared with llama.cpp's embeddings of nomic-bert-mean, which must agree, and then makes those of a model with experts.
"""

import hashlib
import json
import math
import struct
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAME, SEED = "nomic-bert-moe", 3
WIDTH, HIDDEN, LAYERS, HEADS, VOCABULARY, EXPERTS, USED = 96, 128, 4, 4, 128, 4, 2
EPSILON = struct.unpack("<f", struct.pack("<f", 1e-5))[0]
MASK = (1 << 64) - 1


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def weights(name, seed, count):
    """The generator of README.md, for names without rules of their own but `norm`."""
    start = 0xCBF29CE484222325
    for byte in name.encode():
        start = (start ^ byte) * 0x100000001B3 & MASK
    start ^= seed
    one = 1.0 if "norm" in name and name.endswith(".weight") else 0.0
    values = []
    for i in range(count):
        x = start + (i + 1) * 0x9E3779B97F4A7C15 & MASK
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
        x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
        x ^= x >> 31
        v = f32((f32(x >> 40) * 2.0**-24 - 0.5) * f32(0.35))
        values.append(f32(one + v))
    return values


class Tensors(dict):
    """Rows of matrices, and vectors, by name; made when they are asked for."""

    def __init__(self, shapes, seed):
        super().__init__()
        self.shapes, self.seed = shapes, seed

    def __missing__(self, name):
        shape = self.shapes[name]
        values = weights(name, self.seed, math.prod(shape))
        if len(shape) > 1:
            values = [values[i : i + shape[0]] for i in range(0, len(values), shape[0])]
        self[name] = values
        return values


def product(t, name, x, rows=None):
    matrix = t[f"{name}.weight"] if rows is None else t[f"{name}.weight"][rows]
    out = [sum(a * b for a, b in zip(row, x)) for row in matrix]
    bias = f"{name}.bias"
    return [a + b for a, b in zip(out, t[bias])] if bias in t.shapes else out


def norm(t, name, x):
    mean = sum(x) / len(x)
    variance = sum((v - mean) ** 2 for v in x) / len(x)
    factor = 1.0 / math.sqrt(variance + EPSILON)
    return [(v - mean) * factor * w + b for v, w, b in zip(x, t[f"{name}.weight"], t[f"{name}.bias"])]


def softmax(x):
    powers = [math.exp(v - max(x)) for v in x]
    return [p / sum(powers) for p in powers]


def gelu(x):
    return 0.5 * x * (1.0 + math.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def rotated(head, position, base):
    """Pairs are an element of the first half and one of the second."""
    half = len(head) // 2
    out = list(head)
    for i in range(half):
        angle = position * base ** (-2.0 * i / len(head))
        a, b = head[i], head[i + half]
        out[i] = a * math.cos(angle) - b * math.sin(angle)
        out[i + half] = a * math.sin(angle) + b * math.cos(angle)
    return out


def attention(t, at, xs, base):
    qkv = [product(t, f"{at}.attn_qkv", x) for x in xs]
    length = WIDTH // HEADS
    mixed = [[] for _ in xs]
    for head in range(HEADS):
        part = lambda row, which: row[which * WIDTH + head * length :][:length]
        queries = [rotated(part(row, 0), i, base) for i, row in enumerate(qkv)]
        keys = [rotated(part(row, 1), i, base) for i, row in enumerate(qkv)]
        values = [part(row, 2) for row in qkv]
        for out, query in zip(mixed, queries):
            scores = softmax([sum(a * b for a, b in zip(query, key)) / math.sqrt(length) for key in keys])
            out += [sum(s * v[d] for s, v in zip(scores, values)) for d in range(length)]
    return [product(t, f"{at}.attn_output", x) for x in mixed]


def feed_forward(t, at, x):
    if f"{at}.ffn_gate.weight" in t.shapes:
        gate = product(t, f"{at}.ffn_gate", x)
        up = product(t, f"{at}.ffn_up", x)
        return product(t, f"{at}.ffn_down", [g / (1.0 + math.exp(-g)) * u for g, u in zip(gate, up)])
    if f"{at}.ffn_gate_inp.weight" not in t.shapes:
        return product(t, f"{at}.ffn_down", [gelu(v) for v in product(t, f"{at}.ffn_up", x)])
    # The best experts, weighed by their share of all experts' softmax.
    shares = softmax(product(t, f"{at}.ffn_gate_inp", x))
    out = [0.0] * WIDTH
    for expert in sorted(range(EXPERTS), key=lambda e: -shares[e])[:USED]:
        up = product(t, f"{at}.ffn_up_exps", x, slice(expert * HIDDEN, (expert + 1) * HIDDEN))
        given = product(t, f"{at}.ffn_down_exps", [gelu(v) for v in up], slice(expert * WIDTH, (expert + 1) * WIDTH))
        out = [a + shares[expert] * b for a, b in zip(out, given)]
    return out


def embedding(t, layers, base, ids):
    add = lambda xs, ys: [[a + b for a, b in zip(x, y)] for x, y in zip(xs, ys)]
    kind = t["token_types.weight"][0]
    xs = [norm(t, "token_embd_norm", [a + b for a, b in zip(t["token_embd.weight"][i], kind)]) for i in ids]
    for layer in range(layers):
        at = f"blk.{layer}"
        xs = [norm(t, f"{at}.attn_output_norm", x) for x in add(xs, attention(t, at, xs, base))]
        given = [feed_forward(t, at, x) for x in xs]
        xs = [norm(t, f"{at}.layer_output_norm", x) for x in add(xs, given)]
    return [sum(column) / len(xs) for column in zip(*xs)]


def nmse(ours, reference):
    return sum((a - b) ** 2 for a, b in zip(ours, reference)) / sum(b * b for b in reference)


def check():
    """What this computes for nomic-bert-mean is what llama.cpp computed."""
    facts = json.loads((HERE / "nomic-bert-mean.json").read_text())
    shapes = {"token_embd.weight": (96, 128), "token_types.weight": (96, 2)}
    shapes |= {"token_embd_norm.weight": (96,), "token_embd_norm.bias": (96,)}
    for layer in range(3):
        shapes |= common_layer(layer)
        for name, shape in [("ffn_gate", (96, 192)), ("ffn_up", (96, 192)), ("ffn_down", (192, 96))]:
            shapes[f"blk.{layer}.{name}.weight"] = shape
    t = Tensors(shapes, facts["seed"])
    ours = [v for ids in facts["tokens"] for v in embedding(t, 3, 1000.0, ids)]
    data = (HERE / "nomic-bert-mean.embd").read_bytes()
    found = nmse(ours, struct.unpack(f"<{len(data) // 4}f", data))
    print(f"nomic-bert-mean: NMSE {found:.1e}")
    assert found < 1e-9


def common_layer(layer):
    at = f"blk.{layer}"
    shapes = {f"{at}.attn_qkv.weight": (WIDTH, 3 * WIDTH), f"{at}.attn_output.weight": (WIDTH, WIDTH)}
    for name in ["attn_output_norm", "layer_output_norm"]:
        shapes |= {f"{at}.{name}.weight": (WIDTH,), f"{at}.{name}.bias": (WIDTH,)}
    return shapes


def shapes_with_experts():
    shapes = {"token_embd.weight": (WIDTH, VOCABULARY), "token_types.weight": (WIDTH, 2)}
    shapes |= {"token_embd_norm.weight": (WIDTH,), "token_embd_norm.bias": (WIDTH,)}
    for layer in range(LAYERS):
        at = f"blk.{layer}"
        shapes |= common_layer(layer)
        shapes |= {f"{at}.attn_qkv.bias": (3 * WIDTH,), f"{at}.attn_output.bias": (WIDTH,)}
        if layer % 2 == 1:
            shapes[f"{at}.ffn_gate_inp.weight"] = (WIDTH, EXPERTS)
            shapes[f"{at}.ffn_up_exps.weight"] = (WIDTH, HIDDEN, EXPERTS)
            shapes[f"{at}.ffn_down_exps.weight"] = (HIDDEN, WIDTH, EXPERTS)
        else:
            shapes |= {f"{at}.ffn_up.weight": (WIDTH, HIDDEN), f"{at}.ffn_up.bias": (HIDDEN,)}
            shapes |= {f"{at}.ffn_down.weight": (HIDDEN, WIDTH), f"{at}.ffn_down.bias": (WIDTH,)}
    return shapes


def head(shapes):
    text = lambda s: struct.pack("<Q", len(s)) + s.encode()
    number = lambda n: struct.pack("<II", 4, n)
    real = lambda x: struct.pack("<If", 6, x)
    tokens = b"".join(text(f"tok_{i}") for i in range(VOCABULARY))
    keys = {
        "general.architecture": struct.pack("<I", 8) + text(NAME),
        "context_length": number(256),
        "embedding_length": number(WIDTH),
        "block_count": number(LAYERS),
        "feed_forward_length": number(HIDDEN),
        "attention.head_count": number(HEADS),
        "attention.layer_norm_epsilon": real(1e-5),
        "attention.causal": struct.pack("<IB", 7, 0),
        "rope.freq_base": real(10000.0),
        "pooling_type": number(1),
        "expert_count": number(EXPERTS),
        "expert_used_count": number(USED),
        "moe_every_n_layers": number(2),
        "tokenizer.ggml.model": struct.pack("<I", 8) + text("test"),
        "tokenizer.ggml.tokens": struct.pack("<IIQ", 9, 8, VOCABULARY) + tokens,
    }
    out = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(keys))
    for key, value in keys.items():
        whole = key if key.startswith(("general.", "tokenizer.")) else f"{NAME}.{key}"
        out += text(whole) + value
    offset = 0
    for name, shape in shapes.items():
        out += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset)
        offset += -(-4 * math.prod(shape) // 32) * 32
    return out + bytes(-len(out) % 32), offset


def main():
    check()
    shapes = shapes_with_experts()
    start, size = head(shapes)
    t = Tensors(shapes, SEED)
    ids = json.loads((HERE / "nomic-bert-mean.json").read_text())["tokens"]
    vectors = [v for text in ids for v in embedding(t, LAYERS, 10000.0, text)]
    data = b""
    for name, shape in shapes.items():
        values = weights(name, SEED, math.prod(shape))
        data += struct.pack(f"<{len(values)}f", *values)
        data += bytes(-len(data) % 32)
    assert len(data) == size
    facts = {
        "arch": NAME,
        "seed": SEED,
        "exercises": "experts in every second layer, biases, mean pooling; computed by nomic_moe.py, not by llama.cpp",
        "tokens": ids,
        "output": "embeddings",
        "pooling_type": "mean",
        "n_embd": WIDTH,
        "n_sequences": len(ids),
        "data_bytes": size,
        "head_bytes": len(start),
        "gguf_sha256": hashlib.sha256(start + data).hexdigest(),
        "nmse_limit": 1e-9,
    }
    (HERE / f"{NAME}.head").write_bytes(start)
    (HERE / f"{NAME}.json").write_text(json.dumps(facts, indent=1) + "\n")
    (HERE / f"{NAME}.embd").write_bytes(struct.pack(f"<{len(vectors)}f", *vectors))


if __name__ == "__main__":
    main()
