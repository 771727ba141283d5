"""The demonstration: trains the sample meters over HTTP, as any client would, and shows them.

It talks to the API alone, so that what it shows is what a client gets. Where the API asks for a
key, ENERGY_FORECASTING_API_KEY holds one with the scope train.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rich.table import Table

from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.model_card import ForecastMethod
from energy_forecasting.domain.stages import Stage
from energy_forecasting.launcher.failures import StartFailed
from energy_forecasting.launcher.screen import Screen
from energy_forecasting.launcher.stack import shown
from energy_forecasting.launcher.training_board import TrainingBoard
from energy_forecasting.launcher.week_ahead import WeekAhead

KEY_VARIABLE = "ENERGY_FORECASTING_API_KEY"

_POLL_S = 0.25
_HTTP_LIMIT_S = 30.0
#: A worker kills a training that is too slow; nothing at all for so long means a fault.
_SILENCE_LIMIT_S = 1200.0
_WEEK_HOURS = 168
_PLOT_WIDTH = 110
_METHODS = {
    ForecastMethod.QUANTILE_NETWORK: "network",
    ForecastMethod.POOLED_REGRESSION: "regression",
    ForecastMethod.SEASONAL_NAIVE: "last week",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoOptions:
    """What the one who starts the demonstration can choose."""

    meters: list[Meter]
    picture: Path  #: the PNG to write
    log_dir: Path  #: named when a training fails


@dataclass(kw_only=True, slots=True)
class _Outcome:
    """What became of one meter."""

    record: Mapping[str, Any] = field(default_factory=dict)  #: the last record of its task
    refusal: str | None = None  #: why the API accepted no task
    forecast: Mapping[str, Any] | None = None

    @property
    def is_trained(self) -> bool:
        return self.record.get("status") == Stage.SUCCESS

    @property
    def has_ended(self) -> bool:
        return self.refusal is not None or Stage(self.record["status"]).is_terminal

    @property
    def fault(self) -> str:
        return str(self.refusal or self.record.get("error") or self.record.get("message"))


def show_demo(url: str, options: DemoOptions, *, screen: Screen, tend: Callable[[], None]) -> bool:
    """Train, judge and forecast the meters; tell whether all of it went well.

    Args:
        url: of the API.
        options: which meters, and where the picture goes.
        screen: where it is shown.
        tend: called between polls; keeps the stack alive.

    Raises:
        StartFailed: the API is away for good, or nothing moves any more.
    """
    key = os.environ.get(KEY_VARIABLE)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx.Client(
        base_url=url, headers=headers, timeout=_HTTP_LIMIT_S, trust_env=False
    ) as client:
        _check_key(client)
        outcomes = _train(client, options.meters, screen, tend)
        for meter, outcome in outcomes.items():
            if outcome.is_trained:
                outcome.forecast = _forecast(client, meter, outcome)
    _show_results(outcomes, options, screen)
    weeks = [WeekAhead.from_answer(one.forecast) for one in outcomes.values() if one.forecast]
    is_drawn = not weeks or _show_forecasts(weeks, options.picture, screen)
    if weeks:
        _show_next_steps(url, weeks[0].meter, screen)
    return is_drawn and len(weeks) == len(outcomes)


def _check_key(client: httpx.Client) -> None:
    answer = client.get("/")
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise StartFailed(
            f"The API asks for a key: {_sentence(answer)} Put one with the scope train into the "
            f"environment variable {KEY_VARIABLE}."
        )


def _train(
    client: httpx.Client, meters: list[Meter], screen: Screen, tend: Callable[[], None]
) -> dict[Meter, _Outcome]:
    screen.heading(f"Training {len(meters)} meters")
    outcomes = {meter: _asked(client, meter) for meter in meters}
    last_news = time.monotonic()
    with TrainingBoard(screen) as board:
        while open_tasks := {m: one for m, one in outcomes.items() if not one.has_ended}:
            tend()
            for meter, outcome in open_tasks.items():
                record = _record(client, outcome.record["task_id"])
                if record is not None and record != outcome.record:
                    outcome.record = record
                    last_news = time.monotonic()
                board.show(meter, outcome.record)
            if time.monotonic() - last_news > _SILENCE_LIMIT_S:
                raise StartFailed(
                    f"No training has moved for {_SILENCE_LIMIT_S / 60:.0f} minutes; "
                    "the worker's log says why."
                )
            time.sleep(_POLL_S)
    return outcomes


def _asked(client: httpx.Client, meter: Meter) -> _Outcome:
    answer = client.post("/trainmodel/", json=_named(meter))
    if answer.is_success:
        return _Outcome(record=answer.json())
    return _Outcome(refusal=_sentence(answer))


def _record(client: httpx.Client, task_id: str) -> Mapping[str, Any] | None:
    """Return the task's record; None while the API is being started again."""
    try:
        answer = client.get(f"/trainmodel/status/{task_id}")
    except httpx.TransportError:
        return None
    record: Mapping[str, Any] = answer.json() if answer.is_success else {}
    return record or None


def _forecast(client: httpx.Client, meter: Meter, outcome: _Outcome) -> Mapping[str, Any] | None:
    answer = client.post("/forecast/", json=_named(meter) | {"horizon_hours": _WEEK_HOURS})
    if answer.is_success:
        body: Mapping[str, Any] = answer.json()
        return body
    outcome.refusal = _sentence(answer)
    return None


def _show_results(outcomes: Mapping[Meter, _Outcome], options: DemoOptions, screen: Screen) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("meter", no_wrap=True)
    table.add_column("method")
    for name in (
        "error against\nlast week's",
        "80 % interval\nholds",
        "MASE,\nlast week's",
        "trained\nin",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    for meter, outcome in outcomes.items():
        if outcome.forecast:
            table.add_row(str(meter), *_result_cells(outcome.forecast["model"], outcome.record))
    if table.row_count:
        screen.heading("What was learnt, measured on weeks that the model had not seen")
        screen.console.print(table)
    for meter, outcome in outcomes.items():
        if not outcome.forecast:
            named = "" if str(meter) in outcome.fault else f"{meter}: "
            where = f"The log is in {shown(options.log_dir)}."
            screen.fail(StartFailed(f"{named}{outcome.fault} {where}"))


def _result_cells(model: Mapping[str, Any], record: Mapping[str, Any]) -> tuple[str, ...]:
    method = _METHODS.get(model["method"], model["method"])
    seconds = f"{record['result']['details']['training_time_seconds']:.1f} s"
    skill = model["skill"]
    if skill is None:
        return method, "unknown", "unknown", "unknown", seconds
    return (
        method,
        f"{-100 * skill['skill']:+.0f} %",
        f"{100 * skill['coverage80']:.0f} %",
        f"{skill['mase']:.2f}, {skill['naive_mase']:.2f}",
        seconds,
    )


def _show_forecasts(weeks: list[WeekAhead], picture: Path, screen: Screen) -> bool:
    """Draw the week ahead; tell whether the picture could be written."""
    # Drawing libraries take most of a second to import; the training need not wait for them.
    from energy_forecasting.launcher import plots  # noqa: PLC0415

    screen.heading("The week ahead: readings, then the forecast's median in its 80 % interval")
    width = min(screen.console.width, _PLOT_WIDTH)
    for week in weeks:
        screen.draw(plots.terminal_plot(week, width=width))
    try:
        plots.save_picture(weeks, picture)
    except OSError as error:
        screen.warn(f"The picture {shown(picture)} cannot be written: {error.strerror}.")
        return False
    screen.fact("Picture", shown(picture))
    return True


def _show_next_steps(url: str, meter: Meter, screen: Screen) -> None:
    body = json.dumps(_named(meter) | {"horizon_hours": 24})
    screen.fact("API", f"{url}   documentation: {url}/docs")
    screen.say("Try it:")
    key = f' -H "Authorization: Bearer ${KEY_VARIABLE}"' if KEY_VARIABLE in os.environ else ""
    kind = "-H 'Content-Type: application/json'"
    screen.say(f"  curl -s -X POST {url}/forecast/ {kind}{key} -d '{body}'")


def _named(meter: Meter) -> dict[str, str | int]:
    return {"meter_id": meter.meter_id, "meter_type": meter.meter_type}


def _sentence(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"The API answered {answer.status_code} to {answer.request.url.path}."
