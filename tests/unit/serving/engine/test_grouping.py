"""Groups: who comes while one is at work joins the next, in order, none too large."""

import asyncio

from serving.engine.grouping import MAX_TOGETHER, Groups


def grouped(sizes):
    """Groups that senders of so many members came in, and what each was told."""
    seen = []

    async def work(members):
        seen.append(len(members))
        await asyncio.sleep(0)
        return [10 * member for member in members]

    async def send_all():
        groups = Groups(work, "nothing")
        return await asyncio.gather(
            *(groups.do([place] * size) for place, size in enumerate(sizes))
        )

    return seen, asyncio.run(send_all())


def test_who_comes_meanwhile_goes_together_and_each_hears_of_his_own():
    seen, told = grouped([1] * 30)
    assert sum(seen) == 30
    assert len(seen) <= 2
    assert told == [[10 * place] for place in range(30)]


def test_a_group_is_no_larger_than_its_budget_of_time_allows():
    seen, told = grouped([900] * 7)
    assert seen == [1_800, 1_800, 1_800, 900]
    assert [len(each) for each in told] == [900] * 7


def test_one_sender_is_never_parted():
    assert grouped([MAX_TOGETHER + 1, 5])[0] == [MAX_TOGETHER + 1, 5]
