"""A byte-pair tokenizer in CLIP's format, made from the captions of the task."""

import itertools
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from mnist_ddm.storage.files import write_json, write_text

START, END = "<|startoftext|>", "<|endoftext|>"
_WORD_END = "</w>"


def write_tokenizer(folder: Path, captions: Iterable[str], length: int) -> int:
    """Write `vocab.json`, `merges.txt` and `tokenizer_config.json`; returns the number of tokens.

    Every word of the captions becomes one token; any other text is cut into bytes, so no text is refused.

    Args:
        folder: of the tokenizer.
        captions: to make it from.
        length: tokens of a text, to which shorter ones are padded.
    """
    from tokenizers.pre_tokenizers import ByteLevel

    alphabet = sorted(ByteLevel.alphabet())
    merges = _merges(sorted({word for caption in captions for word in caption.split()}))
    tokens = [*alphabet, *(letter + _WORD_END for letter in alphabet), *("".join(pair) for pair in merges), START, END]
    write_json(folder / "vocab.json", {token: number for number, token in enumerate(tokens)})
    write_text(folder / "merges.txt", "\n".join(["#version: 0.2", *(" ".join(pair) for pair in merges)]) + "\n")
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": length,
        "bos_token": START,
        "eos_token": END,
        "unk_token": END,
        "pad_token": END,
    }
    write_json(folder / "tokenizer_config.json", config)
    return len(tokens)


def _merges(words: list[str]) -> list[tuple[str, str]]:
    """Merges of the most frequent pair, the first in order of the alphabet among equals, until each word is one token.

    Not `tokenizers`' own trainer: it numbers tokens in another order every time, and a training must be repeatable.
    """
    pieces = [[*word[:-1], word[-1] + _WORD_END] for word in words]
    merges = []
    while counts := Counter(pair for word in pieces for pair in itertools.pairwise(word)):
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        pieces = [_merged(word, best) for word in pieces]
    return merges


def _merged(word: list[str], pair: tuple[str, str]) -> list[str]:
    pieces: list[str] = []
    for piece in word:
        if pieces and (pieces[-1], piece) == pair:
            pieces[-1] += piece
        else:
            pieces.append(piece)
    return pieces
