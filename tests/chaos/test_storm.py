"""The short form of the chaos suite: one storm with one strike of each important kind."""

import shutil
from pathlib import Path

import pytest

from tests.chaos.run import run
from tests.chaos.storm_plan import BRIEF_STORM
from tests.chaos.violation import Wrong
from tests.conftest import RealRedis

pytestmark = [pytest.mark.e2e, pytest.mark.redis, pytest.mark.influxdb, pytest.mark.tensorflow]

#: Repeats the same strikes in every run of CI; ``make chaos`` takes another seed each time.
SEED = 1


@pytest.mark.timeout(600)
def test_a_storm_loses_nothing_doubles_nothing_and_tears_nothing(
    tmp_path: Path, influxd: str, redis_server: RealRedis
) -> None:
    # Given
    assert redis_server  # there is a redis-server to be had; the storm starts its own
    folder = tmp_path / "storm"
    # When
    report = run(folder, names=[BRIEF_STORM], seed=SEED, tasks=40, influxd=influxd)
    # Then
    print("\n".join(report.lines()))
    # How long a recovery takes says more about CI's machine than about the system.
    found = [each for each in report.violations if each.wrong is not Wrong.SLOW]
    assert found == []
    shutil.rmtree(folder)
