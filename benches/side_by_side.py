#!/usr/bin/env python3
"""Measure gristmill and llama.cpp on the same files, in turn, and print the ratios.

    cargo build --release
    python3 -m venv peers && peers/bin/pip install llama-cpp-python
    peers/bin/python benches/side_by_side.py MODEL.gguf [MODEL.gguf ...] [-p 512] [-n 64] [-d 0] [-t 2] [-r 5] [--isa avx2]

Each round runs gristmill once and llama.cpp once, so that a machine that drifts (shared cores, heat) drifts for both.
Reported are the medians over the rounds, tokens a second, and gristmill divided by llama.cpp: above 1 is faster.
llama.cpp stays loaded between rounds (its load time is not counted), gristmill is started anew each time.
Run nothing else meanwhile.
"""
import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class LlamaCpp:
    """One model in llama.cpp, with fresh contexts for every measurement."""

    def __init__(self, path, threads):
        import llama_cpp
        self.api, self.threads = llama_cpp, threads
        llama_cpp.llama_backend_init()
        self.quiet = llama_cpp.llama_log_callback(lambda level, text, user: None)
        llama_cpp.llama_log_set(self.quiet, ctypes.c_void_p(0))
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), llama_cpp.llama_model_default_params())
        if not self.model:
            raise SystemExit(f"llama.cpp could not load {path}")
        self.vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))

    def _decode(self, context, ids):
        array = (self.api.llama_token * len(ids))(*ids)
        if self.api.llama_decode(context, self.api.llama_batch_get_one(array, len(ids))):
            raise SystemExit("llama.cpp: decode failed")
        self.api.llama_synchronize(context)

    def run(self, prompt, generated, depth):
        """(prompt tokens/s, generated tokens/s); None for a length of 0."""
        ids = [(7 * k * k + 13 * k + 5) % (self.vocab - 8) + 4 for k in range(max(prompt, depth, generated, 1))]
        speeds = []
        for before, timed in ((depth, [ids[:prompt]] if prompt else []), (max(depth, 1), [[t] for t in ids[:generated]])):
            if not timed:
                speeds.append(None)
                continue
            settings = self.api.llama_context_default_params()
            settings.n_ctx = max(before + prompt, before + generated) + 8
            settings.n_batch = settings.n_ubatch = max(prompt, depth, 512)
            settings.n_threads = settings.n_threads_batch = self.threads
            context = self.api.llama_init_from_model(self.model, settings)
            if before:
                self._decode(context, ids[:before])
            start = time.perf_counter()
            for step in timed:
                self._decode(context, step)
            speeds.append(sum(map(len, timed)) / (time.perf_counter() - start))
            self.api.llama_free(context)
        return tuple(speeds)


def gristmill(binary, path, a):
    """(prompt tokens/s, generated tokens/s) of one run of `gristmill bench`."""
    command = [binary, "bench", path, "-p", str(a.prompt), "-n", str(a.generate), "-d", str(a.depth),
               "-t", str(a.threads), "-r", "1", "--json"]
    environment = dict(os.environ, **({"GRISTMILL_ISA": a.isa} if a.isa else {}))
    found = {row["test"][:2]: row["tok_s"]["median"]
             for row in json.loads(subprocess.run(command, check=True, capture_output=True, env=environment).stdout)}
    return found.get("pp"), found.get("tg")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("models", nargs="+")
    ap.add_argument("-p", "--prompt", type=int, default=512)
    ap.add_argument("-n", "--generate", type=int, default=64)
    ap.add_argument("-d", "--depth", type=int, default=0)
    ap.add_argument("-t", "--threads", type=int, default=2)
    ap.add_argument("-r", "--rounds", type=int, default=5)
    ap.add_argument("--isa", help="GRISTMILL_ISA for gristmill")
    ap.add_argument("--gristmill", default=os.path.join(ROOT, "target", "release", "gristmill"), help="the binary")
    a = ap.parse_args()
    print(f"{'model':40} {'test':>6}  {'gristmill':>10} {'llama.cpp':>10} {'ratio':>6}   tokens/s, {a.threads} threads")
    for path in a.models:
        peer = LlamaCpp(path, a.threads)
        peer.run(a.prompt, min(a.generate, 8), a.depth)
        ours, theirs = [], []
        for _ in range(a.rounds):
            ours.append(gristmill(a.gristmill, path, a))
            theirs.append(peer.run(a.prompt, a.generate, a.depth))
        for column, test in enumerate((f"pp{a.prompt}", f"tg{a.generate}")):
            pairs = [(g[column], l[column]) for g, l in zip(ours, theirs) if g[column] and l[column]]
            if pairs:
                mine, other = (statistics.median(p[k] for p in pairs) for k in (0, 1))
                print(f"{os.path.basename(path)[:40]:40} {test:>6}  {mine:10.1f} {other:10.1f} {mine / other:6.2f}", flush=True)
        peer.api.llama_model_free(peer.model)


if __name__ == "__main__":
    sys.exit(main())
