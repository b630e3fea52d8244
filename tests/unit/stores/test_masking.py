import pickle
import stat

import pyarrow as pa
import pytest

from core.contracts import FieldSpec
from core.errors import ConfigurationError
from stores.frames.masked_columns import masked_column
from stores.masking import KEY_FILE, Mask, ensure_mask, is_masked


def test_a_mask_is_the_same_for_the_same_value_and_key_only():
    mask, other = Mask(b"a" * 32), Mask(b"b" * 32)
    assert mask.of("c1") == mask.of("c1") != mask.of("c2")
    assert mask.of("c1") != other.of("c1")
    assert mask.of(12) == mask.of("12")


def test_a_mask_does_not_hold_the_value():
    assert "4000123412341234" not in Mask(bytes(32)).of("4000123412341234")


def test_a_mask_masks_the_same_where_it_is_sent_and_does_not_show_its_key():
    mask = Mask(b"secret" * 5)
    assert pickle.loads(pickle.dumps(mask)).of("c1") == mask.of("c1")
    assert "secret" not in repr(mask)


@pytest.mark.parametrize("kind", [pa.string(), pa.int64(), pa.large_string()])
def test_a_column_is_masked_value_by_value_whatever_its_type_and_chunks(kind):
    mask = Mask(bytes(32))
    chunks: list[list[str | None]] = [["7", None, "8", "7"], [], [None], ["8", "9"]]
    column = pa.chunked_array([pa.array(chunk, pa.string()).cast(kind) for chunk in chunks])
    wanted = [None if value is None else mask.of(value) for chunk in chunks for value in chunk]
    masked = masked_column(mask, column)
    assert masked.type == pa.string()
    assert masked.to_pylist() == wanted
    empty = masked_column(mask, pa.chunked_array([], kind))
    assert (empty.type, len(empty)) == (pa.string(), 0)


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path):
    keys = tmp_path / "keys"
    first = ensure_mask(keys)
    assert ensure_mask(keys).of("c1") == first.of("c1")
    assert stat.S_IMODE((keys / KEY_FILE).stat().st_mode) == 0o600


def test_two_homes_mask_differently(tmp_path):
    assert ensure_mask(tmp_path / "a").of("c1") != ensure_mask(tmp_path / "b").of("c1")


def test_a_key_that_others_may_read_is_refused(tmp_path):
    ensure_mask(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o644)
    with pytest.raises(ConfigurationError, match="readable by others"):
        ensure_mask(tmp_path)


def test_a_torn_key_is_refused(tmp_path):
    ensure_mask(tmp_path)
    (tmp_path / KEY_FILE).write_bytes(b"short")
    with pytest.raises(ConfigurationError, match="another length"):
        ensure_mask(tmp_path)


@pytest.mark.parametrize(
    ("column_class", "masked"),
    [("public", False), ("internal", False), ("personal", True), ("sensitive", True)],
)
def test_what_is_masked_follows_the_declared_class(column_class, masked):
    assert is_masked(FieldSpec(name="x", type="string", column_class=column_class)) is masked
