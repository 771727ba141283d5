"""Which limit a path's body has: readings have their own, everything else shares one."""

import re
from collections.abc import Callable

from energy_forecasting.api.body_guard import BodyLimit
from energy_forecasting.settings import Settings

_READINGS = re.compile(r"/meters/[^/]+/[^/]+/readings")


def body_limits(settings: Settings) -> Callable[[str], BodyLimit]:
    """Return the function from a path to its limit."""
    readings = BodyLimit(
        mb=settings.readings_body_limit_mb,
        setting="READINGS_BODY_LIMIT_MB",
        is_parsed_apart=True,
    )
    others = BodyLimit(mb=settings.request_body_limit_mb, setting="REQUEST_BODY_LIMIT_MB")

    def limit_of(path: str) -> BodyLimit:
        return readings if _READINGS.fullmatch(path) else others

    return limit_of
