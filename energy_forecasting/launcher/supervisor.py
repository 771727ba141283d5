"""Keeps started programs alive, and stops them all in the reverse order of their start.

It looks when it is told to (``tend``): there is no thread, as Linux would end a tether with it.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from energy_forecasting.launcher.failures import StartFailed
from energy_forecasting.launcher.interrupts import Interrupts
from energy_forecasting.launcher.processes import Child, Program, Roster

#: So many deaths within the window mean that starting again does not help.
_DEATHS_TOLERATED = 5
_DEATH_WINDOW_S = 60.0
_RESTART_DELAY_S = 1.0


@dataclass(kw_only=True, slots=True)
class _Kept:
    child: Child
    deaths: deque[float] = field(default_factory=lambda: deque(maxlen=_DEATHS_TOLERATED))


class Supervisor:
    """The programs of one stack.

    Args:
        roster: remembers the programs for the next launcher, should this one be killed.
        interrupts: held back while a program is being started, so that none gets lost.
        on_restart: told in a sentence when a program died and is started again.
    """

    def __init__(
        self, roster: Roster, *, interrupts: Interrupts, on_restart: Callable[[str], None]
    ) -> None:
        self._roster = roster
        self._interrupts = interrupts
        self._on_restart = on_restart
        self._kept: dict[str, _Kept] = {}

    def launch(self, program: Program) -> Child:
        """Start a program and keep it, in place of an ended one of the same name."""
        with self._interrupts.held():
            child = Child.start(program)
            self._kept[program.name] = _Kept(child=child)
            self._remember()
        return child

    def tend(self) -> None:
        """Start again what has died.

        Raises:
            StartFailed: a program keeps dying.
        """
        for kept in self._kept.values():
            kept.child.trim_output()
            if not kept.child.is_alive:
                self._start_again(kept)

    def stop_all(self) -> None:
        """Stop every program, the last started first; a further Ctrl-C makes it short."""
        signals_before = self._interrupts.count
        with self._interrupts.held():
            for kept in reversed(self._kept.values()):
                kept.child.stop(is_hurried=lambda: self._interrupts.count > signals_before)
            self._kept.clear()
            self._remember()

    def _start_again(self, kept: _Kept) -> None:
        program, ending = kept.child.program, kept.child.ending
        now = time.monotonic()
        is_hopeless = (
            len(kept.deaths) == _DEATHS_TOLERATED and now - kept.deaths[0] < _DEATH_WINDOW_S
        )
        if is_hopeless:
            raise StartFailed(
                f"{program.name} keeps dying; the last time it {ending}. "
                f"All of its output: {program.output}",
                log_lines=kept.child.last_lines(),
            )
        self._on_restart(f"{program.name} {ending}; starting it again.")
        if kept.deaths:
            time.sleep(_RESTART_DELAY_S)
        kept.deaths.append(now)
        with self._interrupts.held():
            kept.child.sweep()
            kept.child = Child.start(program)
            self._remember()

    def _remember(self) -> None:
        self._roster.write([kept.child for kept in self._kept.values()])
