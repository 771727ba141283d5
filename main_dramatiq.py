"""Start the API: ``uvicorn main_dramatiq:app --host 0.0.0.0 --port 8000``.

Reads REDIS_URL, METER_STORE, MODEL_STORE and the other settings of README from the environment.
Starts without Redis and without the meter store and says so under ``/health/``. Ctrl-C stops it.
Never imports TensorFlow.
"""

import os

# Forecasts are small: one thread each; more of them would wait for each other. NumPy reads it when
# it is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from energy_forecasting import bootstrap
from energy_forecasting.api.app import create_app

settings = bootstrap.settings()
bootstrap.start_logging(settings)
app = create_app(bootstrap.api_services(settings))
