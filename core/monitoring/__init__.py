"""What is watched, in the abstract: timelines, charts, triage, alerts. No I/O."""
