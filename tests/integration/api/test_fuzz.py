"""Whatever the OpenAPI document lets one send, alone or one after the other: no server error.

``make fuzz`` is the long form; FUZZ_CASES says how many cases.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis

from energy_forecasting.launcher.ports import LOOPBACK
from tests.conftest import RealRedis, free_loopback_port
from tests.integration.api.conftest import WATER
from tests.integration.api.fuzzing import Fuzzer, copy_missing
from tests.integration.api.served_api import served_api

pytestmark = [pytest.mark.redis, pytest.mark.tensorflow]

CASES = int(os.environ.get("FUZZ_CASES", "600"))
IS_LONG = "FUZZ_CASES" in os.environ
LIMIT_S = 600 + CASES


@pytest.fixture(scope="module")
def fuzzed_redis(redis_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = RealRedis(redis_binary, tmp_path_factory.mktemp("fuzzed_redis"))
    server.start()
    yield server.url
    server.stop()


@pytest.fixture(scope="module")
def fuzzer(
    fuzzed_redis: str,
    sample_store: Path,
    trained_models: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Fuzzer]:
    folder = tmp_path_factory.mktemp("fuzzed")
    shutil.copyfile(sample_store, folder / "meters.sqlite")
    environment = {
        "REDIS_URL": fuzzed_redis,
        "METER_STORE": "sqlite",
        "SQLITE_PATH": str(folder / "meters.sqlite"),
        "MODEL_STORE": str(folder / "models"),
        "LOG_DIR": str(folder / "logs"),
    }
    with served_api(environment, port=free_loopback_port()) as served:
        yield Fuzzer(
            schema=schemathesis.openapi.from_url(
                f"http://{LOOPBACK}:{served.port}/openapi.json"
            ).exclude(path_regex="/events/"),  # without a worker such an answer has no end
            known=WATER,
            mend=lambda: copy_missing(trained_models, folder / "models"),
        )


@pytest.mark.timeout(LIMIT_S)
def test_every_operation_answers_whatever_is_sent_as_documented(
    fuzzer: Fuzzer, capsys: pytest.CaptureFixture[str]
) -> None:
    fuzzer.each_operation(CASES // 2)
    told(fuzzer, capsys)


@pytest.mark.timeout(LIMIT_S)
def test_every_story_of_linked_calls_is_answered_as_documented(
    fuzzer: Fuzzer, capsys: pytest.CaptureFixture[str]
) -> None:
    fuzzer.stories(CASES // 2)
    # An operation without parameters has few cases, and a story may end early.
    while IS_LONG and fuzzer.count < CASES:
        fuzzer.stories(CASES - fuzzer.count)
    told(fuzzer, capsys)
    assert fuzzer.by_status[200] > fuzzer.count // 10


def told(fuzzer: Fuzzer, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\n{fuzzer.table()}")  # noqa: T201 - what the long form is run for
