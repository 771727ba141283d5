"""Energy Forecasting System: a trained, calibrated forecaster for every utility meter.

The rooms, in the order in which arrows may point (each imports only what stands above it):

- ``domain``       the words of the field: meters, readings, stages, errors. No input or output.
- ``forecasting``  features, network, training, calibration, baselines. No Redis, no HTTP.
- ``meters``       where histories come from: SQLite, InfluxDB, CSV files.
- ``registry``     trained models on disk: one file per version, the champion, its card.
- ``tasks``        the task record in Redis, the training pipeline, trainer processes, workers.
- ``api``          HTTP routes over the rooms above.
- ``launcher``     starts Redis, worker and API together for people (``make run``, ``make demo``).
"""

__version__ = "0.1.0"
