"""Each exercise: the stub is helpful, the solution is right, every typical wrong answer gets a message of its own."""

import importlib.util
import random
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy.stats import rankdata, spearmanr

from mnist_ddm import InputError
from mnist_ddm.core.solvers import SOLVERS
from mnist_ddm.exercises import check
from mnist_ddm.exercises.answers import Case, WrongAnswer, call, judge
from mnist_ddm.exercises.base import ClosedExercise
from mnist_ddm.exercises.catalogue import contest
from mnist_ddm.exercises.crashes import explain
from mnist_ddm.exercises.integration import errors, integrate
from mnist_ddm.exercises.pictures import save_picture
from mnist_ddm.exercises.registry import exercise_named, exercise_names, sheet_of
from mnist_ddm.exercises.worker import load_function

TEACHER = Path(__file__).parents[1] / "teacher"
NAMES = exercise_names()


def _module(path):
    spec = importlib.util.spec_from_file_location(f"teachers_{path.parent.name}_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _solution(name):
    return getattr(_module(TEACHER / "solutions" / f"{name}.py"), name)


@cache
def _wrong_answers(name):
    return _module(TEACHER / "wrong_answers" / f"{name}.py").WRONG_ANSWERS


@cache
def _refusal(name, number):
    with pytest.raises(WrongAnswer) as error:
        check(name, _wrong_answers(name)[number][0])
    return error.value


WRONG = [(name, number) for name in NAMES for number in range(len(_wrong_answers(name)))]


def test_there_are_enough_and_each_is_complete():
    assert len(NAMES) >= 12
    for name in NAMES:
        sheet = sheet_of(name)
        assert len(sheet.hints) >= 3, name
        assert 0 < sheet.minutes <= 120, name
        assert len(sheet.story) > 200, name
        assert sheet.picture, name
        assert sheet.predict.endswith("?"), name
        assert len(sheet.stub.splitlines()) <= 60, name
        assert f"def {name}(" in sheet.stub, name


@pytest.mark.parametrize("name", NAMES)
def test_the_stub_says_what_to_do(name, tmp_path):
    file = tmp_path / f"{name}.py"
    file.write_text(sheet_of(name).stub)
    function = load_function(file, name)
    with pytest.raises(NotImplementedError) as error:
        exercise_named(name).examine(function)
    result, message = explain(error.value, file)
    assert result == "not done"
    assert "raise NotImplementedError" in message
    with pytest.raises(WrongAnswer, match="there is no answer yet"):
        check(name, function)


@pytest.mark.parametrize("name", NAMES)
def test_the_solution_is_right_and_quickly_so(name, global_state):
    begin = time.process_time()
    assert check(name, _solution(name))
    assert time.process_time() - begin < 5


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n == "order" else pytest.mark.slow) for n in NAMES])
def test_there_is_a_picture_at_the_end(name, tmp_path, global_state):
    save_picture(exercise_named(name), _solution(name), tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def _drawn(name):
    figure = Figure(figsize=(7.2, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    exercise_named(name).draw(_solution(name), figure)
    figure.canvas.draw()
    return figure, {text.get_text() for text in figure.findobj(Text)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("flow", {"x_t", "x_t - t v"}),
        ("euler", {"0.005", "0.01", "0.02"}),
        ("refinement", {"0.1", "0.2", "0.5", "the gaussian system, 200 samples"}),
        ("bayes", {"left mean", "right mean"}),
        ("topk", {"expert 0", "expert 7"}),
        ("ensemble", {"-v at t = 0.35, the way sampling goes", "samples, t = 0", "means of the clusters"}),
    ],
)
def test_a_picture_says_what_it_shows(name, words):
    assert words <= _drawn(name)[1]


def test_the_picture_of_order_shows_each_solver_as_it_is():
    ends = {name: errors(lambda v, x, times, s=solver: integrate(s, v, x, times)) for name, solver in SOLVERS.items()}
    assert len({tuple(end) for end in ends.values()}) == len(SOLVERS)
    looks = []
    integrate(SOLVERS["ab2"], lambda x, t: looks.append(t) or x, torch.ones(1, 2), (1.0, 0.75, 0.5, 0.25))
    assert len(looks) == SOLVERS["ab2"].evaluations(3)


def test_the_picture_of_power_iteration_has_no_unlucky_start():
    figure, _ = _drawn("power")
    for line in figure.axes[0].lines:
        errors = line.get_ydata()
        assert errors[-1] < 0.05 * errors[0]


@pytest.mark.parametrize(("name", "number"), WRONG, ids=[f"{n}-{_wrong_answers(n)[i][0].__name__}" for n, i in WRONG])
def test_a_wrong_answer_gets_its_own_message(name, number):
    text, says = str(_refusal(name, number)), _wrong_answers(name)[number][1]
    assert says in text
    others = [phrase for _, phrase in _wrong_answers(name) if phrase != says]
    assert not any(phrase in text for phrase in others), text


@pytest.mark.parametrize("name", [n for n in NAMES if isinstance(exercise_named(n), ClosedExercise)])
def test_every_mistake_that_has_a_message_is_made_by_a_wrong_answer(name):
    looks = {_refusal(name, number).look for number in range(len(_wrong_answers(name)))}
    assert {mistake.look for mistake in exercise_named(name).mistakes} <= looks


def test_a_message_says_what_was_asked_expected_and_came():
    with pytest.raises(WrongAnswer) as error:
        check("flow", lambda clean, noise, t: (clean, noise))
    text = str(error.value)
    for word in ("asked:", "expected:", "came:"):
        assert word in text


def test_an_unknown_exercise_lists_those_that_exist():
    with pytest.raises(InputError, match=r"did you mean 'flow'\? there are: flow, euler"):
        check("floww", lambda: None)


def test_answers_are_compared_by_shape_value_and_finiteness():
    case = Case("a tensor", lambda function: call(function), torch.tensor([1.0, 2.0]), ("it",))
    judge(case, lambda: torch.tensor([1.0, 2.0]), ())
    for wrong in (None, 3, [1.0, 2.0], torch.tensor([[1.0, 2.0]]), torch.tensor([1.0, float("nan")])):
        with pytest.raises(WrongAnswer):
            judge(case, lambda wrong=wrong: wrong, ())
    number = Case("a number", lambda function: call(function), 2.0, ("it",))
    judge(number, lambda: torch.tensor(2.0), ())
    for wrong in (None, True, "2", float("nan"), torch.ones(2)):
        with pytest.raises(WrongAnswer):
            judge(number, lambda wrong=wrong: wrong, ())
    truth = Case("a truth value", lambda function: call(function), (True,), ("it",))
    for wrong in ((1,), (False,), True):
        with pytest.raises(WrongAnswer):
            judge(truth, lambda wrong=wrong: wrong, ())


def test_an_installed_package_can_add_an_exercise(monkeypatch, tmp_path):
    from importlib.metadata import EntryPoint

    from mnist_ddm.exercises import registry

    package = tmp_path / "course_blur"
    package.mkdir()
    (package / "exercise.toml").write_text(
        'title = "Blur"\nminutes = 5\nstory = "..."\nhints = ["a"]\npicture = "one bar"\n'
    )
    (package / "stub.py").write_text("def blur(x):\n    raise NotImplementedError\n")
    (package / "__init__.py").write_text(
        "from mnist_ddm.exercises.answers import Case, call\n"
        "from mnist_ddm.exercises.base import ClosedExercise\n"
        "class Blur(ClosedExercise):\n"
        "    name = 'blur'\n"
        "    mistakes = ()\n"
        "    def cases(self):\n"
        "        yield Case('half of 3', lambda f: call(f, 3.0), 1.5, ('the half',))\n"
        "    def draw(self, function, figure):\n"
        "        figure.add_subplot().bar([0], [function(3.0)])\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("blur", "course_blur:Blur", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
    assert exercise_names()[-1] == "blur"
    assert sheet_of("blur").title == "Blur"
    assert check("blur", lambda x: x / 2)
    with pytest.raises(WrongAnswer, match="the half came out wrong"):
        check("blur", lambda x: x)


def test_numbers_texts_and_truth_values_may_be_numpys_or_torchs():
    def reading(stability, quality):
        names = np.array(sorted(stability))
        s, q = (np.array([table[n] for n in names], dtype=np.float32) for table in (stability, quality))
        rho = np.corrcoef(rankdata(s), rankdata(q))[0, 1]
        return torch.tensor(rho), names[s.argmin()], names[q.argmin()], s.argmin() == q.argmax()

    assert check("dissociation", reading)
    assert check("order", lambda h, e: np.float32(np.polyfit(np.log(h), np.log(e), 1)[0]))


def test_a_mistake_in_one_part_of_an_answer_is_found_beside_others():
    def sign_and_scale(clean, noise, t):
        return (1 - t) * clean + t * noise, 3 * noise

    with pytest.raises(WrongAnswer, match="stretched along the last axis"):
        check("flow", sign_and_scale)


def test_a_part_that_is_right_is_not_said_to_be_wrong():
    def best_is_largest(stability, quality):
        rho = spearmanr([stability[n] for n in stability], [quality[n] for n in stability]).statistic
        stable, worst = min(stability, key=stability.get), max(quality, key=quality.get)
        return rho, stable, stable, stable != worst

    with pytest.raises(WrongAnswer) as error:
        check("dissociation", best_is_largest)
    assert "small Delta_refine is stable" not in error.value.look


def test_messages_are_grammatical_for_parts_of_any_number():
    with pytest.raises(WrongAnswer, match="the weights came out in another shape") as error:
        check("topk", lambda logits, k: logits[:, :1, None])
    assert "2 axes" in error.value.look
    with pytest.raises(WrongAnswer, match="the spectral norms came out wrong"):
        check("power", lambda jvp, vjp, start, iterations: 9 * start[:, 0])
    with pytest.raises(WrongAnswer, match=r"the result has 1 axis$"):
        check("power", lambda jvp, vjp, start, iterations: start)
    with pytest.raises(WrongAnswer, match="with 1 argument\n"):
        call(lambda: 1, 2)


def test_a_score_of_the_contest_cannot_be_rolled_again(global_state):
    def dice_of_others():
        return np.random.randint(2) + 3 * (random.random() > 0.5)  # noqa: NPY002 (students use it)

    def dice(logits, moment):
        memory = moment.memory
        if "expert" not in memory:
            memory["expert"] = torch.randint(4, (len(logits),)) + dice_of_others()
        return torch.nn.functional.one_hot(memory["expert"], logits.shape[1]).to(logits)

    assert contest.score(dice) == contest.score(dice)


def test_a_contests_message_shows_the_row_that_breaks_the_rule():
    def one_bad_row(logits, moment):
        weights = logits.softmax(dim=1)
        # At t = 1 the flat router's smallest weight is that of the prior, 1 / sum(2 ** (i / 7)) = 0.086 < 3 / 32.
        return torch.where(torch.arange(len(weights))[:, None] == 7, 4 * weights - 3 / 8, weights)

    with pytest.raises(WrongAnswer, match=r"row 7 at t = 1\.00: .*-0") as error:
        check("contest", one_bad_row)
    assert "sum" not in error.value.problem


def test_what_the_function_raises_is_an_assertion_with_its_cause():
    def order(step_sizes, errors):
        return 1 / 0

    with pytest.raises(AssertionError, match="the code raised ZeroDivisionError") as error:
        check("order", order)
    assert isinstance(error.value.__cause__, ZeroDivisionError)
    assert "return 1 / 0" in str(error.value)
