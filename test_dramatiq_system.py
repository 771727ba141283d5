"""Drive a running system from health to forecast and print what it answers.

``python test_dramatiq_system.py [METER_ID] [METER_TYPE] [BASE_URL]``, by default the sample meter
ucam_b37_elec, electricity, http://localhost:8000. Where the API asks for a key, put one with the
scope train into the environment as ENERGY_FORECASTING_API_KEY. Exit code 0 when all is well, else
1 with a sentence. A script for operators, in spite of its name: pytest leaves it alone.
"""

import argparse
import math
import os
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

__test__: dict[str, str] = {}  # nothing here for pytest or doctest

TRAINING_LIMIT_S = 1200.0
WEEK_HOURS = 168
KEY_VARIABLE = "ENERGY_FORECASTING_API_KEY"
LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1"}


class Failure(Exception):
    """The system does not do what it should; the text says what, and what to do."""


def check_health(client: httpx.Client) -> None:
    """The API, Redis and the meter store."""
    health = call(client, "GET", "/health/")
    if "broker" not in health:
        raise Failure(f"The API asks for a key; put one with the scope train into {KEY_VARIABLE}.")
    store = health["meter_store"]
    print(f"  broker {health['broker']}, meter store {store['kind']} {store['status']}")
    if health["status"] != "healthy":
        raise Failure("Redis or the meter store is away; start it, or correct its address.")


def check_worker(client: httpx.Client) -> None:
    """At least one worker lives."""
    health = call(client, "GET", "/health/worker")
    if not health["workers"]:
        raise Failure("No worker lives. Start one: python dramatiq_worker.py")
    for worker in health["workers"]:
        print(f"  process {worker['pid']} on {worker['host']}, up {worker['uptime_s']:.0f} s")


def train(client: httpx.Client, meter: dict[str, str]) -> dict[str, Any]:
    """Train the meter, follow its progress, return the details of the result."""
    task = call(client, "POST", "/trainmodel/", meter)
    print(f"  task {task['task_id']}")
    started, shown = time.monotonic(), ""
    while time.monotonic() - started < TRAINING_LIMIT_S:
        record = call(client, "GET", f"/trainmodel/status/{task['task_id']}")
        line = f"{record['progress']:3d} %  {record['status']:<15} {record['message']}"
        if line != shown:
            shown = line
            print(f"  {time.monotonic() - started:6.1f} s  {line}")
        if record["status"] == "SUCCESS":
            return dict(record["result"]["details"])
        if record["status"] in {"FAILED", "CANCELLED"}:
            raise Failure(f"The training ended {record['status']}: {record.get('error')}")
        time.sleep(0.5)
    raise Failure(f"No result after {TRAINING_LIMIT_S:.0f} s; the worker's log tells more.")


def check_model_file(client: httpx.Client, details: dict[str, Any]) -> None:
    """The artifact is where the result says, as far as this machine can see."""
    print(f"  {details['model_path']}, learnt from {details['data_points']} readings")
    if client.base_url.host not in LOCAL_HOSTS:
        return
    path = Path(__file__).resolve().parent / details["model_path"]
    if not path.is_file():
        raise Failure(f"There is no file {path}; does the worker run on another machine?")
    print(f"  {path.stat().st_size / 1000:.0f} kB")


def check_model_card(client: httpx.Client, meter: dict[str, str]) -> None:
    """The card tells how good the model is."""
    card = call(client, "GET", f"/models/{meter['meter_type']}/{meter['meter_id']}")["champion"]
    print(f"  {card['version']}, {card['method']}: {card['method_reason']}")


def check_forecast(client: httpx.Client, meter: dict[str, str]) -> None:
    """A week ahead: complete, finite, ordered, and not negative unless the meter has been."""
    answer = call(client, "POST", "/forecast/", {**meter, "horizon_hours": WEEK_HOURS})
    points, unit = answer["forecast"], answer["unit"]
    if len(points) != WEEK_HOURS:
        raise Failure(f"The forecast has {len(points)} hours instead of {WEEK_HOURS}.")
    can_be_negative = any((point["consumption"] or 0) < 0 for point in answer["history"])
    for point in points:
        values = [point["quantiles"][level] for level in sorted(point["quantiles"])]
        if not all(math.isfinite(value) for value in [point["consumption"], *values]):
            raise Failure(f"The forecast for {point['timestamp']} is not a number.")
        if any(later < earlier for earlier, later in pairwise(values)):
            raise Failure(f"The quantiles for {point['timestamp']} are out of order.")
        if min(values) < 0 and not can_be_negative:
            raise Failure(f"The forecast for {point['timestamp']} is negative.")
    for point in points[:: WEEK_HOURS - 1]:
        interval = f"{point['quantiles']['0.1']:.1f} to {point['quantiles']['0.9']:.1f}"
        print(f"  {point['timestamp']}  {point['consumption']:.1f} {unit} ({interval})")


def call(client: httpx.Client, method: str, path: str, body: object = None) -> dict[str, Any]:
    """Call the API and return the body of its answer, unless that is an error."""
    try:
        answer = client.request(method, path, json=body)
        content: dict[str, Any] = answer.json()
    except httpx.TransportError as error:
        raise Failure(f"No API at {client.base_url}: {error}. uvicorn main_dramatiq:app") from None
    except ValueError:
        raise Failure(f"{client.base_url} is not the API: it does not answer JSON.") from None
    if "error" in content and not answer.is_success:
        raise Failure(f"{method} {path}: {content['error']['message']}")
    return content


def main() -> int:
    """Take every step; stop at the first that fails."""
    parser = argparse.ArgumentParser(description="Drive a running system from health to forecast")
    parser.add_argument("meter_id", nargs="?", default="ucam_b37_elec")
    parser.add_argument("meter_type", nargs="?", default="electricity")
    parser.add_argument("base_url", nargs="?", default="http://localhost:8000")
    arguments = parser.parse_args()
    url, meter_type = arguments.base_url, arguments.meter_type
    meter = {"meter_id": arguments.meter_id, "meter_type": meter_type}
    key = os.environ.get(KEY_VARIABLE)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    is_remote = httpx.URL(url).host not in LOCAL_HOSTS  # only then through a proxy
    with httpx.Client(base_url=url, headers=headers, timeout=30.0, trust_env=is_remote) as client:
        try:
            print(f"Health of {url}")
            check_health(client)
            print("Workers")
            check_worker(client)
            print(f"Training of {meter_type}/{arguments.meter_id}")
            details = train(client, meter)
            print("Model file")
            check_model_file(client, details)
            print("Model card")
            check_model_card(client, meter)
            print("Forecast for a week")
            check_forecast(client, meter)
        except Failure as failure:
            print(f"FAILED: {failure}")
            return 1
    print("All is well.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
