"""Forecasts for meters too young for a network: a regression pooled across meters."""
