#!/usr/bin/env python3
"""Copies the fixtures of every registered architecture into this folder, so that a fresh clone proves them all.

    testdata/archs/take.py FOLDER...

Each FOLDER holds fixtures as README.md here describes them. An architecture is registered when a file of
engine/src/arch names it in `Architecture::new("...")`. Run this after one was added; what is here already is renewed.

Adapters, and models that are stored with their weights, are left out: whole files would be large.
"""

import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ARCHS = HERE.parent.parent / "engine/src/arch"

# Every position depends on those before it, so the last ones show what is wrong with any of them.
KEPT = 8

# Other tests than the walk over all architectures run these: on pieces, threads, guesses, caches. They are two
# architectures with and without windows and experts, and their logits are kept whole.
WHOLE = set(
    """
    gemma3-1b gemma3-dense gemma3-gqa
    llama-bias llama-dense llama-gqa llama-headdim llama-linear-oldkey llama-mixtral llama-moe llama-ropefreqs
    llama-yarn-attnfactor
    """.split()
)


# Without a reference; nomic_moe.py makes their fixtures.
OWN = {"nomic-bert-moe"}


def registered():
    """Names in the registry's files."""
    texts = [path.read_text() for path in sorted(ARCHS.glob("*.rs"))]
    return {name for text in texts for name in re.findall(r'\bArchitecture::new\(\s*"([^"]+)"', text)}


def take(folder, name):
    """Copies a fixture, and gives the number of bytes."""
    text = (folder / f"{name}.json").read_text()
    facts = json.loads(text)
    head = (folder / f"{name}.head").read_bytes()
    (HERE / f"{name}.head").write_bytes(head)
    if facts.get("output") == "embeddings":
        vectors = (folder / f"{name}.embd").read_bytes()
        if len(vectors) != 4 * facts["n_sequences"] * facts["n_embd"]:
            sys.exit(f"{folder / name}.embd: {len(vectors)} bytes are not what the .json says")
        (HERE / f"{name}.json").write_text(text)
        (HERE / f"{name}.embd").write_bytes(vectors)
        return len(head) + len(text) + len(vectors)
    logits = (folder / f"{name}.logits").read_bytes()
    first, last = facts["positions"]
    row = 4 * facts["n_vocab"]
    if len(logits) != (last - first + 1) * row:
        sys.exit(f"{folder / name}.logits: {len(logits)} bytes are not positions {first} to {last}")
    if name not in WHOLE:
        kept = min(KEPT, last - first + 1)
        logits = logits[-kept * row :]
        # In place, so that the rest stays as it was written.
        text, changed = re.subn(
            r'("positions": *)\[[^\]]*\]', rf"\g<1>[ {last - kept + 1}, {last} ]", text
        )
        if changed != 1:
            sys.exit(f"{folder / name}.json: {changed} times positions")
    (HERE / f"{name}.json").write_text(text)
    (HERE / f"{name}.logits").write_bytes(logits)
    return len(head) + len(text) + len(logits)


def main():
    folders = [Path(folder).resolve() for folder in sys.argv[1:]]
    if not folders or sys.argv[1].startswith("-"):
        sys.exit(__doc__.strip())
    known = registered()
    proven, taken, size = set(), 0, 0
    for folder in folders:
        if folder == HERE:
            sys.exit("the folder to take from is this one")
        for path in sorted(folder.glob("*.json")):
            arch = json.loads(path.read_text()).get("arch")
            outputs = [path.with_suffix(end) for end in (".logits", ".embd")]
            complete = path.with_suffix(".head").is_file() and any(map(Path.is_file, outputs))
            if arch in known and complete:
                size += take(folder, path.stem)
                taken += 1
                proven.add(arch)
    print(f"{taken} fixtures of {len(proven)} architectures, {size / 1e6:.2f} MB")
    missing = sorted(known - proven - OWN)
    if missing:
        sys.exit(f"no fixture of {', '.join(missing)}")


if __name__ == "__main__":
    main()
