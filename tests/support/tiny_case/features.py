from tiny_case.use_case import OWNER, READINGS
from use_cases.builders import aggregate, entity, service, source_of, windows

pump = entity("pump", "pump_id")
pump_vibration_v1 = windows(
    "pump_vibration_v1",
    source_of(READINGS),
    pump,
    aggregate("vibration", "mean max", "1h 1d"),
    owner=OWNER,
)
pump_health_v1 = service("pump_health_v1", [pump_vibration_v1], owner=OWNER)
