"""Lines as Home Assistant and Telegraf write them, with what was really used.

Sources: Home Assistant, ``components/influxdb`` (measurement = unit, tags ``domain`` and
``entity_id``, field ``value``, attributes that are no numbers as ``*_str``; a line only when the
state changes). Telegraf, READMEs of ``inputs.mqtt_consumer`` (with topic parsing and JSON),
``inputs.modbus``, ``inputs.opcua`` and ``inputs.openweathermap``.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Minutes = npt.NDArray[np.float64]

DAYS = 14
_DAY_MINUTES = 1440


def _minute_of_day() -> Minutes:
    return np.arange(DAYS * _DAY_MINUTES, dtype=np.float64) % _DAY_MINUTES


def _between(first_hour: int, beyond_hour: int) -> Minutes:
    hour = _minute_of_day() // 60
    return ((hour >= first_hour) & (hour < beyond_hour)).astype(float)


def outdoor() -> Minutes:
    """Return degrees Celsius, minute by minute."""
    return 5 + 4 * np.sin((_minute_of_day() / 60 - 9) / 12 * np.pi)


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a program wrote, and the truth."""

    start_s: int  #: seconds since 1970, UTC, of the first minute
    lines: list[str] = field(default_factory=list)
    used: dict[str, Minutes] = field(default_factory=dict)  #: by ``type/id``, minute by minute
    counts: dict[str, float] = field(default_factory=dict)  #: what a register counts in
    degrees: Minutes = field(default_factory=outdoor)


def electricity(seed: int = 1) -> Minutes:
    """Return the kWh of each minute of a house: never nothing."""
    generator = np.random.default_rng(seed)
    kilowatts = 0.3 + 1.2 * _between(7, 22) + generator.gamma(0.5, 0.6, DAYS * _DAY_MINUTES)
    return kilowatts / 60


def solar() -> Minutes:
    """Return the kWh of each minute of a plant: nothing at night."""
    height = np.sin((_minute_of_day() / 60 - 6) / 12 * np.pi)
    cloud = np.random.default_rng(2).uniform(0.3, 1, DAYS).repeat(_DAY_MINUTES)
    return 4 / 60 * np.maximum(height, 0) * cloud


def gas() -> Minutes:
    """Return the m3 of each minute of a boiler that is off at night."""
    generator = np.random.default_rng(3)
    return 0.005 * _between(6, 22) * generator.integers(0, 2, DAYS * _DAY_MINUTES)


def water() -> Minutes:
    """Return the m3 of each minute of a house: taps, by day."""
    generator = np.random.default_rng(4)
    runs = generator.random(DAYS * _DAY_MINUTES) < 0.06 * _between(6, 23)
    return np.where(runs, generator.integers(1, 9, DAYS * _DAY_MINUTES) / 1000, 0.0)


def home_assistant(start_s: int) -> Written:
    """Four registers and two thermometers, of which one is indoors."""
    written = Written(start_s=start_s)
    registers = [
        ("electricity/house", "grid_energy_total", "kWh", "energy", electricity(), 0.001, 5),
        ("electricity/solar", "solar_energy_total", "kWh", "energy", solar(), 0.1, 1),
        ("gas/gas_meter_total", "gas_meter_total", "m³", "gas", gas(), 0.01, 1),
        ("water/water_meter_total", "water_meter_total", "m³", "water", water(), 0.001, 1),
    ]
    for meter, entity, unit, device_class, used, count, every in registers:
        written.used[meter], written.counts[meter] = used, count
        register = 1000 + np.floor(np.cumsum(used) / count + 1e-6) * count
        written.lines.extend(
            _states(written, entity, unit, device_class, "total_increasing", register[::every])
        )
    for entity, shift in (("outdoor_temperature", 0.0), ("living_room_temperature", 15.0)):
        degrees = np.round(written.degrees[::10] + shift, 1)
        written.lines.extend(_states(written, entity, "°C", "temperature", "measurement", degrees))
    # What else lies in the same measurements: a switch has no unit, a plug counts from new on.
    at = start_s * 1_000_000_000
    written.lines.append(f'switch.lamp,domain=switch,entity_id=lamp state="on",value=1 {at}')
    written.lines.append(
        f'kWh,domain=sensor,entity_id=plug_energy_today state_class_str="total",value=0.3 {at}'
    )
    return written


def _states(  # noqa: PLR0917 - one line of a table
    written: Written,
    entity: str,
    unit: str,
    device_class: str,
    state_class: str,
    values: Minutes,
) -> Iterator[str]:
    """Yield a line for each change of a state, at odd moments."""
    step_s = DAYS * _DAY_MINUTES * 60 // len(values)
    generator = np.random.default_rng(len(entity))
    at = written.start_s + np.arange(1, len(values) + 1) * step_s
    micros = at * 1_000_000 + generator.integers(0, 20_000_000, len(values))
    name = entity.replace("_", " ").capitalize()
    attributes = (
        f'device_class_str="{device_class}",friendly_name_str="{name}",'
        f'state_class_str="{state_class}"'
    )
    changed = np.append(True, np.diff(values) != 0)
    for micro, value in zip(micros[changed].tolist(), values[changed].tolist(), strict=True):
        yield (
            f"{unit},domain=sensor,entity_id={entity} {attributes},value={round(value, 4)} "
            f"{micro}000"
        )


def telegraf(start_s: int) -> Written:
    """A smart meter by MQTT, a heat meter by Modbus, a water meter by OPC UA, the weather."""
    written = Written(start_s=start_s)
    written.used["electricity/main"] = electricity()
    written.used["electricity/floor-2"] = electricity(7)
    written.used["heat/boiler"] = gas() * 10
    written.used["water/cooling_tower"] = water()
    written.counts.update(dict.fromkeys(written.used, 0.001) | {"heat/boiler": 1.0})
    registers = {meter: np.cumsum(used) for meter, used in written.used.items()}
    for minute in range(5, DAYS * _DAY_MINUTES + 1, 5):
        at = (start_s + minute * 60) * 1_000_000_000
        for meter in ("main", "floor-2"):
            energy = 5 + registers[f"electricity/{meter}"][minute - 1]
            power = written.used[f"electricity/{meter}"][minute - 1] * 60_000
            topic = f"meters/electricity/{meter}"
            tags = f"host=gateway,kind=electricity,meter={meter},topic={topic}"
            fields = f"energy_kwh={energy:.3f},power_w={power:.0f}"
            yield_at = at + 1_234_567_890  # when the message came
            written.lines.append(f"mqtt_consumer,{tags} {fields} {yield_at}")
        heat = int(registers["heat/boiler"][minute - 1])
        written.lines.append(
            "modbus,host=gateway,name=boiler,slave_id=3,type=holding_register "
            f"energy_kwh={heat}i,flow_l_h=412i {at}"
        )
        total = registers["water/cooling_tower"][minute - 1]
        written.lines.append(
            "opcua,host=gateway,id=ns\\=3;s\\=Plant.CoolingTower.Water "
            f'total_m3={total:.3f},Quality="OK (0x0)" {at}'
        )
        if minute % 60 == 0:
            written.lines.extend(_weather(written, minute, at))
    return written


def _weather(written: Written, minute: int, at: int) -> Iterator[str]:
    """Yield the weather and what is forecast of it; its tags change with the sky."""
    sky = ("800", "Clear") if minute % 120 else ("803", "Clouds")
    tags = f"weather,city=Berlin,city_id=2950159,condition_id={sky[0]},condition_main={sky[1]}"
    degrees = written.degrees[minute - 1]
    icon = 'condition_icon="01d"'
    yield f"{tags},country=DE,forecast=*,host=gateway {icon},temperature={degrees:.2f} {at}"
    later = at + 3 * 3600 * 1_000_000_000
    yield f"{tags},country=DE,forecast=3h,host=gateway {icon},temperature=40.0 {later}"
