"""Feeds inputs to targets, and tells what is no refusal in our own words: other errors, hangs, and too much memory."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.target import Target
from tfgrid_compose.cli.render import error_text
from tfgrid_compose.errors import TfgridError
from tfgrid_compose.observe.redact import PROCESS

# Seconds, and kB of memory that one input may add to what the process ever had.
# Generous, because other programs may want the processor at the same time.
PATIENCE, MEMORY = 20.0, 300 * 1024
_SHRINKING = 10.0


class Hang(BaseException):
    """An input took longer than `PATIENCE`. No `Exception`, so that nothing on the way takes it for an error of its own."""


class Unclean(AssertionError):
    """An input was answered, but not as it should be; the text says what is wrong with the answer."""


@dataclass(frozen=True)
class Finding:
    """An input that met a defect: with which seed, as which of its target's inputs, and the error."""

    target: str
    seed: int
    index: int
    case: Any
    error: BaseException

    @property
    def place(self) -> str:
        """Where the error came from: two findings of the same place are one defect."""
        frames = traceback.extract_tb(self.error.__traceback__)
        ours = [frame for frame in frames if "/src/tfgrid_compose/" in frame.filename] or frames[-1:]
        where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
        said = str(self.error)[:60] if isinstance(self.error, Unclean) else ""
        return f"{type(self.error).__name__} {where} {said}".strip()

    def describe(self) -> str:
        """For people: the input and how to see it again."""
        shown = repr(self.case)
        shown = shown if len(shown) <= 3000 else f"{shown[:3000]}… ({len(shown)} signs)"
        error = "".join(traceback.format_exception(self.error)[-12:])
        again = f"python -m tests.fuzz --target {self.target} --seed {self.seed} --only {self.index}"
        return f"FINDING in {self.target}, {self.place}\n  again:  {again}\n  input:  {shown}\n{error}"


@dataclass
class Result:
    """What became of a target's inputs."""

    target: str
    accepted: int = 0
    refused: int = 0
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)

    @property
    def inputs(self) -> int:
        """How many there were."""
        return self.accepted + self.refused + len(self.findings)


def fuzz(kind: type[Target], inputs: range, seed: int, told: Callable[[Finding], None] = lambda _: None) -> Result:
    """Feed a target its inputs number `inputs`; a place that has failed three times is not told again."""
    result, seen, started = Result(kind.name), dict[str, int](), time.monotonic()
    with opened(kind) as target:
        for index in inputs:
            chance = Random(f"{seed}/{kind.name}/{index}")
            case = target.case(chance)
            error = attempt(target, case)
            if error is None:
                result.accepted += 1
            elif isinstance(error, TfgridError):
                result.refused += 1
            else:
                finding = Finding(kind.name, seed, index, case, error)
                seen[finding.place] = seen.get(finding.place, 0) + 1
                if seen[finding.place] == 1:
                    finding = shrunk(target, finding)
                    told(finding)
                result.findings.append(finding)
    result.seconds = time.monotonic() - started
    return result


@contextmanager
def opened(kind: type[Target]) -> Iterator[Target]:
    """A target in a folder of its own, in memory where that is possible."""
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{kind.name}-", dir=place))
    try:
        target = kind(folder)
        try:
            yield target
        finally:
            target.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def attempt(target: Target, case: Any) -> BaseException | None:
    """None when the input was accepted, the `TfgridError` that refused it, or whatever else came of it."""
    before, started = _memory(), time.monotonic()
    try:
        with _alarm():
            target.run(case)
        error: BaseException | None = None
    except TfgridError as refused:
        error = _said(refused)
    except KeyboardInterrupt:
        raise
    except BaseException as other:
        error = other
    if time.monotonic() - started > PATIENCE and not isinstance(error, Hang):
        error = Hang(f"took {time.monotonic() - started:.1f} s")
    if _memory() - before > MEMORY:
        error = MemoryError(f"took {(_memory() - before) // 1024} MB")
    return error


def _said(error: TfgridError) -> BaseException:
    """The refusal itself when it can be shown, else what is wrong with it."""
    try:
        if not error.what.strip():
            raise Unclean("an error says nothing")
        PROCESS.text(error_text(error)).encode("utf-8", "backslashreplace")
        json.dumps(PROCESS.data(error.to_dict()))
    except Exception as unclean:
        return unclean
    return error


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(number: int, frame: object) -> None:
        raise Hang(f"took more than {PATIENCE:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# Smaller inputs


def shrunk(target: Target, finding: Finding) -> Finding:
    """The same finding with as small an input as is found in some seconds."""
    if isinstance(finding.error, (Hang, MemoryError)) or not target.shrinks:
        return finding
    deadline, best = time.monotonic() + _SHRINKING, finding
    progress = True
    while progress and time.monotonic() < deadline:
        progress = False
        for case in smaller(best.case):
            if time.monotonic() > deadline:
                break
            error = attempt(target, case)
            if error is not None:
                other = Finding(finding.target, finding.seed, finding.index, case, error)
                if other.place == finding.place:
                    best, progress = other, True
                    break
    return best


def smaller(case: Any) -> Iterator[Any]:
    """Inputs of the same shape with something left out, the largest pieces first; a tuple keeps its length."""
    if isinstance(case, (str, bytes)):
        yield from _shorter(case)
    elif isinstance(case, dict):
        for key in case:
            yield {other: item for other, item in case.items() if other != key}
        for key, item in case.items():
            yield from ({**case, key: less} for less in smaller(item))
    elif isinstance(case, (list, tuple)):
        for at in range(len(case) if isinstance(case, list) else 0):
            yield case[:at] + case[at + 1 :]
        for at, item in enumerate(case):
            for less in smaller(item):
                yield type(case)([*case[:at], less, *case[at + 1 :]])


def _shorter(case: Any) -> Iterator[Any]:
    size = len(case)
    while size:
        size //= 2
        for at in range(0, len(case), max(size, 1)):
            yield case[:at] + case[at + max(size, 1) :]
