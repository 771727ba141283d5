"""InfluxDB as the place where readings come from and forecasts go to."""
