"""One array for all values says what arrays by name say."""

import numpy as np
import pytest
from bundles import TOY_PLAN

from core.features.value_table import ValueLayout, ValueTable
from core.features.vector import vector_of


def test_a_vector_of_the_table_is_that_of_its_values_by_name():
    table = ValueTable(ValueLayout(TOY_PLAN), 3)
    draw = np.random.default_rng(4)
    by_name = {name: draw.lognormal(4, 2, 3) for name in table}
    by_name[next(iter(TOY_PLAN.vector))][1] = np.nan
    table.put(by_name)
    assert len(table) == len(by_name)
    assert vector_of(TOY_PLAN, table).tobytes() == vector_of(TOY_PLAN, by_name).tobytes()


def test_a_table_of_another_plan_is_read_by_name():
    table = ValueTable(ValueLayout(TOY_PLAN), 1)
    table.put({name: np.array([float(place)]) for place, name in enumerate(table)})
    other = TOY_PLAN.model_copy(update={"vector": TOY_PLAN.vector[::-1]})
    assert vector_of(other, table).tolist() == [vector_of(TOY_PLAN, table)[0, ::-1].tolist()]


def test_what_was_not_put_down_is_null_and_an_unknown_name_is_refused():
    table = ValueTable(ValueLayout(TOY_PLAN), 2)
    assert all(np.isnan(table[name]).all() for name in table)
    with pytest.raises(KeyError):
        table.put({"nobody:knows": np.zeros(2)})
