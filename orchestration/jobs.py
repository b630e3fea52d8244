"""Jobs: work that is asked for by name."""

import dagster as dg

from assets import names
from assets.declared import Declared
from core.contracts import Source
from core.use_case import UseCase
from orchestration.ingest import ingest_job
from orchestration.mirror import mirror_job
from orchestration.outcomes import outcomes_job
from orchestration.predictions import predictions_job
from orchestration.rebuild import rebuild_job
from orchestration.retraining import retraining_name
from orchestration.schedules import rebase_job, retention_job, scores_job
from orchestration.sensors import Job
from orchestration.watching import watching_jobs


def retrain_job(use_case: UseCase) -> Job:
    """Job from a training set to a release; the run says the cut and the first date."""
    name = use_case.name
    steps = (names.training, names.candidate, names.evaluation, names.bundle, names.release)
    keys = [step(name) for step in steps]
    return dg.define_asset_job(
        retraining_name(name),
        selection=dg.AssetSelection.assets(*keys),
        description=f"Training set, candidates, evaluation, bundle and release of {name}.",
    )


def replay_job(source: Source) -> Job:
    """Job that lands refused records of a source again; its sensor ingests them."""
    return dg.define_asset_job(
        f"replay_rejects_{source.name}",
        selection=dg.AssetSelection.assets(names.replayed(source.name)),
        description=f"Lands refused records of {source.name} again, as new epochs.",
    )


def all_jobs(declared: Declared) -> dict[str, Job]:
    """Every job by name."""
    jobs: list[Job] = [ingest_job(source) for source in declared.sources.values()]
    jobs += [replay_job(source) for source in declared.sources.values()]
    for use_case in declared.use_cases.values():
        jobs += [retrain_job(use_case), scores_job(use_case), predictions_job(use_case)]
    jobs += [outcomes_job(each) for each in declared.use_cases.values() if each.rollout is not None]
    jobs += [job for use_case in declared.use_cases.values() for job in watching_jobs(use_case)]
    jobs += [rebase_job(declared), mirror_job(declared), rebuild_job(), retention_job()]
    return {job.name: job for job in jobs}
