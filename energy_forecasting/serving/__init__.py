"""Forecasts from trained models and readings: for whoever asks, without TensorFlow."""
