"""Mutations of valid files: of bytes, JSON, safetensors headers and numbers, and of what stands under their name."""

import json
import os
import random
import shutil
import struct
from pathlib import Path

HOSTILE_NAMES = (
    "../outside/secret", "../../outside/secret", "/etc/passwd", "..", ".", "", "a\0b", "x" * 300, "y/" * 600 + "z",
    "results", "link/secret", "results/../../outside/secret", "\ud800", "[/x]", "=1+1", "a\nb\rc", "\x1b[31mred",
    "\u2028", "C:\\x", "~", "$HOME", "é" * 200, " ", "\u202e",
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 2, 0.5, -0.0, 1e308, -1e308, 1e-320, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63), 10**30,
    float("nan"), float("inf"), float("-inf"), 7, 10**6, 10**12, True,
)  # fmt: skip
_RAW = ("1e999", "-1e999", "1" * 400, "1" * 5000, "NaN", "Infinity", "-Infinity", "0x1", "01", "1.", "'a'", "nul", "")


def mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    """One to four changes that know nothing of the format."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        what, place = rng.randrange(9), rng.randrange(len(changed) + 1)
        if what == 0 and changed:
            for _ in range(rng.randint(1, 8)):
                changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        elif what == 1:
            del changed[place:]
        elif what == 2:
            changed[place:place] = rng.randbytes(rng.choice((1, 4, 100)))
        elif what == 3:
            del changed[place : place + rng.choice((1, 8, 100))]
        elif what == 4:
            changed[place : place + rng.choice((1, 4, 8))] = rng.choice((b"\xff", b"\0", b"\x7f", b"\x80")) * 8
        elif what == 5 and changed:
            end = min(len(changed), place + rng.choice((2, 30, 300)))
            changed[place:place] = changed[place:end]
        elif what == 6:
            changed += rng.choice((b"\0", b"x" * 50, bytes(changed[:200])))
        elif what == 7:
            changed[place:place] = rng.choice((b"[", b"{", b'{"a":')) * rng.choice((1, 100, 20_000))
        elif rng.random() < 0.1:
            changed = bytearray(rng.choice((b"", b"{}", b"[]", b"null", b"1", b'"', b"\xef\xbb\xbf{}", b"\0" * 64)))
    return bytes(changed)


def mutate_value(value: object, rng: random.Random) -> object:
    """A JSON-like value with one to three changes."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(value))
        holder, key = rng.choice(places) if places else (None, None)
        if holder is None:
            return _strange(value, rng)
        what = rng.randrange(10)
        if what <= 5:
            holder[key] = _strange(holder[key], rng)
        elif what == 6:
            del holder[key]
        elif what == 7 and isinstance(holder, dict):
            holder[_text(rng)] = holder.pop(key)
        elif what == 8 and isinstance(holder, dict):
            holder[_text(rng)] = _strange(holder[key], rng)
        elif isinstance(holder, list):
            holder.insert(key, holder[rng.randrange(len(holder))])
        else:
            holder[key] = rng.choice(places)[0]
            value = json.loads(json.dumps(value)) if _is_tree(value) else None
    return value


def _is_tree(value: object, above: tuple[int, ...] = ()) -> bool:
    if id(value) in above or len(above) > 50:
        return False
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(_is_tree(part, (*above, id(value))) for part in inside)


def _places(value: object, limit: int = 400):
    """Every place of a value: what holds it, and under which key."""
    queue = [value]
    while queue and limit > 0:
        holder = queue.pop()
        items = holder.items() if isinstance(holder, dict) else enumerate(holder) if isinstance(holder, list) else ()
        for key, inner in list(items):
            limit -= 1
            yield holder, key
            queue.append(inner)


def _text(rng: random.Random) -> str:
    return rng.choice(HOSTILE_NAMES) if rng.random() < 0.8 else "k" * rng.choice((1, 50, 5000))


def _strange(value: object, rng: random.Random) -> object:
    what = rng.randrange(8)
    if what == 0:
        return rng.choice(NUMBERS)
    if what == 1:
        return _text(rng)
    if what == 2:
        return rng.choice((None, True, False, [], {}, "", [[]], [None], {"a": None}))
    if what == 3:
        deep: object = value
        for _ in range(rng.choice((1, 2, 10, 70, 300))):
            deep = [deep] if rng.random() < 0.5 else {"a": deep}
        return deep
    if what == 4 and isinstance(value, int | float):
        return rng.choice((str(value), -value, value * 2, value + 1, float(value), [value]))
    if what == 5 and isinstance(value, str):
        return rng.choice((value + "x", value[:-1], value.upper(), [value], value * 3, f"../{value}", 0))
    if what == 6 and isinstance(value, list):
        return rng.choice((value[:-1], value * 2, value[:1], dict(enumerate(map(str, value))), value[::-1]))
    return rng.choice(NUMBERS) if rng.random() < 0.5 else _text(rng)


def mutate_json(content: bytes, rng: random.Random) -> bytes:
    """A JSON text with changed values, or with text that Python alone would not write."""
    changed = mutate_value(json.loads(content), rng)
    text = json.dumps(changed, ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.1:
        numbers = [i for i, c in enumerate(text) if c.isdigit()]
        if numbers:
            place = rng.choice(numbers)
            text = text[:place] + rng.choice(_RAW) + text[place + 1 :]
    if rng.random() < 0.02:
        text = "[" * 50_000 + text
    return text.encode("utf-8", "surrogatepass")


def mutate_safetensors(content: bytes, rng: random.Random) -> bytes:
    """A safetensors file with a changed header, changed metadata or numbers that are none."""
    length = struct.unpack("<Q", content[:8])[0]
    header, data = json.loads(content[8 : 8 + length]), bytearray(content[8 + length :])
    what = rng.randrange(5)
    if what == 0:
        header = mutate_value(header, rng)
    elif what == 1 and "json" in header.get("__metadata__", {}):
        header["__metadata__"]["json"] = mutate_json(header["__metadata__"]["json"].encode(), rng).decode(
            "utf-8", "replace"
        )
    elif what == 2:
        names = [name for name in header if name != "__metadata__"]
        entry = header[rng.choice(names)]
        field = rng.choice(("dtype", "shape", "data_offsets"))
        if field == "dtype":
            entry["dtype"] = rng.choice(
                ("F64", "F32", "F16", "BF16", "I64", "I8", "U8", "BOOL", "F8_E4M3", "X", "U16", "C64")
            )
        elif entry[field]:
            entry[field][rng.randrange(len(entry[field]))] = rng.choice((0, 1, -1, 2**40, 2**63, entry[field][0], 1.5))
    elif len(data) >= 4:
        for _ in range(rng.choice((1, 1, 5))):
            place = rng.randrange(len(data) // 4) * 4
            data[place : place + 4] = struct.pack(
                "<f", rng.choice((float("nan"), float("inf"), -float("inf"), 3e38, 0.0))
            )
    told = json.dumps(header).encode()
    if rng.random() < 0.1:
        length = rng.choice((0, 1, len(told) - 1, len(told) + 1, 2**40, 2**63))
        return struct.pack("<Q", length) + told + data
    return struct.pack("<Q", len(told)) + told + data


def mutate(path: Path, rng: random.Random, outside: Path) -> None:
    """Change a file in place by a mutation that suits it, or put something else there."""
    content = path.read_bytes()
    if rng.random() < 0.02:
        replace_by_something_else(path, rng, outside)
        return
    kinds = [mutate_bytes]
    if path.suffix == ".json":
        kinds += [mutate_json] * 3
    elif path.suffix == ".safetensors":
        kinds += [mutate_safetensors] * 3
    path.write_bytes(rng.choice(kinds)(content, rng))


def replace_by_something_else(path: Path, rng: random.Random, outside: Path) -> None:
    """A folder, a pipe, a device, a link or nothing where a file should be."""
    path.unlink()
    what = rng.randrange(7)
    if what == 0:
        path.mkdir()
    elif what == 1:
        os.mkfifo(path)
    elif what == 2:
        path.symlink_to("/dev/zero")
    elif what == 3:
        path.symlink_to(path)
    elif what == 4:
        path.symlink_to(outside / "secret")
    elif what == 5:
        path.symlink_to("/dev/full")


def restore(path: Path, content: bytes) -> None:
    """Put a file back as it was, whatever is there now."""
    if path.is_symlink() or not path.is_file():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
