"""The process that waits between two checks of exercises: the same words and codes, at once, and nothing left of it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from mnist_ddm.cli import waiting
from mnist_ddm.errors import InputError
from mnist_ddm.exercises.registry import exercise_names, sheet_of

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="a process waits on Linux alone"),
    pytest.mark.xdist_group("waiting"),
]
SOLUTIONS = Path(__file__).parents[1] / "teacher" / "solutions"
PROGRAM = [sys.executable, "-P", "-c", "from mnist_ddm.cli import main; main()", "exercises"]
WRONG = "def order(step_sizes, errors):\n    print('hello')\n    return 7.0\n"
ENDLESS = "import time\ndef order(step_sizes, errors):\n    open('there', 'w').close()\n    time.sleep(600)\n"


class Desk:
    """A student's folder, and the process that waits for it."""

    def __init__(self, place, seconds):
        self.folder, self.runtime = place / "work", Path(tempfile.mkdtemp(prefix="ddm-"))  # whose path must be short
        self.folder.mkdir()
        self.environment = {**os.environ, "XDG_RUNTIME_DIR": str(self.runtime), "MNIST_DDM_WAIT": str(seconds)}

    def begin(self, *arguments, **more):
        """The process of a command, whatever answers it."""
        environment = {**self.environment, **more}
        return subprocess.Popen(
            [*PROGRAM, *arguments],
            cwd=self.folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments, **more):
        """Exit code, output and errors of a command."""
        process = self.begin(*arguments, **more)
        out, err = process.communicate(timeout=400)
        return process.returncode, out, err

    @property
    def sockets(self):
        return [f for f in self.runtime.glob("mnist-ddm-*/*") if not f.name.startswith(".")]

    def processes(self):
        """Numbers of the process that waits and of all that it forked, the process that waits first."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                line = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:  # ended meanwhile
                continue
            if b"mnist_ddm.cli.waiting" in line and str(self.runtime).encode() in line[-2]:
                found.append(int(folder.name))
        return sorted(found)

    def until(self, true, seconds=240):  # importing torch on a busy machine
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture
def desk(tmp_path):
    made = Desk(tmp_path, 60)
    yield made
    for number in made.processes():
        os.kill(number, signal.SIGKILL)
    shutil.rmtree(made.runtime)


@pytest.mark.long
def test_a_check_that_one_waits_for_says_what_any_check_says_and_ends_with_who_asked(desk):
    assert desk.run("start", "order")[0] == 0
    desk.until(lambda: desk.sockets)
    (server,) = desk.processes()
    file = desk.folder / "order.py"
    file.write_text(WRONG)
    waited = desk.run("check", "order")
    assert waited == desk.run("check", "order", MNIST_DDM_WAIT="0")
    assert (waited[0], waited[2]) == (1, "")
    assert "hello" in waited[1]
    shutil.copy(SOLUTIONS / file.name, file)
    code, out, err = desk.run("check", "order")
    assert (code, err) == (0, "")
    assert "order: passed" in out
    assert (desk.folder / "pictures" / "order.png").exists()
    refused = desk.run("check", "orde")
    assert refused == desk.run("check", "orde", MNIST_DDM_WAIT="0")
    assert refused[0] == 2
    assert desk.processes() == [server]  # it has answered, and nothing is left of that

    file.write_text(ENDLESS)
    asker = desk.begin("check", "order")
    desk.until(lambda: len(desk.processes()) > 3)
    asker.send_signal(signal.SIGKILL)
    desk.until(lambda: desk.processes() == [server])
    asker.communicate()

    asker = desk.begin("check", "order")
    desk.until(lambda: len(desk.processes()) > 3)
    os.kill(server, signal.SIGKILL)
    _, err = asker.communicate(timeout=240)
    assert (asker.returncode, err) == (2, "error: the process that checks was ended; give the command again\n")
    desk.until(lambda: not desk.processes())


@pytest.mark.slow
def test_it_ends_when_nobody_asks_and_a_second_one_does_not_stay(tmp_path):
    desk = Desk(tmp_path, 3)
    shutil.copy(SOLUTIONS / "order.py", desk.folder)
    assert desk.run("start", "order")[0] == 0
    desk.until(lambda: desk.sockets)
    (socket,) = desk.sockets
    second = subprocess.run([sys.executable, "-P", "-m", "mnist_ddm.cli.waiting", str(socket)], env=desk.environment)
    assert second.returncode == 0
    assert len(desk.processes()) == 1
    desk.until(lambda: not desk.processes())
    assert not desk.sockets
    shutil.rmtree(desk.runtime)


def test_it_waits_as_long_as_an_exercise_takes_and_has_imported_what_takes_long(monkeypatch):
    monkeypatch.delenv("MNIST_DDM_WAIT", raising=False)
    closed = [sheet_of(name).minutes for name in exercise_names() if name != "contest"]
    assert waiting.seconds_to_wait() >= 60 * max(closed)
    waiting._import_what_takes_long()
    assert {"matplotlib.figure", "scipy.stats", "torch", "torchmetrics.image.fid"} <= sys.modules.keys()


def test_a_place_whose_path_is_too_long_is_none(monkeypatch, tmp_path):
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("MNIST_DDM_WAIT", "60")
    assert waiting._place() is None


def test_where_a_process_may_not_wait_none_is_asked(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("MNIST_DDM_WAIT", "0")
    assert waiting.ask(["exercises", "list"]) is None
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("MNIST_DDM_WAIT", "60")
    assert waiting.ask(["exercises", "list"]) is None
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)  # others could put their own socket there
    assert waiting._place() is None
    for wrong in ("soon", "nan", "-1", "1e9"):
        monkeypatch.setenv("MNIST_DDM_WAIT", wrong)
        with pytest.raises(InputError, match="MNIST_DDM_WAIT must be a number of seconds"):
            waiting.seconds_to_wait()
