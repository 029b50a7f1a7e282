"""Typical wrong answers, each with words that its message must have."""

from itertools import pairwise


def sign_of_the_step(velocity, x, times):
    """Away from the data."""
    for t, t_next in pairwise(times):
        x = x + (t - t_next) * velocity(x, t)
    return x


def equal_steps(velocity, x, times):
    """One h for all steps."""
    h = (times[-1] - times[0]) / (len(times) - 1)
    for t in times[:-1]:
        x = x + h * velocity(x, t)
    return x


def velocity_at_the_end(velocity, x, times):
    """T of the next step."""
    for t, t_next in pairwise(times):
        x = x + (t_next - t) * velocity(x, t_next)
    return x


def last_step_missing(velocity, x, times):
    """Off by one."""
    for i in range(len(times) - 2):
        x = x + (times[i + 1] - times[i]) * velocity(x, times[i])
    return x


def return_in_the_loop(velocity, x, times):
    """One step."""
    for t, t_next in pairwise(times):
        x = x + (t_next - t) * velocity(x, t)
        return x


def slopes_of_the_start(velocity, x, times):
    """X never moves while slopes are collected."""
    return x + sum((t_next - t) * velocity(x, t) for t, t_next in pairwise(times))


def in_place(velocity, x, times):
    """The caller's noise is gone."""
    for t, t_next in pairwise(times):
        x += (t_next - t) * velocity(x, t)
    return x


def looks_twice(velocity, x, times):
    """Asks for the same velocity again."""
    for t, t_next in pairwise(times):
        x = x + (t_next - t) * (velocity(x, t) + velocity(x, t)) / 2
    return x


def other_arguments(velocity, x, steps, t_start, t_end):
    """Another signature."""
    return x


WRONG_ANSWERS = (
    (sign_of_the_step, "the sign of the step"),
    (equal_steps, "not equally long"),
    (velocity_at_the_end, "not velocity(x, t_next)"),
    (last_step_missing, "the last step is missing"),
    (return_in_the_loop, "inside of the loop"),
    (slopes_of_the_start, "taken at the first x"),
    (in_place, "changed its argument x"),
    (looks_twice, "the number of looks at the velocity"),
    (other_arguments, "cannot be called with 3 arguments"),
)
