"""The one spelling of routings, which the command line, files and plots share."""

import inspect
import math
import re
from collections.abc import Callable, Mapping

from mnist_ddm.core.routing.base import Routing
from mnist_ddm.core.routing.blends import GeometricMean, Median
from mnist_ddm.core.routing.density import Density
from mnist_ddm.core.routing.draws import Gumbel, Switch
from mnist_ddm.core.routing.evidence import Captioned, Clean, Implied, Likelihood
from mnist_ddm.core.routing.faults import FAULTS, Faulty
from mnist_ddm.core.routing.modifiers import (
    STEEPEST,
    Centroids,
    EqualWeights,
    LogitModifier,
    Rough,
    Temperature,
    WeightClip,
)
from mnist_ddm.core.routing.strategies import (
    Commit,
    FullEnsemble,
    Label,
    MinP,
    Misaligned,
    Posterior,
    SampleEach,
    SampleOnce,
    TopK,
    TopP,
    Uniform,
)
from mnist_ddm.core.spellings import (
    STRATEGIES,
    Make,
    adopt_routings,
    foreign_routings,
    known_modifiers,
    known_routings,
    registered_routings,
)
from mnist_ddm.errors import InputError, blamed, unknown

_LONGEST, _MOST_MODIFIERS = 200, 8
"""Characters of a spelling, and its modifiers, each of which wraps what stands before it."""


def _counted(name: str, cls: Callable[[int], Routing]) -> Callable[[str], Routing]:
    def make(argument: str) -> Routing:
        if not (argument.isascii() and argument.isdigit()) or int(argument) < 1:
            raise InputError(f"this routing is spelled {name}1, {name}2, ...; '{name}{argument}' has no k >= 1")
        return cls(int(argument))

    return make


def _plain(cls: Callable[[], Routing]) -> Callable[[str], Routing]:
    def make(argument: str) -> Routing:
        routing = cls()
        if argument:
            raise InputError(f"the routing {routing.name!r} takes no argument, but was given {argument!r}")
        return routing

    return make


def _share(name: str, cls: Callable[[float], Routing]) -> Callable[[str], Routing]:
    def make(argument: str) -> Routing:
        value = _number(argument)
        if value is None or not 0 < value <= 1:
            raise InputError(f"this routing is spelled {name}=0.9 with a number in (0, 1], not '{name}={argument}'")
        return cls(value)

    return make


def _gumbel(argument: str) -> Routing:
    return _counted("gumbel", Gumbel)(argument) if argument else Gumbel()


def _once(argument: str) -> Routing:
    if argument not in ("", "prior"):
        raise InputError(f"this routing is spelled once or once=prior, not 'once={argument}'")
    return SampleOnce(of_prior=argument == "prior")


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


_STRATEGIES: Mapping[str, Make] = {
    "top": _counted("top", TopK),
    "full": _plain(FullEnsemble),
    "uniform": _plain(Uniform),
    "misaligned": _counted("misaligned", Misaligned),
    "once": _once,
    "each": _plain(SampleEach),
    "commit": _share("commit", Commit),
    "top-p": _share("top-p", TopP),
    "min-p": _share("min-p", MinP),
    "label": _plain(Label),
    "posterior": _plain(Posterior),
    "gumbel": _gumbel,
    "median": _plain(Median),
    "geometric": _plain(GeometricMean),
}


def _temperature(base: Routing, argument: str) -> Routing:
    value = _number(argument)
    if value is None or value <= 0:
        raise InputError(f"a temperature is spelled @T=0.5 with a positive number, not '@T={argument}'")
    return Temperature(base, value)


def _rough(base: Routing, argument: str) -> Routing:
    value = _number(argument)
    if value is None or not 0 < value <= STEEPEST:
        raise InputError(
            f"a rough router is spelled @rough=50 with a slope in (0, {STEEPEST:,.0f}], not '@rough={argument}'"
        )
    return Rough(base, value)


def _centroids(base: Routing, argument: str) -> Routing:
    if argument not in ("", "static"):
        raise InputError(
            f"routing by centroids is spelled @centroids or @centroids=static, not '@centroids={argument}'"
        )
    return Centroids(base, with_time=not argument)


def _fault(base: Routing, argument: str) -> Routing:
    if argument not in FAULTS:
        raise unknown("fault of a router", argument, [f"@fault={name}" for name in FAULTS])
    return Faulty(base, argument)


def _bare(cls: Callable[[Routing], Routing]) -> Callable[[Routing, str], Routing]:
    def make(base: Routing, argument: str) -> Routing:
        routing = cls(base)
        if argument:
            raise InputError(
                f"the modifier at the end of {routing.name!r} takes no argument, but was given {argument!r}"
            )
        return routing

    return make


_MODIFIERS: Mapping[str, Callable[[Routing, str], Routing]] = {
    "@t": _temperature,
    "@centroids": _centroids,
    "@likelihood": _bare(Likelihood),
    "@clean": _bare(Clean),
    "@density": _bare(Density),
    "@implied": _bare(Implied),
    "+caption": _bare(Captioned),
    "@rough": _rough,
    "@fault": _fault,
    "+clip": _bare(WeightClip),
    "+equal": _bare(EqualWeights),
}


def register_routing(name: str, make: Make | type[Routing] | Routing) -> None:
    """Give a strategy a spelling in this program, and in the processes that it starts; a package has entry points.

    Args:
        name: its spelling: small letters and dashes. A strategy of that name that was registered before is replaced.
        make: the strategy, its class, or a function from the text after the name (``""`` if there is none) to it.

    Raises:
        InputError: if it is no such name, or that of a strategy that ships.
    """
    if not re.fullmatch(r"[a-z][a-z-]*[a-z]", name) or name in STRATEGIES or name == "monolith":
        raise InputError(f"{name!r} cannot be the name of an own routing: take small letters that no routing here has")
    if isinstance(make, Routing):
        adopt_routings({name: lambda argument: make})
    elif isinstance(make, type):
        adopt_routings({name: lambda argument: make()})
    else:
        adopt_routings({name: make})


def routing_help() -> dict[str, str]:
    """What each spelling of `known_routings` and `known_modifiers` that is the package's own does, in one sentence."""
    own = {spelling: spelling.split(",")[0] for spelling in STRATEGIES.values()}
    own |= {spelling: "full" + spelling.split(",")[0] for spelling in known_modifiers()}
    return {spelling: _first_sentence(parse_routing(text)) for spelling, text in own.items()}


def _first_sentence(routing: Routing) -> str:
    """Of a strategy's docstring, without its mathematics."""
    line = " ".join((inspect.getdoc(type(routing)) or "").split("\n\n")[0].split())
    return re.sub(r":? ?:math:`[^`]*`", "", line).replace("`", "")


def parse_routing(text: str) -> Routing:
    """The strategy that a spelling names, such as `top2`, `full@T=0.5` or `each~0.8~top1`.

    Raises:
        InputError: if there is no such strategy (the message lists what exists) or its argument makes no sense.
    """
    if len(text) > _LONGEST:
        raise InputError(f"a routing has at most {_LONGEST} characters, not {len(text)}: {text[:40]!r}...")
    *earlier, last = text.strip().lower().split("~")
    routing = _modified(last, text)
    if len(earlier) % 2:
        raise InputError(f"a change of routings is spelled each~0.8~top1, with a time between two, not {text!r}")
    latest = 0.0
    for first, time in reversed(list(zip(earlier[::2], earlier[1::2], strict=True))):
        value = _number(time)
        if value is None or not latest < value < 1:
            raise InputError(f"routings change at falling times between 1 and 0, as in each~0.8~top1, not at {time!r}")
        routing, latest = Switch(_modified(first, text), value, routing), value
    return routing


def _modified(spelling: str, text: str) -> Routing:
    first, *modifiers = re.split(r"(?=[@+])", spelling)
    if len(modifiers) > _MOST_MODIFIERS:
        raise InputError(f"a routing has at most {_MOST_MODIFIERS} modifiers, not {len(modifiers)}: {text[:40]!r}...")
    routing = _strategy(first, text)
    for modifier in modifiers:
        name, _, argument = modifier.partition("=")
        if name not in _MODIFIERS:
            raise unknown("modifier of a routing", modifier, known_modifiers())
        modified = _MODIFIERS[name](routing, argument)
        if isinstance(modified, LogitModifier) and not routing.takes_logits:
            raise InputError(
                f"{modifier!r} would change logits that {routing.name!r} does not look at, in {text!r}; leave it out, "
                "or let it stand before what has logits of its own: of several modifiers the last one acts first"
            )
        routing = modified
    return routing


def _strategy(spelling: str, text: str) -> Routing:
    match = re.fullmatch(r"([a-z][a-z-]*?)(?:-?(\d+)|=(.+))?", spelling)
    if match:
        name, argument = match[1], match[2] or match[3] or ""
        if name in _STRATEGIES:
            return _STRATEGIES[name](argument)
        if name in (own := registered_routings()):
            return _made(f"the registered routing {name!r}", own[name], argument)
        for entry in foreign_routings():
            if entry.name == name:
                what = f"the routing {name!r} of {entry.value}"
                with blamed(what):
                    factory: Make = entry.load()
                return _made(what, factory, argument)
    raise unknown("routing", text, known_routings())


def _made(what: str, make: Make, argument: str) -> Routing:
    with blamed(what):
        made: object = make(argument)
        if not isinstance(made, Routing):
            raise TypeError(f"it made {type(made).__name__}, not a Routing")
        return made
