"""An explanation as an answer shows it: rounded parts hour by hour, and a summary."""

import numpy as np

from energy_forecasting.api.schemas import (
    ExplainedForecastAnswer,
    ExplainedPoint,
    ForecastAnswer,
    ForecastExplanation,
    GroupContribution,
)
from energy_forecasting.forecasting.explaining.explanation import PART_NAMES, Explanation

_DIGITS = 6


def explained(answer: ForecastAnswer, explanation: Explanation) -> ExplainedForecastAnswer:
    """Return the answer with what drives it."""
    points = [
        ExplainedPoint(**dict(point), contributions=parts)
        for point, parts in zip(answer.forecast, contributions_by_hour(explanation), strict=True)
    ]
    fields = {**dict(answer), "forecast": points}
    return ExplainedForecastAnswer(**fields, explanation=_summary(explanation))


def contributions_by_hour(explanation: Explanation) -> list[dict[str, float]]:
    """Return each hour's parts by name."""
    table = np.round(np.column_stack(list(explanation.parts.values())), _DIGITS).tolist()
    return [dict(zip(explanation.parts, row, strict=True)) for row in table]


def _summary(explanation: Explanation) -> ForecastExplanation:
    """Return the sentences and what each group contributes over all hours."""
    start, *groups = [
        GroupContribution(
            group=name,
            name=PART_NAMES[name],
            mean=round(float(values.mean()), _DIGITS),
            mean_absolute=round(float(np.abs(values).mean()), _DIGITS),
        )
        for name, values in explanation.parts.items()
    ]
    groups.sort(key=lambda group: group.mean_absolute, reverse=True)
    return ForecastExplanation(sentences=list(explanation.sentences), groups=[start, *groups])
