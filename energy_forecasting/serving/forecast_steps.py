"""The steps of an answer: which a query may have, where it starts and where it ends."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from energy_forecasting.domain.cadence import Cadence
from energy_forecasting.domain.errors import InvalidRequest
from energy_forecasting.domain.horizons import MAX_HORIZON_HOURS, Horizon
from energy_forecasting.domain.readings import to_datetime
from energy_forecasting.domain.resolutions import SUPPORTED_MINUTES, in_words
from energy_forecasting.serving.forecast_query import ForecastQuery

HOUR = timedelta(hours=1)
LONGEST = timedelta(hours=MAX_HORIZON_HOURS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """The time that a client wants to see."""

    start: datetime
    end: datetime


def answer_steps(asked_minutes: int | None, own: Cadence) -> Cadence:
    """Return the steps of an answer for a meter whose readings have steps of their own.

    Raises:
        InvalidRequest: the steps asked for cannot be forecast from such readings.
    """
    is_coarse = own.step > HOUR
    if asked_minutes is None:
        return own if is_coarse else Cadence(step=HOUR)
    asked = timedelta(minutes=asked_minutes)
    if asked_minutes not in SUPPORTED_MINUTES:
        reason = f"it is one of {', '.join(map(str, SUPPORTED_MINUTES))}"
    elif is_coarse and asked == own.step:
        return own
    elif not is_coarse and (asked == HOUR or (own.step <= asked < HOUR and not asked % own.step)):
        return Cadence(step=asked)
    elif asked < own.step:
        reason = (
            f"the meter's readings come every {in_words(own.step)}, and a forecast cannot be "
            "finer than they are"
        )
    elif asked > HOUR:
        reason = (
            "longer steps than an hour are forecast only for a meter that is read so: the "
            "quantiles of a sum are no sums of quantiles. Ask for 60 and add up the medians"
        )
    else:
        reason = f"it is no multiple of the {in_words(own.step)} between the meter's readings"
    raise InvalidRequest(
        f"resolution_minutes cannot be {asked_minutes}: {reason}.", field="resolution_minutes"
    )


def asked_span(query: ForecastQuery, zone: ZoneInfo) -> Span | None:
    """Return the dates of a query as moments; None when it names a number of hours."""
    if query.start_date is None or query.end_date is None:
        return None
    try:
        start = _moment(query.start_date, zone)
        end = _moment(query.end_date, zone, is_end=True)
    except OverflowError as error:
        raise InvalidRequest(
            "start_date and end_date must lie within the years 1 to 9999.", field="start_date"
        ) from error
    if end <= start:
        raise InvalidRequest("end_date must be after start_date.", field="end_date")
    return Span(start=start, end=end)


def span_in_steps(
    asked: Span | None, hours: int | None, steps: Cadence, next_step: datetime
) -> Span:
    """Return the whole steps that a query wants to see.

    Args:
        asked: its dates; None when it has none.
        hours: how many it wants otherwise; None means as many as possible.
        steps: of the answer.
        next_step: the first step that is not known.
    """
    if asked is not None:
        return Span(start=steps.start_of(asked.start), end=_whole(asked.end, steps))
    wanted = timedelta(hours=hours) if hours else LONGEST
    if steps.step > HOUR:  # in steps, as one of them may have an hour more or less
        count = -(-wanted // steps.step)
        beyond = next_step + (count + 1) * steps.step + 2 * HOUR
        return Span(start=next_step, end=to_datetime(steps.starts(next_step, beyond)[count]))
    end = _whole(next_step + wanted, steps)
    if steps.step < HOUR:  # the hour under way is one of the 168
        end = min(end, _hour(next_step) + LONGEST)
    return Span(start=next_step, end=end)


def horizon_of(span: Span, steps: Cadence, next_step: datetime) -> Horizon:
    """Start at the hour of the first unknown step, or earlier when the span is in the past."""
    origin = _hour(min(span.start, next_step))
    # Seven days of the wall clock have 169 hours in autumn; the last hours of a long step are
    # like its others.
    allowed = LONGEST + (HOUR if steps.step > HOUR else timedelta(0))
    if span.end - origin > allowed:
        latest = origin + LONGEST
        raise InvalidRequest(
            f"A forecast reaches {MAX_HORIZON_HOURS} hours beyond what is known, here until "
            f"{latest.isoformat()}; end it there or earlier.",
            field="end_date",
            latest_end=latest.isoformat(),
        )
    return Horizon(origin=origin, hours=min(hours_in(origin, span.end), MAX_HORIZON_HOURS))


def hours_in(start: datetime, end: datetime) -> int:
    """Return how many hours a span touches."""
    return -((_hour(start) - end) // HOUR)


def _moment(day_or_moment: date | datetime, zone: ZoneInfo, *, is_end: bool = False) -> datetime:
    """Return a UTC moment; a day counts from its local midnight, as an end to the next one."""
    if isinstance(day_or_moment, datetime):
        return day_or_moment.astimezone(UTC)
    day = day_or_moment + timedelta(days=1) if is_end else day_or_moment
    return datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _whole(end: datetime, steps: Cadence) -> datetime:
    start = steps.start_of(end)
    return end if start == end else steps.next_start(end)
