"""Generated command lines: whatever is typed ends with exit code 0 or 2 and at most one line of error.

Every command and option is known from the command line itself, so that a new one is tried without a change here. Long
work is cut short: the systems are small, nothing is trained, and files of students are checked in this process.

`MNIST_DDM_FUZZ=5000 pytest -m slow tests/fuzz/test_command_lines.py` tries so many; by default it is a few hundred.
"""

import contextlib
import io
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from importlib.metadata import EntryPoint

import click
import pytest
import torch

from mnist_ddm import cli
from mnist_ddm.exercises.crashes import explain
from mnist_ddm.exercises.registry import exercise_named, exercise_names
from mnist_ddm.exercises.runner import CheckResult
from mnist_ddm.exercises.worker import load_function
from mnist_ddm.systems.gaussian import GaussianPool
from mnist_ddm.terminal.options import installed_options

COUNT = int(os.environ.get("MNIST_DDM_FUZZ", "300"))
SEED = int(os.environ.get("MNIST_DDM_FUZZ_SEED", "0"))
SECONDS = 30
OF_SYSTEMS = {option.name for option in installed_options()}
"""Options that most systems do not take."""
ONE_IN = 100
"""Of so many lines one that ends with an error is given to a process of its own as well."""

LONG, SURROGATE, MARKUP = "x" * 300, "\udcff\udcfe", "[/x] [bold]"
TEXTS = ("", " ", "nowhere", LONG, SURROGATE, MARKUP, "=1+1", "-", "--", "a\nb", "\x1b[31m",
         "\u00e9\u4e2d\U0001f600",
         "%s{0}$HOME", "'\"", "a,b,,c", "0x10", "None", "../..", "~", "*", "\u2028")  # fmt: skip
NUMBERS = ("", "x", "-1", "0", "1.5", "1e3", "nan", "inf", "-inf",
           "1" * 30, "1" * 5000, "\u0663", "0x1", "1_0", " 1", "+1",
           "-0", "2147483648", "-9223372036854775809", "18446744073709551616")  # fmt: skip
ROUTINGS = ("top1", "top2", "full", "uniform", "label", "monolith", "once", "each", "posterior", "commit=0.9",
            "top-p=0.9", "gumbel", "gumbel2", "median", "geometric", "each~0.8~top1", "full@density",
            "full@T=2", "full@T=4+clip", "top2@centroids", "misaligned2", "top9", "top0", "top", "top=\u00b2",
            "top\u00b2",
            "full@T=2" * 5000, "full" + "@T=2" * 20, "full@T=0", "full@T=nan", "full@", "+clip", "@T=1",
            "top1" + "1" * 4400,
            "commit=", "commit=1e400", "full+equal+clip@T=1e-300", "TOP2", "top-2", "=", "full@t=1e308@t=1e308",
            "full@T=1e-320", "full@T=1e-320@T=1e-320")  # fmt: skip
RIGHT = {
    "system": (*["fake"] * 20, "gaussian", "mnist"),
    "routing": ROUTINGS, "routings": (*ROUTINGS, "top1,top2", "top1,,full", ",", "full,full"),
    "n": ("1", "2", "3"), "steps": ("1", "2", "3"), "seed": ("0", "1", "7"), "workers": ("1",), "device": ("cpu",),
    "solver": ("heun", "euler"), "scale": ("small", "medium", "full"), "preset": ("tiny", "classroom", "mini"),
    "partition": ("digit", "random", "kmeans"), "experts": ("10", "2"), "keep_every": ("0", "1"), "only": ("0", "3,7"),
    "analyses": ("expert-deviation", "disagreement", "averaging-variance", "router-calibration"),
    "group": ("alignment", "interventions"), "without": ("quality", "alignment", "disagreement"),
    "distance": ("l2", "alex", "digits"), "features": ("raw", "digits"), "fine": ("2",), "held_out": ("0.5",),
    "time_limit": ("1", "10"), "memory_limit": ("512",), "name": (*exercise_names(), "flow.py"),
    "chosen": tuple(exercise_names()), "player": ("ada", "=1"), "guidance": ("4", "0"), "dtype": ("float32",),
    "checkpoint": ("mnist-classroom",), "detail": ("time=1000t",), "fidelity_n": ("1",), "fidelity_steps": ("1",),
    "run": ("run", "other"), "a": ("run", "other"), "b": ("run", "other"),
    "tables": ("disagreement", "expert-deviation"),
}  # fmt: skip
PLACES = ("run", "other", "empty", "thesis", "file.txt", "class", "new", "new/deep/er", "file.txt/x", LONG, SURROGATE,
          MARKUP, "", ".", "..", "nested.json", "/proc/nowhere/x", "a\nb", "grid.png", "page.html", "folder.png",
          "table.csv",
          "deep", "link", "runs", "\u00e9.png", "~/x", "x" * 250 + ".png", "d/" * 3000 + "x")  # fmt: skip


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A working folder with what people have, and everything long cut short."""
    from mnist_ddm.cli import training as train
    from mnist_ddm.compute import parallel
    from mnist_ddm.exercises import grading, workspace
    from mnist_ddm.systems import registry
    from paris_ddm.mini import build

    here = tmp_path / "work"
    for folder in ("empty", "thesis", "class/ada", "class/=1", "folder.png", "deep"):
        (here / folder).mkdir(parents=True)
    (here / "thesis" / "thesis.txt").write_text("mine")
    (here / "file.txt").write_text("words")
    (here / "nested.json").write_text("[" * 100_000)
    (here / "deep" / "exercises.json").write_text("[" * 100_000)
    (here / "deep" / "manifest.json").write_text("[" * 100_000)
    (here / "link").symlink_to("nowhere")
    (here / "class" / "ada" / "order.py").write_text("def order(h, e):\n    return 2.0\n")
    (here / "class" / "=1" / "flow.py").write_text("def flow(:\n")
    monkeypatch.chdir(here)
    entries = list(registry._entries())
    fake = EntryPoint("fake", f"{__name__}:small_system", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(sys.modules[__name__], "small_system", _small_system, raising=False)
    sys.modules.setdefault("test_command_lines", sys.modules[__name__])
    monkeypatch.setattr(registry, "entry_points", lambda group: [*entries, fake])
    load, few = train.load_images, train.load_images()
    few = replace(few, train_images=few.train_images[:200], train_labels=few.train_labels[:200])

    def load_few(place=None, *, relabel=False):
        return few if place is None else load(place, relabel=relabel)

    monkeypatch.setattr(train, "load_images", load_few)
    planned = train.training_jobs
    monkeypatch.setattr(train, "training_jobs", lambda plan, names: planned(plan, names)[:0])
    monkeypatch.setattr(build, "build", lambda *arguments: None)
    monkeypatch.setattr(parallel, "_in_processes", lambda calls, workers: [call() for call in calls])
    monkeypatch.setattr("paris_ddm.check.check", _no_losses)

    def check_here(name, file, limits, picture=None, *, confined=False, start=None, on_passed=None):
        try:
            message = exercise_named(name).examine(load_function(file, name)).message
        except Exception as error:
            return CheckResult(*explain(error, file), 0.1, "0")
        return CheckResult("passed", message, 0.1, "0")

    monkeypatch.setattr(workspace, "run_check", check_here)
    monkeypatch.setattr(grading, "run_check", check_here)
    for out in ("run", "other"):
        told = typed(["analyze", "--system", "fake", "--n", "4", "--steps", "2", "--workers", "1", "--out", out])
        assert told[0] == 0, told
    return here


def _small_system(device="cpu"):
    means = torch.tensor([[-1.0, 0.0], [1.0, 0.5], [0.0, 1.0]], dtype=torch.float64)[:, None, None]
    return GaussianPool(means, torch.tensor([0.3, 0.5, 0.4]), torch.tensor([1.0, 2.0, 1.0]))


def _no_losses(settings, n, seed, on_progress):
    return {}


class TooSlow(BaseException):
    pass


def _stop(number, frame):
    raise TooSlow


def typed(arguments):
    """Exit code, output and errors of a command line, in this process."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    before = sys.argv, sys.stdin, os.environ.get("MNIST_DDM_TRACEBACK")
    signals = signal.signal(signal.SIGPROF, _stop), signal.getsignal(signal.SIGTERM)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of the processor: machines are shared
    sys.argv, sys.stdin = ["mnist-ddm", *arguments], io.StringIO()
    code = "returned"
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
    except SystemExit as end:
        code = end.code
    except TooSlow:
        code = f"more than {SECONDS} s"
    except BaseException as error:
        code = f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, signals[0])
        signal.signal(signal.SIGTERM, signals[1])
        sys.argv, sys.stdin = before[:2]
    return code, *(stream.buffer.getvalue().decode("utf-8", "replace") for stream in (out, err))


def commands():
    """Every command by its words."""

    def below(words, command):
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                yield from below([*words, name], command.get_command(context, name))
        else:
            yield words, command

    return list(below([], cli.cli))


def value(rng, parameter):
    """A value, right or wrong."""
    roll = rng.random()
    if parameter.name in RIGHT and roll < 0.75:
        return rng.choice(RIGHT[parameter.name])
    if isinstance(parameter.type, click.Choice) and roll < 0.7:
        return rng.choice(list(parameter.type.choices))
    if isinstance(parameter.type, click.Path):
        return rng.choice(PLACES)
    if parameter.type.name.split()[0] in ("integer", "float") and roll < 0.97:
        return rng.choice(NUMBERS)
    return rng.choice((*TEXTS, *PLACES))


_SELDOM = {"info": 0.1, "paris": 0.2, "report": 0.3, "compare": 0.5, "verify": 0.5, "reproduce": 0.4}
"""Commands that take long even in small."""


ENDLESS = ("watch",)
"""Options with which a command goes on until somebody stops it."""


def command_line(rng, known):
    """One line: a command, some of its options and arguments, and now and then something that it does not know."""
    words, command = rng.choices(known, [_SELDOM.get(words[0], 1) for words, _ in known])[0]
    line = list(words)
    # What would take long is always asked for in small.
    small = {"n": "2", "steps": "1", "workers": "1", "fidelity_n": "1", "fidelity_steps": "1"}
    given = []
    for parameter in command.params:
        if parameter.name in ENDLESS:
            continue
        often = 0.02 if parameter.name in OF_SYSTEMS else 0.2
        if parameter.name in small or (parameter.required and rng.random() < 0.9) or rng.random() < often:
            given.append(parameter)
    rng.shuffle(given)
    for parameter in given:
        many = parameter.nargs if parameter.nargs > 0 else 1
        values = [value(rng, parameter) for _ in range(many)]
        if parameter.name in small and rng.random() < 0.8:
            values = [small[parameter.name]]
        if isinstance(parameter, click.Argument):
            line += values
        elif parameter.is_flag:
            line.append(parameter.opts[0])
        elif rng.random() < 0.2 and many == 1:
            line.append(f"{parameter.opts[0]}={values[0]}")
        else:
            line += [rng.choice(parameter.opts), *values]
    if words == ["reproduce"]:
        line.append("--plan")
    if words[0] in ("analyze", "explore", "sample") and not any(a.startswith("--system") for a in line):
        line += ["--system", "fake"]
    if rng.random() < 0.05:
        line.insert(rng.randrange(len(line) + 1), rng.choice((*TEXTS, "--colour", "-x", "--help", "--version", "--n")))
    if rng.random() < 0.03:
        del line[rng.randrange(len(line))]
    return line


def finding(line, code, out, err):
    """What is wrong with the end of a command; nothing if all is well."""
    if "Traceback" in out + err:
        return "a traceback"
    if code == 0 or (code == 1 and "not yet" in out and line[:2] == ["exercises", "check"]):
        return ""
    if code != 2:
        return f"ended with {code}"
    if err.startswith("Usage:") and "Commands:" in err:
        return ""  # the help of a group
    *before, last = err.splitlines() or [""]
    if before and "--json" in line:  # what is being done stands beside the error there
        before = [told for told in before if told.startswith("error: ")]
    if before or not err.endswith("\n") or not last.startswith("error: "):
        return "not one line of error"
    return "" if len(last) <= 300 else "a line of more than 300 characters"


@pytest.mark.slow
def test_generated_command_lines_end_well(world, capsys):
    rng, known = random.Random(SEED), commands()
    findings, codes, seconds = [], Counter(), Counter()
    for number in range(COUNT):
        line = command_line(rng, known)
        begin = time.process_time()
        code, out, err = typed(line)
        words = next((" ".join(words) for words, _ in known if words == line[: len(words)]), "of no command")
        codes[words, code] += 1
        seconds[words] += time.process_time() - begin
        what = finding(line, code, out, err)
        # In this process nothing is trained, so what a training would have left is missed.
        alike = "fake" not in line and not words.startswith("train")
        if not what and code == 2 and number % ONE_IN == 0 and alike:
            apart = in_a_process(line)
            what = "" if apart == (2, err) else f"in a process of its own it ends with {apart}"
        if what:
            findings.append(f"{number}: {what}: {[a[:60] for a in line]} {err[-300:]!r}")
            with capsys.disabled():
                print(f"\n  FINDING {findings[-1]}", flush=True)
    with capsys.disabled():
        print(f"\n{COUNT} command lines with the seed {SEED}, {len(findings)} findings")
        for words, took in seconds.most_common():
            told = ", ".join(f"{n} with {code}" for (w, code), n in sorted(codes.items(), key=str) if w == words)
            print(f"  {words}: {told} ({took:.0f} s)")
    assert not findings, "\n".join(findings)
    assert (world / "thesis" / "thesis.txt").read_text() == "mine"
    assert (world / "file.txt").read_text() == "words"


def in_a_process(line):
    """Exit code and errors of a command line as a shell would start it."""
    program = [sys.executable, "-c", "from mnist_ddm.cli import main; main()"]
    try:
        arguments = [os.fsencode(argument) for argument in line]
        done = subprocess.run([*program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except (ValueError, OSError):  # nobody can type a zero byte, or so much
        return typed(line)[::2]
    return done.returncode, done.stderr.decode("utf-8", "replace")
