"""The product itself: its own ``train`` and ``Forecaster``, as its users get them."""

from benchmarks.backtest import Backtest, Predictor
from energy_forecasting.domain.horizons import MAX_HORIZON_HOURS, Horizon
from energy_forecasting.domain.readings import Values
from energy_forecasting.domain.trainings import TrainingOptions
from energy_forecasting.forecasting.forecaster import Forecaster
from energy_forecasting.forecasting.network import weights_of
from energy_forecasting.forecasting.training import train
from energy_forecasting.forecasting.warm_up import warm_up

__all__ = ["fit", "warm_up"]


def fit(backtest: Backtest, *, max_trials: int = 0) -> Predictor:
    """Train on the readings before the first origin."""
    case = backtest.case
    options = TrainingOptions(max_trials=max_trials)
    history = backtest.training_history
    trained = train(history, case.meter, case.profile, options, lambda _: None)
    forecaster = Forecaster(trained.card, weights_of(trained.network))

    def predict(origin: int) -> Values:
        horizon = Horizon(origin=backtest.moment(origin), hours=MAX_HORIZON_HOURS)
        temperature = backtest.temperature_ahead(origin, backtest.hours_ahead(origin))
        return forecaster.forecast(case.history, horizon, temperature=temperature).quantiles

    return predict
