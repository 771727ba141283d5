from collections.abc import Mapping
from typing import Any

import pytest

from energy_forecasting.domain.meters import Meter
from energy_forecasting.launcher.failures import StartFailed
from energy_forecasting.launcher.plots import terminal_plot
from energy_forecasting.launcher.screen import Screen
from energy_forecasting.launcher.training_board import TrainingBoard
from energy_forecasting.launcher.week_ahead import WeekAhead

METER = Meter(meter_type="water", meter_id="dma_05")


def record(status: str, progress: int, message: str) -> Mapping[str, Any]:
    return {"status": status, "progress": progress, "message": message}


def answer() -> dict[str, Any]:
    """Return the body of a forecast over a spring change of the clock."""
    return {
        "meter_id": "dma_05",
        "meter_type": "water",
        "unit": "m3/h",
        "timezone": "Europe/Rome",
        "history": [
            {"timestamp": "2022-03-26T22:00:00Z", "consumption": 10.0},
            {"timestamp": "2022-03-26T23:00:00Z", "consumption": None},
        ],
        "forecast": [
            {
                "timestamp": f"2022-03-27T{hour:02}:00:00Z",
                "consumption": 10.0 + hour,
                "quantiles": {"0.1": 9.0 + hour, "0.5": 10.0 + hour, "0.9": 12.0 + hour},
            }
            for hour in range(24)
        ],
    }


def show_everything(screen: Screen) -> None:
    screen.heading("Heading")
    screen.say("A sentence with [brackets] in it")
    screen.warn("A warning")
    screen.fail(StartFailed("A failure", log_lines=("last [words]",)))
    with screen.waiting("Waiting"), screen.progress("Loading") as on_progress:
        on_progress(0.5)
    with TrainingBoard(screen) as board:
        board.show(METER, record("PENDING", 0, "Task queued for processing"))
        board.show(METER, record("PENDING", 0, "Task queued for processing"))
        board.show(METER, record("SUCCESS", 100, "Model training completed successfully!"))
    screen.draw(terminal_plot(WeekAhead.from_answer(answer()), width=80))


def test_a_file_gets_plain_lines_even_where_colour_is_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")

    show_everything(Screen())

    text = capsys.readouterr().out
    assert all(character.isprintable() or character == "\n" for character in text)
    assert "A sentence with [brackets] in it" in text
    assert "  | last [words]" in text


def test_a_file_gets_a_line_for_each_step_and_no_repetition(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_everything(Screen())

    text = capsys.readouterr().out
    assert text.count("Task queued for processing") == 1
    assert text.count("Model training completed successfully!") == 1


def test_a_long_command_stays_on_one_line_so_that_it_can_be_pasted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Screen().say("curl " + "x" * 300)

    assert capsys.readouterr().out == "curl " + "x" * 300 + "\n"


def test_a_forecast_is_drawn_on_the_meters_own_clock_without_missing_readings() -> None:
    week = WeekAhead.from_answer(answer())

    assert [time.hour for time in week.history_times] == [23]
    assert [time.hour for time in week.times[:3]] == [1, 3, 4]  # no hour 2 on that night
    assert week.median[0] == 10.0
    assert (week.low[0], week.high[0]) == (9.0, 12.0)


def test_a_forecast_without_history_can_be_drawn() -> None:
    body = answer() | {"history": []}

    assert "water/dma_05" in terminal_plot(WeekAhead.from_answer(body), width=80)
