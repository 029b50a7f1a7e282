"""What a student's code raised, in words."""

import linecache
import traceback
from pathlib import Path

from mnist_ddm.exercises.answers import WrongAnswer

NOT_DONE = "not done"
"""The word for a file in which nothing is written yet."""

_SHAPES = """
  look:     shapes are aligned at their last axes, so (B,) does not fit (B, C, H, W): a number for each row needs as
            many axes as the other tensor, for instance w.reshape(-1, *(1,) * (x.ndim - 1))"""


def explain(error: BaseException, file: Path) -> tuple[str, str]:
    """One word and a message for what a student's code raised."""
    if isinstance(error, WrongAnswer):
        return "wrong", str(error)
    if isinstance(error, NotImplementedError):
        return NOT_DONE, "there is no answer yet: write the function and delete the line `raise NotImplementedError`"
    if isinstance(error, SyntaxError):
        place = f"{Path(error.filename or file).name}, line {error.lineno}: {(error.text or '').strip()}"
        return "error", f"Python cannot read the file: {error.msg}" + (f"\n  {place}" if error.lineno else "")
    if isinstance(error, MemoryError) or "allocate memory" in str(error):
        return "memory", f"the function asked for more memory than it may have{_place(error, file)}"
    if isinstance(error, SystemExit):
        return (
            "error",
            f"the code ended the program (sys.exit, exit or quit); let the function return{_place(error, file)}",
        )
    if isinstance(error, RecursionError):
        return "error", f"the function calls itself without end (RecursionError){_place(error, file)}"
    told = " ".join(str(error).split())
    shapes = _SHAPES if isinstance(error, RuntimeError) and "must match the size of tensor" in told else ""
    return "error", f"the code raised {type(error).__name__}: {told[:300]}{_place(error, file)}{shapes}"


def _place(error: BaseException, file: Path) -> str:
    """The last line of the student's file that was running."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).resolve() == file.resolve()]
    if not frames or frames[-1].lineno is None:
        return ""
    line = linecache.getline(frames[-1].filename, frames[-1].lineno).strip()
    return f"\n  {file.name}, line {frames[-1].lineno}: {line}"
