from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ConfigurationError
from core.mapping import RowMapper, check_target
from core.rows.row_parser import ParsedRow, RowParser, Violation
from stores.log.mapping_files import load_mapping
from stores.log.source_log import SourceLog
from use_cases.fraud.sources import FRAUD_LABELS, TRANSACTIONS

ROOT = Path(__file__).parents[4]
HANDBOOK = ROOT / "use_cases" / "handbook" / "mappings"
DATA = ROOT.parent / "shared" / "data" / "transactions"
SAMPLE_ROWS = 20_000


@pytest.mark.parametrize("source", [TRANSACTIONS, FRAUD_LABELS], ids=lambda source: source.name)
def test_handbook_mapping_fills_the_contract(source):
    mapping = load_mapping(HANDBOOK / f"{source.name}.yaml")
    check_target(mapping, source)
    raw = {
        "TRANSACTION_ID": 7,
        "TX_DATETIME": 1_522_540_831_000,
        "CUSTOMER_ID": 596,
        "TERMINAL_ID": 3_156,
        "TX_AMOUNT": 57.16,
        "TX_FRAUD": 1,
    }
    parsed = RowParser(source).parse(RowMapper(mapping).apply(raw))
    assert isinstance(parsed, ParsedRow)
    shared = {"terminal-3156", "card-596"}
    if source is TRANSACTIONS:
        assert (parsed.event_id, parsed.event_ms) == ("tx-7", 1_522_540_831_000)
        assert set(parsed.values) == shared | {5_716}
    else:
        assert (parsed.event_id, parsed.event_ms) == ("label-7", 1_523_145_631_000)
        assert set(parsed.values) == shared | {"tx-7", 1}


@pytest.mark.data
@pytest.mark.parametrize("source", [TRANSACTIONS, FRAUD_LABELS], ids=lambda source: source.name)
def test_handbook_rows_keep_the_contract(source, tmp_path):
    files = sorted(DATA.glob("*.parquet"))
    if not files:
        pytest.skip(f"the real transactions are not at {DATA}")
    mapping = load_mapping(HANDBOOK / f"{source.name}.yaml")
    log = SourceLog(tmp_path, source.name)
    landing = log.land(files[0], mapping, now_ms=1_760_000_000_000, is_historic=True)
    apply, parse = RowMapper(mapping).apply, RowParser(source).parse
    assert landing.epoch.rows is not None
    refused = []
    for record in log.records(landing.epoch.epoch, landing.epoch.rows - SAMPLE_ROWS):
        assert isinstance(record.raw, dict)
        outcome = parse(apply(record.raw), now_ms=record.ingested_at_ms)
        if isinstance(outcome, Violation):
            refused.append((outcome, record.raw["TX_AMOUNT"]))
    assert [amount for _, amount in refused if amount != 0.0] == []
    assert len(refused) < SAMPLE_ROWS / 1_000


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "mapping.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_country_code_is_not_a_boolean_and_true_is(tmp_path):
    path = written(tmp_path, "source: s\nfields:\n  c: {constant: NO}\n  t: {constant: true}\n")
    mapping = load_mapping(path)
    assert mapping.fields["c"].constant == "NO"
    assert mapping.fields["t"].constant is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not well formed"),
        ("source: s\nsource: t\nfields: {}", "the key source is given twice"),
        ("source: s\nfields:\n  a: {from: A}\n  a: {from: B}", "the key a is given twice"),
        ("source: [", "cannot be read"),
        ("!!python/object/apply:os.system [ls]", "cannot be read"),
        ("source: s\nfields: {a: {constant: 2020-01-01}}", "at fields.a.constant"),
        (b"\xff\xfe", "cannot be read"),
        ("#" * (2**20 + 1), "more than 1048576 bytes"),
        ("[" * 3_000, "cannot be read"),
    ],
)
def test_file_that_is_no_mapping_is_refused(tmp_path, text, message):
    with pytest.raises(ConfigurationError, match=message):
        load_mapping(written(tmp_path, text))


def test_absent_file_and_folder_are_refused(tmp_path):
    for path in (tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            load_mapping(path)
