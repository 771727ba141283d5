"""Every method that can be measured: where it lives, and what must be installed for it.

A method is a module with ``fit(backtest) -> Predictor``; ``warm_up()`` is optional and not
timed. Modules are imported only in the process that measures them, so a missing package
concerns nobody else.
"""

from dataclasses import dataclass
from importlib.util import find_spec


@dataclass(frozen=True, kw_only=True, slots=True)
class Method:
    """One competitor."""

    module: str
    needs: str | None = None  #: a package that the product does not bring
    every_days: int = 1  #: days between its origins; above 1 where each is costly

    @property
    def is_installed(self) -> bool:
        """Whether its package can be imported here."""
        return self.needs is None or find_spec(self.needs) is not None


PRODUCT, NAIVE = "product", "seasonal_naive"

METHODS = {
    PRODUCT: Method(module="benchmarks.product"),
    NAIVE: Method(module="benchmarks.opponents.seasonal_naive"),
    "yesterday": Method(module="benchmarks.opponents.yesterday"),
    "weeks_mean": Method(module="benchmarks.opponents.weeks_mean"),
    "ridge": Method(module="benchmarks.opponents.ridge"),
    "lightgbm_plain": Method(module="benchmarks.opponents.lightgbm_plain", needs="lightgbm"),
    "lightgbm_features": Method(module="benchmarks.opponents.lightgbm_features", needs="lightgbm"),
    # Seven origins in eight weeks, one on each day of the week.
    "mstl": Method(module="benchmarks.opponents.mstl", needs="statsforecast", every_days=8),
}
