"""The world around the program: streams, terminals, caches, working folders, signals, and packages of others."""

import io
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import EntryPoint

import click
import joblib
import pytest

from mnist_ddm import InputError, load_system
from mnist_ddm.compute.cores import default_workers
from mnist_ddm.core import spellings
from mnist_ddm.core.routing import parse_routing
from mnist_ddm.errors import one_line
from mnist_ddm.storage.files import is_empty, is_temporary
from mnist_ddm.systems import registry
from mnist_ddm.systems.options import ENTRY_POINT_GROUP as OPTIONS_GROUP
from mnist_ddm.systems.options import SystemOption
from mnist_ddm.terminal import commands, options
from mnist_ddm.terminal.commands import LazyCommand

PROGRAM = [sys.executable, "-P", "-c", "from mnist_ddm.cli import main; main()"]
SMALL = ("analyze", "--system", "gaussian", "--analysis", "averaging-variance", "--n", 2, "--steps", 2)


@pytest.fixture
def run(monkeypatch, call_command, tmp_path):
    """Run the command in an empty folder; returns exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    yield call_command
    signal.signal(signal.SIGTERM, before)


# Messages


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (InputError("a\nb\r\n\x1b[31m" + "c" * 1000 + " the end"), 2, "the end"),
        (InputError("[/x] \udcff"), 2, "[/x]"),
        (OSError(28, "No space left on device", "results.csv"), 2, "No space left on device: results.csv"),
        (MemoryError(), 2, "not enough memory"),
        (click.UsageError("x" * 1000), 2, "x ... x"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (KeyError("k" * 1000), 1, "a defect in"),
        (RecursionError("deep"), 1, "MNIST_DDM_TRACEBACK=1"),
    ],
)
def test_whatever_goes_wrong_is_one_line(run, monkeypatch, error, code, says):
    def fail():
        raise error

    monkeypatch.setattr(LazyCommand, "load", lambda self: click.Command("cite", callback=fail))
    ended, out, err = run("cite")
    assert ended == code
    assert says in err
    assert out == ""
    assert err.strip("\n").count("\n") == 0  # click begins a line after ^C
    assert len(err.rstrip()) <= 300
    assert "\x1b" not in err


def test_sigterm_ends_it_in_silence_whatever_a_library_makes_of_it(run, monkeypatch):
    def import_in_the_midst():
        try:
            signal.raise_signal(signal.SIGTERM)
        except SystemExit:
            raise RecursionError("as numpy does") from None

    monkeypatch.setattr("mnist_ddm.cli._ended_by", [])
    monkeypatch.setattr(LazyCommand, "load", lambda self: click.Command("cite", callback=import_in_the_midst))
    assert run("cite") == (128 + signal.SIGTERM, "", "")


def test_one_line_keeps_the_ends_of_what_it_cuts():
    assert one_line(" a \n b\t\x00") == r"a b \x00"
    cut = one_line("begin " + "x" * 1000 + " end")
    assert len(cut) <= 300
    assert cut.startswith("begin")
    assert cut.endswith("end")


def test_an_option_that_does_not_exist_is_one_line_that_says_where_to_look(run):
    code, _, err = run("sample", "--colour", "red")
    assert code == 2
    assert err.startswith("error: No such option")
    assert "--help`" in err
    assert err.count("\n") == 1


def test_names_are_no_markup(run, tmp_path):
    code, out, _ = run("exercises", "list", "--folder", "[/x] :smile:")
    assert code == 0
    assert "[/x]" in out
    assert ":smile:" in out
    code, out, err = run(*SMALL, "--workers", 1, "--out", "[bold][/x]")
    assert code == 0, err
    assert "[bold][/x]" in out


# Streams


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_of_few_characters_gets_what_it_can_show(run, monkeypatch, encoding):
    shown = io.BytesIO()
    monkeypatch.setenv("COLUMNS", "0")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding, write_through=True))
    code, _, err = run("exercises", "list", "--folder", "\u4e2d")
    assert code == 0, err
    assert b"dissociation" in shown.getvalue()
    assert shown.getvalue().isascii()


@pytest.mark.parametrize("command", [["cite"], pytest.param(["exercises", "list"], marks=pytest.mark.slow)])
def test_a_reader_that_leaves_is_no_error(command):
    read, write = os.pipe()
    os.close(read)
    process = subprocess.Popen([*PROGRAM, *command], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 141
    assert err == b""


def test_closed_streams_are_no_error(tmp_path):
    program = " ".join(f"'{part}'" for part in PROGRAM)
    assert subprocess.call(["sh", "-c", f"{program} cite <&- >&- 2>&-"], cwd=tmp_path) == 0


@pytest.mark.slow
def test_what_is_printed_to_a_closed_stream_does_not_end_up_in_a_file(tmp_path):
    program = " ".join(f"'{part}'" for part in PROGRAM)
    assert subprocess.call(["sh", "-c", f"{program} exercises start flow <&- >&- 2>&-"], cwd=tmp_path) == 0
    assert (tmp_path / "flow.py").read_text().startswith('"""')


def test_nobody_who_answers_deletes_nothing(run, monkeypatch):
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: PTH123, SIM115 (for the test)
    code, _, err = run("cache", "clear")
    assert code == 2
    assert "--yes" in err


# Folders and caches


@pytest.mark.parametrize("command", [("cache", "ls"), ("cache", "clear", "--yes"), (*SMALL, "--workers", 1)])
def test_a_cache_that_cannot_be_used_is_one_line(run, monkeypatch, tmp_path, command):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("MNIST_DDM_CACHE", str(tmp_path / "file"))
    code, _, err = run(*command)
    assert code == 2
    assert str(tmp_path / "file")[:20] in err
    assert err.count("\n") == 1


def test_info_tells_the_rest_without_a_cache(run, monkeypatch, tmp_path):
    (tmp_path / "recordings").write_text("x")
    monkeypatch.setenv("MNIST_DDM_CACHE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = run("info")
    assert code == 0
    assert "cannot be read" in out
    assert "classroom" in out


def test_a_user_without_a_home_is_told_what_to_set(run, monkeypatch):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("MNIST_DDM_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("pathlib.Path.home", nowhere)
    code, _, err = run("cache", "ls")
    assert code == 2
    assert "MNIST_DDM_CACHE" in err


def test_a_folder_that_holds_nothing_of_anybodys_is_empty(run, tmp_path):
    out = tmp_path / "out"
    (out / "lost+found").mkdir(parents=True)
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", ".manifest.json.a1b2c3d4.tmp.json"):
        (out / name).write_text("x")
    assert is_empty(out)
    code, _, err = run(*SMALL, "--workers", 1, "--out", "out")
    assert code == 0, err
    assert not (out / ".manifest.json.a1b2c3d4.tmp.json").exists()
    assert (out / ".DS_Store").exists()
    assert "Thumbs.db" not in (out / "manifest.json").read_text()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / ".notes.tmp").write_text("x")
    assert not is_empty(tmp_path / "mine")
    assert not is_temporary(tmp_path / "mine" / ".notes.tmp")
    assert not is_empty(tmp_path / "nowhere")


@pytest.mark.slow
def test_modules_in_the_working_folder_are_not_imported_by_workers(tmp_path):
    for name in ("random", "torch", "numpy", "joblib", "types", "mnist_ddm"):
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('{name} of the working folder')\n")
    command = [*PROGRAM, *map(str, SMALL), "--workers", "2", "--analysis", "expert-deviation", "--out", "r"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "working folder" not in answer.stderr


def test_workers_are_as_many_as_a_container_allows(monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 3)
    assert default_workers() == 3


@pytest.mark.slow
def test_the_end_that_a_cluster_asks_for_leaves_nothing_behind(tmp_path):
    (tmp_path / "tmp").mkdir()
    environment = {**os.environ, "MNIST_DDM_CACHE": str(tmp_path / "cache"), "TMPDIR": str(tmp_path / "tmp")}
    command = [*PROGRAM, "analyze", "--system", "gaussian", "--n", "2000", "--steps", "50", "--workers", "1"]
    process = subprocess.Popen(
        [*command, "--out", "r"], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 120
    while not list((tmp_path / "cache").rglob("*.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.terminate()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert b"Traceback" not in err
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not list(tmp_path.rglob(".*.tmp*"))


@pytest.mark.slow
def test_odd_surroundings_change_nothing(tmp_path):
    odd = {
        "HOME": "/dev/null", "TMPDIR": "/nowhere/at/all", "MPLCONFIGDIR": "/dev/null", "LC_ALL": "C", "PYTHONUTF8": "0",
        "PYTHONIOENCODING": "latin-1", "TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "0", "HTTPS_PROXY": "x://%%%",
        "ALL_PROXY": "socks5://nowhere:1", "TZ": "Nowhere/None", "SOURCE_DATE_EPOCH": "0", "PYTHONHASHSEED": "7",
    }  # fmt: skip
    told = {}
    for name, more in (("odd", odd), ("usual", {})):
        environment = {**os.environ, "MNIST_DDM_CACHE": str(tmp_path / f"cache of {name}"), **more}
        command = [*PROGRAM, *map(str, SMALL), "--workers", "1", "--out", name]
        answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
        assert (answer.returncode, answer.stderr) == (0, b"")
        told[name] = {f.name: f.read_bytes() for f in (tmp_path / name / "results").glob("*.csv")}
    assert told["odd"]
    assert told["odd"] == told["usual"]


# What is typed


def test_a_routing_has_a_length_and_so_many_modifiers():
    for text in ("full" + "@T=2" * 9, "full@T=2" * 5000, "top" + "1" * 5000, "top=\u00b2", "top\u00b2"):
        with pytest.raises(InputError) as error:
            parse_routing(text)
        assert len(str(error.value)) < 400
    assert parse_routing("full@T=2@T=2").name


@pytest.mark.parametrize("limit", ["inf", "nan", "-1", "0", "1e9", "x"])
def test_a_time_limit_is_a_time(run, limit):
    code, _, err = run("exercises", "check", "flow", "--time-limit", limit)
    assert code == 2
    assert err.count("\n") == 1


# Packages of others


class Ends:
    """Something that ends the program when it is called."""

    def __call__(self, *arguments, **named):
        sys.exit(0)


ends, nonsense = Ends(), 3
petals = (SystemOption("petals", "Their number."), SystemOption("out", "Taken."), SystemOption("a b", "No name."),
          SystemOption("when", "Of no kind.", kind="date"), SystemOption("what", 3), 3)  # fmt: skip
broken_command = LazyCommand("nothing_here:command", "Of no use.")
no_command = LazyCommand("os:sep", "No command.")
no_target = LazyCommand("os", "No target.")
odd_help = LazyCommand("os:sep", 3)


def makes_nonsense(*arguments, device="cpu"):
    return 3


def raises(*arguments, device="cpu"):
    raise ZeroDivisionError("of\nothers [/x]" * 50)


BROKEN = ("nothing_here:x", f"{__name__}:nowhere", f"{__name__}:nonsense", f"{__name__}:raises", f"{__name__}:ends",
          f"{__name__}:makes_nonsense")  # fmt: skip


@pytest.mark.parametrize("target", BROKEN)
def test_a_system_of_others_that_does_not_work_is_named(monkeypatch, target):
    kept = [e for e in registry._entries() if e.name == "gaussian"]
    entry = EntryPoint("theirs", target, registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [*kept, entry])
    with pytest.raises(InputError, match=r"'theirs' of .* does not work") as error:
        load_system("theirs")
    assert len(one_line(str(error.value))) <= 300
    assert load_system("gaussian").n_experts == 8


@pytest.mark.parametrize("target", BROKEN)
def test_a_routing_of_others_that_does_not_work_is_named(monkeypatch, target):
    monkeypatch.setattr(spellings, "entry_points", lambda group: [EntryPoint("theirs", target, group)])
    with pytest.raises(InputError, match=r"'theirs' of .* does not work"):
        parse_routing("theirs")
    assert parse_routing("top2").name == "top2"


@pytest.fixture
def announced(monkeypatch):
    """Announce entry points in place of the installed ones."""
    known = (commands.installed_commands, options.installed_options)

    def forget():
        options.broken_options.clear()
        for function in known:
            function.cache_clear()

    def announce(*entries):
        for module in (commands, options):
            monkeypatch.setattr(module, "entry_points", lambda group: [e for e in entries if e.group == group])

    forget()
    yield announce
    forget()


@pytest.mark.parametrize(
    "name", ["broken_command", "no_command", "no_target", "odd_help", "nonsense", "nowhere", "raises", "ends"]
)
def test_a_command_of_others_that_does_not_work_is_named_and_the_rest_works(run, announced, name):
    announced(EntryPoint("theirs", f"{__name__}:{name}", commands.ENTRY_POINT_GROUP))
    code, _, err = run("theirs")
    assert code == 2
    assert "the command 'theirs' of" in err
    assert err.count("\n") == 1
    assert run("--help")[0] == 0
    assert run("cite")[0] == 0


def test_options_of_others_that_no_command_takes_are_left_out_and_named(announced):
    announced(
        EntryPoint("a", f"{__name__}:petals", OPTIONS_GROUP),
        EntryPoint("b", "nothing_here:x", OPTIONS_GROUP),
        EntryPoint("c", f"{__name__}:nonsense", OPTIONS_GROUP),
    )
    names = [option.name for option in options.installed_options()]
    assert "petals" in names
    assert not {"out", "a b", "when", "what"} & set(names)
    assert len(options.broken_options) == 7
    assert all("mend or uninstall" in str(error) for error in options.broken_options)
