"""The one partition axis: the UTC date on which an event happened."""

import dagster as dg

# The oldest history that anybody has brought so far begins in April 2018; an event dated
# before this day is kept in its table but has no partition to compute features for.
FIRST_DATE = "2018-01-01"

# end_offset: without it a daily axis ends yesterday, and today's events have no partition.
EVENT_DATES = dg.DailyPartitionsDefinition(start_date=FIRST_DATE, timezone="UTC", end_offset=1)

ONE_RUN = dg.BackfillPolicy.single_run()
