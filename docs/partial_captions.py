"""Captions with clusters of the small Paris, whole ones and parts of them, for `mnist-ddm paris fit-caption-router`.

    python docs/partial_captions.py build/partial.jsonl

Of each training state that ships: its caption, and its digit, its ink and its ground alone, as captions that leave the
cluster open say them (`results/paris-caption-partial/captions.txt`).
"""

import json
import sys
from pathlib import Path

from mnist_ddm.storage.files import write_text
from mnist_ddm.systems.registry import load_system
from paris_ddm.mini.data import attributes


def main(out: Path) -> None:
    """Write the file."""
    pool = load_system("paris")
    condition = pool.measures.real_condition(10**6, held_out=False)
    form = {"digit": "{} {}", "ink": "in {1}", "ground": "{} {} ground"}
    lines = []
    for caption, cluster in zip(condition.captions, condition.cluster.tolist(), strict=True):
        words = {a.name: a.labels[a.label(caption)] for a in attributes()}
        parts = (form[name].format("an" if word[0] in "aeio" else "a", word) for name, word in words.items())
        lines += [json.dumps({"text": text, "cluster": cluster}) for text in (caption, *parts)]
    write_text(out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
