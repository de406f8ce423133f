"""Writes small vocabularies of the kinds that no published one is here for, and llama.cpp's answers.

    python3 small_kinds.py CORPUS OUTDIR     (needs gguf and llama-cpp-python)

CORPUS is any text of many scripts; the vocabularies are its frequent substrings. OUTDIR gets KIND.gguf, KIND.cases.jsonl.
"""
import collections
import ctypes
import json
import random
import sys

import gguf
import llama_cpp

BACKSLASH = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\"}
KINDS = ["rwkv", "plamo2", "whitespace", "hybriddna"]
SAMPLES = [
    "", " ", "\n", "a", "Hello, world!", "  two  spaces  ", "tabs\tand\r\nlines\n\n\n", "\\n \\x41 \\\\", "<s>", "a<s>b</s>",
    "<|plamo:bos|>x<|plamo:eos|>", "<0x41><0x0A>", "▁a ▁", "\ufeffbom", "a\ufeffb", "naïve façade", "Grüße aus Köln",
    "今天天气很好，我们去散步吧！", "吾輩は猫である。", "안녕하세요 세계", "🦀👍🏽 👩‍👩‍👧", "Съешь ещё этих булок",
    "x = [1, 2, 3]; print(x[-1])", "1234567890" * 3, "a" * 300, "ab" * 150, " " * 70,
    "<dna>ACGTACGTTTGA</dna>", "the <dna>acgtacNNN</dna> of", "<dna>ACGT", "ACGTAC", "<dna></dna>", "a</dna>b", "UPPER lower",
]


def substrings(text, rng, count, longest):
    """Frequent pieces of a text, short and long ones, without regard to words."""
    found = collections.Counter()
    for _ in range(60000):
        start, length = rng.randrange(len(text)), rng.randint(2, longest)
        found[text[start:start + length]] += 1
    return [piece for piece, _ in found.most_common(count)]


def python_bytes(data):
    return repr(data)[2:-1]


def vocabulary(kind, corpus, rng):
    """Texts, types and scores of the tokens."""
    if kind == "rwkv":
        pieces = {bytes([b]) for b in range(256)}
        pieces |= {piece.encode() for piece in substrings(corpus, rng, 700, 9)}
        # Parts of characters too.
        pieces |= {c.encode()[:2] for c in corpus if ord(c) > 0x800}
        pieces = sorted(pieces, key=lambda p: (len(p), p))
        return ["<s>"] + [python_bytes(p) for p in pieces], [3] + [1] * len(pieces), None
    if kind == "plamo2":
        tokens = ["<|plamo:unk|>", "<|plamo:bos|>", "<|plamo:eos|>", "<|plamo:pad|>"]
        types, scores = [3] * 4, [0.0] * 4
        for b in range(256):
            tokens.append(f"<0x{b:02X}>")
            types.append(6)
            scores.append(0.0)
        letters = sorted(set(corpus) - {"\x00"})[:400]
        for piece in letters + substrings(corpus, rng, 900, 8):
            if piece not in tokens:
                tokens.append(piece)
                types.append(1)
                # Steps of a half, so that many ways are equally good; some tokens that are never used.
                scores.append(-3000.0 if rng.random() < 0.02 else -rng.randint(4, 24) / 2 - len(piece) / 8)
        return tokens, types, scores
    letters = [chr(c) for c in range(0x21, 0x7f)]
    tokens = letters + ["Ġ", "Ċ", "你", "世", "é", "th", "he", "the", "an", "and", "Ġa", "<0xC3>", "<0xA9>", "<0xE4>"]
    types = [6 if t.startswith("<0x") else 1 for t in tokens]
    if kind == "hybriddna":
        more = ["<dna>", "</dna>", "<oov>", "ACGTAC\ue000", "GTTTGA\ue000", "ACGTAA\ue000"]
        tokens, types = tokens + more, types + [1] * len(more)
    return tokens, types, None


def write(kind, path, corpus, rng):
    tokens, types, scores = vocabulary(kind, corpus, rng)
    out = gguf.GGUFWriter(path, "llama")
    out.add_name(kind)
    for key in ["block_count", "embedding_length", "feed_forward_length", "attention.head_count", "context_length"]:
        out.add_uint32(f"llama.{key}", 32)
    out.add_float32("llama.attention.layer_norm_rms_epsilon", 1e-5)
    out.add_tokenizer_model(kind)
    if kind in ("whitespace", "hybriddna"):
        out.add_tokenizer_pre("whitespace" if kind == "whitespace" else "gpt-2")
        out.add_token_merges(["t h", "th e", "h e", "a n", "an d", "Ġ a"])
    out.add_token_list(tokens)
    out.add_token_types(types)
    if scores:
        out.add_token_scores(scores)
    if kind == "rwkv":
        out.add_eos_token_id(0)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.close()
    return tokens


def texts(tokens, corpus, rng):
    yield from SAMPLES
    for _ in range(60):
        start = rng.randrange(len(corpus))
        yield corpus[start:start + rng.randint(1, 90)]
    for _ in range(30):
        yield "".join(rng.choice(["a", "b", "th", "e ", "\n", "é", "你", "🦀", "  ", "."]) for _ in range(rng.randint(1, 30)))
    for _ in range(30):
        yield "".join(rng.choice(tokens) for _ in range(rng.randint(1, 12)))


def answers(path, cases):
    params = llama_cpp.llama_model_default_params()
    params.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(path.encode(), params)
    if not model:
        return None
    vocab = llama_cpp.llama_model_get_vocab(model)
    results = []
    for text, add_special, parse_special in cases:
        data = text.encode()
        room = (llama_cpp.llama_token * (len(data) + 8))()
        count = llama_cpp.llama_tokenize(vocab, data, len(data), room, len(room), add_special, parse_special)
        ids = list(room[:count])
        buffer = ctypes.create_string_buffer(len(data) * 8 + 64)
        size = llama_cpp.llama_detokenize(vocab, room, count, buffer, len(buffer), False, True)
        pieces = b""
        for token in ids:
            piece = ctypes.create_string_buffer(256)
            size_of_piece = llama_cpp.llama_token_to_piece(vocab, token, piece, 256, 0, True)
            pieces += piece.raw[:size_of_piece]
        results.append((ids, buffer.raw[:size], pieces))
    return results


def put(case, key, data):
    try:
        case[key] = data.decode()
    except UnicodeDecodeError:
        case[key] = None
        case[key + "_hex"] = data.hex()


def main():
    corpus = open(sys.argv[1], encoding="utf-8").read()
    for kind in KINDS:
        rng = random.Random(kind)
        path = f"{sys.argv[2]}/{kind}.gguf"
        tokens = write(kind, path, corpus, rng)
        cases = [(text, rng.random() < 0.5, rng.random() < 0.5) for text in texts(tokens, corpus, rng) if "\0" not in text]
        results = answers(path, cases)
        if results is None:
            print(f"{kind}: this llama.cpp does not read it", file=sys.stderr)
            continue
        with open(f"{sys.argv[2]}/{kind}.cases.jsonl", "w") as out:
            for (text, add_special, parse_special), (ids, detok, pieces) in zip(cases, results):
                case = {"text": text, "add_special": add_special, "parse_special": parse_special, "ids": ids}
                # There, what llama.cpp writes for tokens beyond Latin-1 is a complaint.
                if kind != "whitespace":
                    put(case, "detok", detok)
                    if pieces != detok:
                        put(case, "pieces", pieces)
                out.write(json.dumps(case) + "\n")


main()
