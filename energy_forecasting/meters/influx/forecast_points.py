"""How a forecast looks in InfluxDB: one measurement, three tags, the quantiles as fields.

A point of the same meter, model version and moment replaces the earlier one, so each moment keeps
the last forecast made for it, ``origin`` and ``lead_hours`` tell which. A new model version starts
a series of its own; what its predecessor forecast for later moments stays.
"""

from collections.abc import Iterator

import numpy as np

from energy_forecasting.domain.published_forecast import PublishedForecast
from energy_forecasting.domain.readings import to_datetime64
from energy_forecasting.meters.influx.line_protocol import line

METER_TYPE_TAG = "meter_type"
METER_ID_TAG = "meter_id"
MODEL_VERSION_TAG = "model_version"

#: Seconds since 1970: the model knew the readings before this moment.
ORIGIN_FIELD = "origin"
#: Hours from there to the start of the step.
LEAD_FIELD = "lead_hours"

_HOUR_S = 3600.0


def quantile_field(level: float) -> str:
    """Return the name of the field that holds a quantile; q50 is the median.

    >>> quantile_field(0.1), quantile_field(0.025)
    ('q10', 'q2.5')
    """
    return f"q{100 * level:g}"


def forecast_lines(measurement: str, forecast: PublishedForecast) -> Iterator[str]:
    """Return a forecast's points as lines of line protocol, with precision s.

    Raises:
        InvalidRequest: the measurement's name cannot be written.
    """
    tags = {
        METER_TYPE_TAG: forecast.meter.meter_type,
        METER_ID_TAG: forecast.meter.meter_id,
        MODEL_VERSION_TAG: forecast.model_version,
    }
    names = [quantile_field(level) for level in forecast.levels]
    origin = int(to_datetime64(forecast.origin).astype(np.int64))
    seconds = forecast.timestamps.astype("datetime64[s]").astype(np.int64).tolist()
    for second, quantiles in zip(seconds, forecast.quantiles.tolist(), strict=True):
        fields: dict[str, float | int] = dict(zip(names, quantiles, strict=True))
        fields[ORIGIN_FIELD] = origin
        fields[LEAD_FIELD] = (second - origin) / _HOUR_S
        yield line(measurement, tags, fields, second)
