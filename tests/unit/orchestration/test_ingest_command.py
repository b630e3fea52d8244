import pytest
from payments import PAYMENTS

from core.errors import ConfigurationError
from orchestration.commands.ingest import mapping_of

FIELDS = ("event_id", "event_timestamp", "terminal_id", "amount_minor", "card_id")


def written(folder, *lines):
    path = folder / "mapping.yaml"
    path.write_text("\n".join(("source: payments", "fields:", *lines)))
    return path


def test_without_a_file_there_is_no_mapping():
    assert mapping_of(None, PAYMENTS) is None


def test_a_mapping_that_fills_the_contract_is_taken(tmp_path):
    path = written(tmp_path, *(f"  {name}: {{from: {name.upper()}}}" for name in FIELDS))
    mapping = mapping_of(path, PAYMENTS)
    assert mapping is not None
    assert set(mapping.columns) == {name.upper() for name in FIELDS}


def test_a_field_given_twice_is_refused_and_not_the_last_one_taken(tmp_path):
    fields = [f"  {name}: {{from: {name}}}" for name in (*FIELDS, "card_id")]
    with pytest.raises(ConfigurationError, match="cannot be read") as refused:
        mapping_of(written(tmp_path, *fields), PAYMENTS)
    assert "card_id is given twice" in refused.value.found


def test_a_mapping_that_leaves_a_field_out_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="does not fit the contract"):
        mapping_of(written(tmp_path, "  event_id: {from: a}"), PAYMENTS)
