from core.contracts import FieldSpec, Reference, Source
from core.decisions import DecisionPolicy, Rule
from core.use_case import Label, ModelSpec, UseCase

OWNER = "plant@throughline.example"
PUMP_ID = FieldSpec(name="pump_id", type="string", max_length=16, pattern="[a-z0-9]+")
READINGS = Source(
    name="readings",
    description="Vibration of pumps, one row a reading.",
    owner=OWNER,
    fields=(PUMP_ID, FieldSpec(name="vibration", type="float64", minimum=0, maximum=100)),
)
FAILURES = Source(
    name="failures",
    description="What became of a reading, known a day later.",
    owner=OWNER,
    fields=(
        FieldSpec(name="reading_id", type="string", max_length=64, pattern=".+"),
        PUMP_ID,
        FieldSpec(name="has_failed", type="int64", minimum=0, maximum=1),
    ),
    references=(
        Reference(columns=("reading_id",), source="readings", target_columns=("event_id",)),
    ),
)
USE_CASE = UseCase(
    name="pumps",
    description="Whether a pump fails within a day of a reading.",
    owners=(OWNER,),
    risk_tier="low",
    entities={"pump": ("pump_id",)},
    sources=(READINGS, FAILURES),
    service="pump_health_v1",
    label=Label(
        source="failures", column="has_failed", refers_to="reading_id", example_source="readings"
    ),
    model=ModelSpec(candidates=("logistic",), trials=1),
    decisions=DecisionPolicy(
        rules=(
            Rule(decision="STOP", above=0.5, reason="failure_likely"),
            Rule(decision="CHECK", when="pump_vibration_v1.vibration_max_1d > 12", reason="shook"),
        ),
        default="RUN",
        default_reason="no_sign_of_failure",
    ),
)
