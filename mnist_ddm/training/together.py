"""Trainings of one GPU at once, each in isolation: whole steps, captured once and repeated, on streams of their own.

A step of a small network is hundreds of launches, which take a GPU less time than the CPU needs to make them. Here a
step, from the rows of its batch to the moving average of the weights, is one function of tensors that stay where they
are. It is captured once for each model, in memory of its own, and repeated on a stream of its own: models share the
device and nothing else. Images lie on the device. What is random is that of `mnist_ddm.training.loop`, drawn on the CPU
and sent for a chunk of steps at once; while the device computes a chunk the CPU draws the next one. The device is
waited for once in a chunk, for all models together.

On a CPU, and where nothing can be captured, the same function is called step by step.
"""

import contextlib
import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, final

import torch
from torch import Tensor, nn

from mnist_ddm.compute.devices import sent
from mnist_ddm.compute.launches import Capture
from mnist_ddm.compute.parallel import OnProgress
from mnist_ddm.core.noise import Purpose
from mnist_ddm.errors import InputError
from mnist_ddm.training.data import rows_of_step
from mnist_ddm.training.loop import LOG_EVERY, Fit, Fitted, Keeper, repeatable
from mnist_ddm.training.module import TrainingModule, averaging_decay, learning_rate, rate_type
from mnist_ddm.training.objectives import Batch, Data

OnStream = Callable[[torch.cuda.Stream | None], Capture]
"""How launches are captured that will be repeated on a stream."""


def fit_together(
    wanted: Sequence[tuple[Fit[Data], nn.Module, OnProgress]],
    finish: Callable[[int, Fitted], object],
    capture: OnStream | None,
) -> None:
    """Fit models on one device, all at once; each goes on where its state file left it.

    A training that diverges ends all, and so does Ctrl-C, when the states of the others are saved.

    Args:
        wanted: what is fitted, the fresh models, and what is told how far they are.
        finish: called with the number of a model and what was fitted, as soon as that is done.
        capture: how steps are captured; ``None`` to call them.

    Raises:
        InputError: if a loss diverges, or a state file is damaged or of another training.
    """
    if not wanted:
        return
    device, failure = torch.device(wanted[0][0].device), list[BaseException]()
    with repeatable(device), warnings.catch_warnings(), _noted_interrupts(failure):
        warnings.filterwarnings("ignore", message=".*capturable=True")  # it is said where a step is not captured
        active = {number: _Trainee(*one, beside=len(wanted)) for number, one in enumerate(wanted)}
        everybody = list(
            active.values()
        )  # torch has 32 streams: with a graph would go what another's needs on the same
        if capture is not None:
            _capture(everybody, capture)
        for trainee in active.values():
            trainee.draw()
        while active:
            for number in [number for number, trainee in active.items() if trainee.done]:
                finish(number, active.pop(number).fitted())
            for trainee in active.values():
                trainee.send()
            for place in range(max((len(trainee.steps) for trainee in active.values()), default=0)):
                for trainee in active.values():
                    trainee.step(place)
            for trainee in active.values():
                trainee.draw()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            for number, trainee in list(active.items()):
                try:
                    trainee.look()
                except InputError as error:
                    failure.append(error)
                    del active[number]
            if failure:  # who is not where a state can be saved goes on until there
                active = {number: trainee for number, trainee in active.items() if trainee.done or not trainee.save()}
    if failure:
        raise failure[0]


@contextlib.contextmanager
def _noted_interrupts(noted: list[BaseException]) -> Iterator[None]:
    """Let Ctrl-C be noted inside the block, where launches are under way, instead of raised."""
    if threading.current_thread() is not threading.main_thread():  # which alone is interrupted
        yield
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: noted.append(KeyboardInterrupt()))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _capture(trainees: Sequence["_Trainee[Data]"], capture: OnStream) -> None:
    """Capture the steps of models; from the first that cannot be, they are called instead, which is said once."""
    try:
        for trainee in trainees:
            trainee.capture(capture)
    except RuntimeError as error:
        logging.getLogger(__name__).warning("training goes on without captured launches: %s", str(error).split("\n")[0])


@final
class _Step(Generic[Data]):
    """A step of one training, from rows to averaged weights: a function of tensors that stay where they are.

    Attributes:
        place: of the next step in its chunk, shape ``(1,)``; a step moves it on by one.
        chunk: what the steps of a chunk differ in, shapes ``(LOG_EVERY, ...)``.
        losses: of the steps of a chunk, shape ``(LOG_EVERY, B)``.
    """

    def __init__(self, module: TrainingModule[Data], data: Data, columns: Batch, device: torch.device) -> None:
        """Make the tensors; ``columns`` are those of some chunk, with steps along their first axis."""
        rate = torch.zeros((), dtype=rate_type(device), device=device)
        parameters = list(module.model.parameters())
        self._module = module
        self._resident = {name: sent(rows, device) for name, rows in module.objective.resident(data).items()}
        self._optimizer = module.configure_optimizers(rate)
        self._rate = self._optimizer.param_groups[0]["lr"]
        for parameter in parameters if module.moments is None else ():
            first, second = torch.zeros_like(parameter), torch.zeros_like(parameter)
            count = torch.zeros((), device=device)
            self._optimizer.state[parameter] = {"step": count, "exp_avg": first, "exp_avg_sq": second}
        self._ones = [torch.ones_like(parameter) for parameter in parameters]
        self.place = torch.zeros(1, dtype=torch.int64, device=device)
        self.losses = torch.zeros(LOG_EVERY, module.recipe.batch, device=device)
        self.chunk = {
            name: torch.zeros(LOG_EVERY, *column.shape[1:], dtype=column.dtype, device=device)
            for name, column in columns.items()
        }

    @property
    def trained(self) -> list[Tensor]:
        """All that outlives a chunk: weights, their average, and the optimiser's moments and counts."""
        moments = (value for state in self._optimizer.state.values() for value in state.values())
        return [*self._module.state_dict().values(), *moments]

    def __call__(self, place: Tensor) -> Tensor:
        """Take the step at a place of the chunk; returns its losses, shape ``(B,)``."""
        module = self._module
        now = {name: column.index_select(0, place)[0] for name, column in self.chunk.items()}
        losses = module.objective.loss(module.model, module.objective.completed(now, self._resident))
        self._optimizer.zero_grad()
        losses.mean().backward()
        self._rate.copy_(now["learning rate"])
        self._optimizer.step()
        with torch.no_grad():
            # A weight in each tensor's shape: tensors of one shape share launches, others have one each.
            weights = torch._foreach_mul(self._ones, now["averaging"])
            torch._foreach_lerp_(list(module.averaged.parameters()), list(module.model.parameters()), weights)
            self.losses.index_copy_(0, place, losses.detach()[None])
            place.add_(1)
        return losses.detach()


@final
class _Trainee(Generic[Data]):
    """One model that is trained beside others, on a stream of its own where the device has streams.

    Attributes:
        steps: of the chunk that was sent.
    """

    def __init__(self, fit: Fit[Data], model: nn.Module, report: OnProgress, beside: int) -> None:
        device = torch.device(fit.device)
        self.steps = range(0)
        self._fit = fit
        self._module = TrainingModule(model, fit.objective, fit.recipe)
        self._keeper = Keeper(fit, report, beside)
        self._keeper.resume(self._module)
        self._drawn = range(self._module.done)
        self._rates = rate_type(device)
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._captured: Callable[[], None] | None = None
        with torch.cuda.stream(self._stream):
            self._step = _Step(self._module.to(device), fit.data, self._columns(range(1)), device)

    @property
    def done(self) -> bool:
        """Whether all steps are done."""
        return self._module.done == self._fit.recipe.steps

    def capture(self, capture: OnStream) -> None:
        """Capture the step; whatever that needs to take steps for, what is trained stays as it is."""
        with torch.cuda.stream(self._stream):
            before = [tensor.clone() for tensor in self._step.trained]
            try:
                self._captured, _ = capture(self._stream)(self._step, (self._step.place,))
            finally:
                for tensor, value in zip(self._step.trained, before, strict=True):
                    tensor.copy_(value)

    def draw(self) -> None:
        """Draw what is random of the next chunk, and hold it where it can be sent from without waiting."""
        self._drawn = range(self._drawn.stop, self._fit.next_look(self._drawn.stop))
        columns = self._columns(self._drawn) if self._drawn else {}
        self._held = {name: column.pin_memory() if self._stream else column for name, column in columns.items()}

    def send(self) -> None:
        """Send the chunk that was drawn."""
        self.steps, self._times = self._drawn, self._held["t"]
        with torch.cuda.stream(self._stream):
            for name, column in self._held.items():
                self._step.chunk[name][: len(column)].copy_(column, non_blocking=True)
            self._step.place.zero_()

    def step(self, place: int) -> None:
        """Take the step at a place of the chunk, if there is one; after the last one the losses come back."""
        if place >= len(self.steps):
            return
        with torch.cuda.stream(self._stream):
            if self._captured is None:
                self._step(self._step.place)
            else:
                self._captured()
            if place == len(self.steps) - 1:
                self._losses = self._step.losses.to("cpu", non_blocking=True, copy=True)

    def look(self) -> None:
        """Look at the losses of the chunk, when the device has been waited for.

        Raises:
            InputError: if they diverge.
        """
        self._module.done = self.steps.stop
        self._keeper.look(self._module, self._losses[: len(self.steps)], self._times)

    def save(self) -> bool:
        """Save the state, if that can be done here; whether it was."""
        return self._keeper.save(self._module)

    def fitted(self) -> Fitted:
        """The result, on the CPU, when all steps are done."""
        self._module.cpu()
        return self._keeper.fitted(self._module)

    def _columns(self, steps: range) -> Batch:
        """What steps differ in, shapes ``(steps, ...)``: what is drawn of their batches, and the rates."""
        fit, recipe = self._fit, self._fit.recipe
        batches = []
        for step in steps:
            rows = rows_of_step(len(fit.data), recipe.batch, step, fit.streams)
            batches.append(fit.objective.drawn(fit.data, rows, recipe, fit.streams.of(Purpose.BATCH, step)))
        columns = {name: torch.stack([batch[name] for batch in batches]) for name in batches[0]}
        columns["learning rate"] = torch.tensor([learning_rate(recipe, step) for step in steps], dtype=self._rates)
        columns["averaging"] = torch.tensor([1 - averaging_decay(recipe, step) for step in steps])
        return columns
