"""Forecasts drawn: one plot for the terminal, one picture of all meters for a file."""

from datetime import datetime
from pathlib import Path

import plotext
from matplotlib.dates import DateFormatter, DayLocator
from matplotlib.figure import Figure

from energy_forecasting.launcher.week_ahead import WeekAhead

_TERMINAL_ROWS = 15
_BAND_SHADES = 24  # points per hour that fill the band without a hole
_MEDIAN_COLOUR = 33  # of the 256: a blue that can be read on black and on white
_HOUR_S = 3600.0
_PICTURE_WIDTH_IN, _METER_HEIGHT_IN = 12.0, 2.6
_PAST, _AHEAD, _BAND = "#5b6770", "#0b6e99", "#9fd0e6"


def terminal_plot(week: WeekAhead, *, width: int) -> str:
    """Draw one meter in coloured characters, with ANSI codes between them."""
    figure = plotext.figure
    figure.clear()
    plotext.terminal.limit(width=False, height=False)
    figure.plot_size(width, _TERMINAL_ROWS)
    figure.theme("colorless")
    start = (week.history_times or week.times)[0]
    ahead = [_hours(start, time) for time in week.times]
    steps = [step / _BAND_SHADES for step in range(_BAND_SHADES + 1)]
    band = figure.signal(
        [hour for hour in ahead for _ in steps],
        [
            low + (high - low) * step
            for low, high in zip(week.low, week.high, strict=True)
            for step in steps
        ],
        marker=plotext.marker("░", plotext.pixel("cyan")),
    )
    past_line = figure.signal(
        [_hours(start, time) for time in week.history_times],
        week.history,
        marker=plotext.marker("hd", plotext.pixel("default")),
    ).lines()
    median_line = figure.signal(
        ahead, week.median, marker=plotext.marker("hd", plotext.pixel(_MEDIAN_COLOUR))
    ).lines()
    for signal in (band, past_line, median_line):
        figure.draw(signal)
    figure.title(week.title)
    midnights = _midnights(week)
    figure.ruler("x").ticks(
        [_hours(start, time) for time in midnights], [f"{time:%a %d}" for time in midnights]
    )
    return str(figure.build())


def save_picture(weeks: list[WeekAhead], path: Path) -> None:
    """Draw all meters into one PNG; ``OSError`` when it cannot be written."""
    figure = Figure(
        figsize=(_PICTURE_WIDTH_IN, _METER_HEIGHT_IN * len(weeks)), layout="constrained"
    )
    panels = figure.subplots(len(weeks), 1, squeeze=False)[:, 0]
    for panel, week in zip(panels, weeks, strict=True):
        zone = week.times[0].tzinfo
        panel.plot(week.history_times, week.history, color=_PAST, linewidth=1.1, label="readings")
        panel.fill_between(
            week.times, week.low, week.high, color=_BAND, linewidth=0, label="80 % interval"
        )
        panel.plot(week.times, week.median, color=_AHEAD, linewidth=1.4, label="forecast (median)")
        panel.axvline(week.times[0], color=_PAST, linewidth=0.8, linestyle=":")
        panel.set_title(f"{week.meter}", loc="left", fontsize=10, fontweight="bold")
        panel.set_ylabel(week.unit)
        panel.set_xlim((week.history_times or week.times)[0], week.times[-1])
        panel.set_ylim(bottom=min(0.0, *week.low))
        panel.xaxis.set_major_locator(DayLocator(tz=zone))  # type: ignore[no-untyped-call]
        panel.xaxis.set_major_formatter(DateFormatter("%a\n%d %b", tz=zone))  # type: ignore[no-untyped-call]
        panel.grid(visible=True, alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].legend(loc="upper left", ncols=3, frameon=False, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _hours(start: datetime, time: datetime) -> float:
    return (time - start).total_seconds() / _HOUR_S


def _midnights(week: WeekAhead) -> list[datetime]:
    return [time for time in [*week.history_times, *week.times] if time.hour == 0][::2]
