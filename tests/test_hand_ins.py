"""Hand-ins of a class: which file is meant, what is graded, and what the table says."""

import csv
import shutil
import zipfile
from pathlib import Path

import pytest

from mnist_ddm.exercises import grading, handins, submissions
from mnist_ddm.exercises.handins import take, written
from mnist_ddm.exercises.leaderboard import read
from mnist_ddm.exercises.naming import answers_in
from mnist_ddm.exercises.registry import exercise_names, sheet_of
from mnist_ddm.exercises.submissions import Submission, files_below
from mnist_ddm.exercises.workspace import Workspace

SOLUTIONS = Path(__file__).parents[1] / "teacher" / "solutions"


@pytest.fixture
def run(run_exercises):
    return run_exercises


def test_many_students_are_graded_into_a_csv(run, quick, tmp_path):
    ada, bob, eve = (tmp_path / "class" / name for name in ("ada", "bob", "=eve"))
    for student in (ada, bob, eve):
        student.mkdir(parents=True)
    for student in (ada, bob):
        shutil.copy(SOLUTIONS / "flow.py", student)
    (eve / "flow.py").write_text(sheet_of("flow").stub)
    (ada / "heun.py").write_text("from mnist_ddm.core.solvers import Heun\n\ndef heun(v, x, times):\n    return x\n")
    shutil.copy(SOLUTIONS / "contest.py", ada)
    (bob / "euler.py").write_text("def euler(:\n")
    Workspace(bob).hint("euler")
    before = {f: f.read_bytes() for f in (tmp_path / "class").rglob("*") if f.is_file()}
    code, out = run("grade", "class", "--workers", 2, "--feedback", "back")
    assert code == 0, out
    rows = {(r["student"], r["exercise"]): r for r in csv.DictReader((tmp_path / "grades.csv").open())}
    assert len(rows) == 3 * len(exercise_names())
    assert rows["ada", "flow"]["result"] == "passed"
    assert rows["ada", "flow"]["same_file_as"] == ""  # two lines, which any two may write alike
    points = {r["student"]: r for r in csv.DictReader((tmp_path / "grades-points.csv").open())}
    minutes = {name: sheet_of(name).minutes for name in exercise_names()}
    assert points["ada"]["flow"] == str(minutes["flow"])
    assert points["ada"]["heun"] == "0"
    assert points["ada"]["total"] == str(minutes["flow"] + minutes["contest"])
    assert points["(most)"]["total"] == str(sum(minutes.values()))
    said = (tmp_path / "back" / "bob.txt").read_text()
    assert said.startswith(f"bob: {minutes['flow']} of {sum(minutes.values())} points")
    assert f"euler (0 of {minutes['euler']}): error" in said
    assert (tmp_path / "back" / "eve.txt").exists()
    assert rows["ada", "heun"]["result"] == "wrong"
    assert rows["ada", "heun"]["imports_mnist_ddm"] == "yes"
    assert rows["ada", "contest"]["imports_mnist_ddm"] == ""
    assert rows["bob", "euler"]["result"] == "error"
    assert rows["bob", "euler"]["hints_used"] == "1"
    assert rows["bob", "heun"]["result"] == "not handed in"
    assert rows["'=eve", "flow"]["result"] == "not done"
    assert [e.name for e in read(tmp_path / "grades-leaderboard.csv")] == ["ada"]
    assert {f: f.read_bytes() for f in (tmp_path / "class").rglob("*") if f.is_file()} == before
    code, _ = run("grade", "class", "--exercise", "flow", "--out", "one.csv", "--workers", 1)
    assert len((tmp_path / "one.csv").read_text().splitlines()) == 4


NAMED = {
    "flow.py": True, "Flow.py": True, "flow (1).py": True, "flow-copy.py": True, "ada_flow.py": True,
    "flow_final2.py": True,
    "Flow.PY": True, "flow.py.txt": True, "hand in/flow.py": True, "12345_ada lovelace_flow_v2.py": True,
    "overflow.py": False, "flow_test.py": False, "flow.pyc": False, "workflow.py": False, "flows.py": False,
    "test_flow.py": False, "flow.old-1.py": False, "venv/flow.py": False,
    "__MACOSX/flow.py": False, ".flow.py": False, "flow.ipynb": False, "a/b/c/d/flow.py": False,
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_answers_are_found_as_students_name_and_place_them(tmp_path, name):
    place = tmp_path / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("x")
    found = answers_in(files_below(tmp_path), ["flow", "euler"])
    assert [candidate.path for candidate in found["flow"]] == ([Path(name)] if NAMED[name] else [])
    assert found["euler"] == []


def test_of_several_names_the_plain_one_is_meant_and_of_equals_none(run, quick, tmp_path):
    ada = tmp_path / "class" / "ada"
    (ada / "mine").mkdir(parents=True)
    (ada / "mine" / "flow.py").write_text("from helper import flow\n")
    (ada / "mine" / "helper.py").write_text((SOLUTIONS / "flow.py").read_text())
    for name in ("heun (1).py", "heun (2).py", "flow (1).py"):
        (ada / name).write_text(f"nothing = {name!r}")
    code, out = run("grade", "class", "--exercise", "flow", "--exercise", "heun", "--exercise", "euler")
    assert code == 0, out
    rows = {r["exercise"]: r for r in csv.DictReader((tmp_path / "grades.csv").open())}
    assert (rows["flow"]["result"], rows["flow"]["file"]) == ("passed", "mine/flow.py")
    assert rows["heun"]["message"] == "more than one file may be meant (heun (1).py, heun (2).py); keep one of them"
    assert rows["euler"]["result"] == "not handed in"
    (ada / "heun.py").write_text((SOLUTIONS / "heun.py").read_text())
    run("grade", "class", "--exercise", "heun")
    assert next(csv.DictReader((tmp_path / "grades.csv").open()))["result"] == "passed"


def test_what_a_student_has_is_graded_whatever_it_is_called_and_the_rest_is_named(run, quick, tmp_path):
    zoe = tmp_path / "class" / "zoe"
    zoe.mkdir(parents=True)
    (zoe / "heun.py.txt").write_text((SOLUTIONS / "heun.py").read_text())
    (zoe / "exercise1.py").write_text("import mytools\n" + (SOLUTIONS / "flow.py").read_text())
    aside = {"flow.old-1.py": "x = 1\n", "test_flow.py": "\n", "._flow.py": "\0"}  # which nobody needs to hear of
    texts = {"mytools.py": "", "euler.ipynb": "{}", "notes.txt": "x", "bayes.py": "\n", "hw.rar": "x", **aside}
    for name, text in texts.items():
        (zoe / name).write_text(text)
    code, out = run("grade", "class", "--feedback", "back")
    assert code == 0, out
    rows = {r["exercise"]: r for r in csv.DictReader((tmp_path / "grades.csv").open())}
    assert (rows["heun"]["result"], rows["heun"]["file"]) == ("passed", "heun.py.txt")
    assert (rows["flow"]["result"], rows["flow"]["file"]) == ("passed", "exercise1.py")
    assert "an empty file" in rows["bayes"]["message"]
    told = f"{grading.UNPLACED}euler.ipynb, hw.rar, notes.txt"
    assert rows["euler"]["message"] == told
    assert told in " ".join(out.split())
    said = (tmp_path / "back" / "zoe.txt").read_text()
    assert said.count(grading.MISSING) == said.count(told) == 1
    assert "euler, order, " in said


STUB, RIGHT = sheet_of("flow").stub.encode(), (SOLUTIONS / "flow.py").read_bytes()
WRONG = RIGHT.replace(b"noise - clean", b"clean - noise")
TOPK = (SOLUTIONS / "topk.py").read_bytes()


def _taken(files):
    """What is made of a student's files, with their bytes by name."""
    return take(Submission("ada", {Path(name): content for name, content in files.items()}))


@pytest.mark.parametrize(
    ("files", "answer", "others"),
    [
        ({"flow.py": STUB, "flow_final.py": RIGHT}, "flow_final.py", []),
        ({"flow.py": STUB, "submission/flow.py": RIGHT}, "submission/flow.py", []),
        ({"flow.py": STUB, "homework.py": RIGHT}, "homework.py", []),
        ({"flow.py": STUB, "flow (1).py": STUB}, "flow.py", []),
        ({"flow.py": WRONG, "flow (1).py": RIGHT}, "flow.py", ["flow (1).py"]),
        ({"flow.py": RIGHT, "copy/flow.py": WRONG, "plot_flow.py": b"print()"}, "flow.py", ["copy/flow.py"]),
        ({"flow (1).py": RIGHT, "flow (2).py": RIGHT}, "flow (1).py", []),
        ({"plot_flow.py": b"print(1)", "TheFlow.py": RIGHT}, "TheFlow.py", []),
        ({"flow.txt": RIGHT, "Flow.py": b"flow = lambda clean, noise, t: 1"}, "Flow.py", []),
        ({"heun.py": WRONG, "mine.py": RIGHT}, "mine.py", []),
    ],
)
def test_the_file_that_is_most_plainly_meant_is_graded_and_the_others_are_told(files, answer, others):
    handin = _taken(files)
    assert handin.answers["flow"] == answer
    assert handin.others["flow"] == others


@pytest.mark.parametrize(
    "names", [("flow (1).py", "flow (2).py"), ("mine.py", "final/work.py"), ("a/flow.py", "b/flow.py")]
)
def test_of_files_that_are_as_plainly_meant_none_is_guessed(names):
    handin = _taken(dict(zip(names, (WRONG, RIGHT), strict=True)))
    assert "flow" not in handin.answers
    assert all(name in handin.refused["flow"] for name in names)
    assert handin.unplaced == []
    assert ("grade ada by itself" in handin.refused["flow"]) is all("/" in name for name in names)


def test_a_file_that_may_be_meant_as_well_is_told_to_teacher_and_student(run, quick, tmp_path):
    for name, content in {"flow.py": WRONG, "flow (1).py": RIGHT, "topk.py": TOPK, "my topk.py": TOPK + b"#"}.items():
        _put(tmp_path / "class" / "ada" / name, content)
    code, out = run("grade", "class", "--exercise", "flow", "--exercise", "topk", "--feedback", "back")
    assert code == 0, out
    told = "flow.py was graded; flow (1).py may be meant as well"
    flow, topk = csv.DictReader((tmp_path / "grades.csv").open())
    assert flow["message"].endswith(told)
    assert f"flow: {told}" in out
    assert told in (tmp_path / "back" / "ada.txt").read_text()
    assert "as well" not in topk["message"]  # which is right


def _put(place, content=b""):
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)


def _zipped(place, members):
    place.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_archives_and_canvas_names_are_students_too_and_the_rest_is_named(run, quick, tmp_path):
    place = tmp_path / "class"
    _zipped(place / "ada.zip", {"hw/flow.py": RIGHT, "__MACOSX/hw/._flow.py": b"\0"})
    _zipped(place / "bob" / "work.zip", {"flow.py": RIGHT})
    _zipped(place / "bob.zip", {"flow.py": WRONG})  # which was unpacked
    _put(place / "lovelaceada_111_222_flow-1.py", RIGHT)
    _put(place / "lovelaceada_111_223_topk.py", TOPK)
    _put(place / "eve" / "04.zip")
    _put(place / "notes.rar")
    _put(place / "grades.csv")
    code, out = run("grade", "class", "--exercise", "flow", "--exercise", "topk")
    assert code == 0, out
    rows = [r for r in csv.DictReader((tmp_path / "grades.csv").open()) if r["result"] == "passed"]
    assert [(r["student"], r["file"]) for r in rows] == [
        ("ada", "ada.zip/hw/flow.py"), ("bob", "work.zip/flow.py"),
        ("lovelaceada", "flow-1.py"), ("lovelaceada", "topk.py"),
    ]  # fmt: skip
    assert f"{grading.UNPLACED}04.zip" in out
    assert "not graded: notes.rar; put" in out


def test_where_nobody_answers_an_exercise_what_is_there_is_said(run, tmp_path):
    _put(tmp_path / "class" / "ada" / "hw.rar")
    _put(tmp_path / "class" / "flow.txt")
    code, out = run("grade", "class")
    assert code == 2
    assert "(there are flow.txt, ada/hw.rar); give the folder that holds one folder or .zip for each student" in out


def test_an_archive_leads_nowhere_and_has_limits(tmp_path, monkeypatch):
    odd = {
        "../flow.py": RIGHT,
        "/etc/flow.py": RIGHT,
        "a/../../flow.py": RIGHT,
        "env/lib/flow.py": RIGHT,
        "x.txt": b"x",
    }
    _zipped(tmp_path / "ada.zip", {**odd, "hw\\topk.py": TOPK, "large.bin": bytes(submissions.BYTES_MOST + 1)})
    ((ada,), _) = submissions.submissions_in(tmp_path)
    assert {str(path) for path in ada.files} == {"ada.zip/x.txt", "ada.zip/hw/topk.py"}
    monkeypatch.setattr(submissions, "FILES_MOST", 1)
    assert len(submissions.submissions_in(tmp_path)[0][0].files) == 1


def test_links_in_a_hand_in_are_listed_and_not_followed(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "up").symlink_to("..")
    _put(tmp_path / "a" / "b" / "flow.py")
    _put(tmp_path / "z.py")
    assert [str(path) for path in files_below(tmp_path)] == ["loop", "up", "z.py", "a/b/flow.py"]


def test_an_environment_beside_the_answer_takes_no_room_and_is_not_told(run, quick, tmp_path, monkeypatch):
    ada = tmp_path / "class" / "ada"
    monkeypatch.setattr(handins, "FILES_MOST", 4)
    _put(ada / "hw" / "flow.py", b"from helper import go\n" + RIGHT)
    _put(ada / "hw" / "helper.py", b"go = 1\n")
    _put(ada / "mine" / "pyvenv.cfg")
    for i in range(9):
        for place in ("data", "env/Lib/site-packages", "mine/lib", "node_modules/x"):
            _put(ada / place / f"p{i}.py")
    ((handin,), _) = handins.hand_ins(tmp_path / "class")
    assert {"hw/flow.py", "hw/helper.py"} < handin.files.keys()
    assert {path.partition("/")[0] for path in handin.unplaced} == {"data"}
    assert handins.few(handin.unplaced) == "data/p0.py, data/p1.py, data/p2.py, data/p3.py and 5 more"


def test_an_answer_that_was_renamed_can_be_imported_by_its_plain_name():
    handin = _taken({"hw/Flow (1).py": RIGHT, "hw/topk.py": TOPK, "hw/euler.py": b"# mine"})
    with handin.copied() as folder:
        assert (folder / "hw" / "flow.py").read_bytes() == RIGHT
        assert (folder / "hw" / "euler.py").read_bytes() == b"# mine"


def test_remarks_say_which_files_are_alike():
    from mnist_ddm.exercises.marks import remarks_on

    def graded(exercise, *same_as):
        return grading.Grade("ada", exercise, "passed", same_as=same_as)

    grades = [graded("flow", "bob"), graded("heun", "bob", "eve"), graded("euler", "bob"), graded("topk")]
    assert remarks_on(grades) == ["same flow, euler as bob", "same heun as bob, eve"]
    many = grading.to_csv([graded("flow", "Bob Ray", "Cy Fox")])
    assert "Bob Ray; Cy Fox" in many


def test_long_files_of_the_same_bytes_are_told_and_short_ones_are_not():
    stub, solution = sheet_of("flow").stub.encode(), (SOLUTIONS / "flow.py").read_bytes()
    assert written(stub, "flow") == 0
    assert written(stub + b"# a comment\n\n    x = 1\n", "flow") == 1
    assert 0 < written(solution, "flow") <= 5
    for short, flagged in ((False, [("bob",), ("ada",)]), (True, [(), ()])):
        grades = [grading.Grade(s, "flow", "passed", sha256="abc", short=short) for s in ("ada", "bob")]
        assert [g.same_as for g in grading._with_copies(grades)] == flagged


def test_no_feedback_is_written_over_another_ones():
    from mnist_ddm.exercises.marks import feedback_files

    grades = [grading.Grade(student, "flow", "passed") for student in ("a b", "a-b", "A-B", "..")]
    files = feedback_files(grades)
    assert len(files) == 4
    assert len({name.lower() for name in files}) == 4
    assert all(
        text.startswith(student) for text, student in zip(files.values(), ("a b", "a-b", "A-B", ".."), strict=True)
    )
