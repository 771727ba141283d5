import os
import signal
from collections.abc import Iterator

import pytest

from energy_forecasting.launcher.interrupts import Interrupts


@pytest.fixture(autouse=True)
def _handlers_restored() -> Iterator[None]:
    stop_signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {stop_signal: signal.getsignal(stop_signal) for stop_signal in stop_signals}
    yield
    for stop_signal, handler in before.items():
        signal.signal(stop_signal, handler)


@pytest.mark.parametrize("stop_signal", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_way_of_asking_to_stop_is_a_keyboard_interrupt(stop_signal: signal.Signals) -> None:
    with Interrupts(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), stop_signal)


def test_an_interrupt_waits_until_a_program_has_been_started() -> None:
    reached = []

    def start(interrupts: Interrupts) -> None:
        with interrupts.held():
            os.kill(os.getpid(), signal.SIGINT)
            reached.append("the end of what was held")

    with Interrupts() as interrupts, pytest.raises(KeyboardInterrupt):
        start(interrupts)

    assert reached


def test_only_the_first_interrupt_raises_and_the_others_are_counted() -> None:
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)

        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)

        assert interrupts.count == 3


def test_handlers_are_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)

    with Interrupts():
        assert signal.getsignal(signal.SIGTERM) != before

    assert signal.getsignal(signal.SIGTERM) == before


def test_a_process_that_is_ending_is_not_disturbed_by_one_more_ctrl_c() -> None:
    with Interrupts(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)

    os.kill(os.getpid(), signal.SIGINT)


def test_a_closed_terminal_does_not_matter_under_nohup() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGHUP)

        assert interrupts.count == 0
